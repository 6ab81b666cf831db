"""Retrieval and multiple choice from end to end on the embedded data set; ``make demo-retrieval`` runs it.

    python -m examples.demo.retrieval --output runs/demo_retrieval

It draws videos of three or four scenes, pre-trains on single frames, fine-tunes on captions and on multiple choice
questions, and leaves ``summary.json``: among 100 test videos, ``text_to_video`` and ``video_to_text``, each with
``r1``, ``r5``, ``r10`` (0 to 1) and ``median_rank``, and ``multiple_choice_accuracy``.

With ``--from_scratch`` retrieval is trained again, for as many steps, without pre-training.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipbert_hf.training.recipe_parsing import read_yaml
from datasets_scripts.moving_shapes import generate
from examples.demo.steps import EXAMPLES, launch, say

SCENES = (3, 4)
REPORTED = ("r1", "r5", "r10", "median_rank")


def start_from_scratch() -> list[str]:
    """Overrides that give a fine-tuning the model of the pre-training recipe with random weights."""
    recipe = read_yaml(EXAMPLES / "recipes" / "pretraining_moving_shapes.yaml")
    options = ["--start_from", "null"]
    for name in ("model", "processor", "vocabulary_configs"):
        options += [f"--{name}", json.dumps(recipe[name])]
    return options


def directions(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The metrics of both directions that the summary reports."""
    return {way: {name: results["test"][way][name] for name in REPORTED} for way in ("text_to_video", "video_to_text")}


def print_results(summary: dict[str, Any]) -> None:
    """Show what the demo found."""
    say(f"\n{summary['test_videos']:>3} test videos        R@1     R@5    R@10  median rank")
    rows = {"text to video": summary["text_to_video"], "video to text": summary["video_to_text"]}
    if "without_pretraining" in summary:
        rows["  from scratch"] = summary["without_pretraining"]["text_to_video"]
    for name, one in rows.items():
        say(f"  {name:<15}{one['r1']:8.1%}{one['r5']:8.1%}{one['r10']:8.1%}{one['median_rank']:8.1f}")
    say(f"  multiple choice, five options {summary['multiple_choice_accuracy']:.1%}")


def run(
    output: Path, *, from_scratch: bool = False, train: int = 1000, test: int = 100, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Run the whole demo.

    Args:
        output: Folder for everything. Earlier results in it are replaced; videos are kept where they are complete.
        from_scratch: Whether retrieval is also trained without pre-training.
        train: Number of training videos.
        test: Number of test videos.
        overrides: Further settings of every step, such as ``["--max_steps", "2"]``.

    Returns:
        What ``summary.json`` holds.

    Raises:
        DemoError: If a step fails.
    """
    started = time.monotonic()
    names = ("pretraining", "retrieval", "multiple_choice", "from_scratch")
    steps = {name: output / name for name in names}
    for folder in steps.values():
        shutil.rmtree(folder, ignore_errors=True)
    data = output / "data"
    say("Drawing the videos")
    generate(data, scenes=SCENES, train=train, validation=max(test // 2, 1), test=test)
    # The folder knows how many videos it holds.
    common = ["--data_dir", str(data), "--dataset_options", "{}", *overrides]
    start = ["--start_from", str(steps["pretraining"])]
    done = {
        "pretraining": launch("run_pretraining.py", "pretraining_moving_shapes.yaml", steps["pretraining"], *common),
        "retrieval": launch("run_retrieval.py", "retrieval_moving_shapes.yaml", steps["retrieval"], *common, *start),
        "multiple_choice": launch(
            "run_multiple_choice.py", "multiple_choice_moving_shapes.yaml", steps["multiple_choice"], *common, *start
        ),
    }
    summary: dict[str, Any] = {
        **directions(done["retrieval"]),
        "multiple_choice_accuracy": done["multiple_choice"]["test"]["accuracy"],
        "r1_by_inference_clips": done["retrieval"]["test"]["r1_by_inference_clips"],
        "test_videos": test,
        "seconds": round(time.monotonic() - started, 1),
    }
    if from_scratch:
        options = [*common, *start_from_scratch()]
        done["from_scratch"] = launch(
            "run_retrieval.py", "retrieval_moving_shapes.yaml", steps["from_scratch"], *options
        )
        summary["without_pretraining"] = directions(done["from_scratch"])
    summary["step_seconds"] = {name: results["seconds"] for name, results in done.items()}
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    print_results(summary)
    say(f"\n{summary['seconds']:.0f} seconds. Model: {steps['retrieval']}")
    return summary


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/demo_retrieval"), help="folder for everything")
    parser.add_argument("--from_scratch", action="store_true", help="train retrieval without pre-training as well")
    options = parser.parse_args()
    run(options.output, from_scratch=options.from_scratch)


if __name__ == "__main__":
    main()
