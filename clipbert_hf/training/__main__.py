"""Train: ``python -m clipbert_hf.training TASK [RECIPE] --key value …``, which ``accelerate launch -m`` starts too."""

from __future__ import annotations

import argparse

from clipbert_hf.training import run_script
from clipbert_hf.training.scripts import TASKS, run_task


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m clipbert_hf.training", description=(__doc__ or "").split(":")[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument(
        "settings", nargs=argparse.REMAINDER, metavar="…", help="a recipe and --key value; --help lists the settings"
    )
    options = parser.parse_args()
    run_script(lambda: run_task(options.task, options.settings))


if __name__ == "__main__":
    main()
