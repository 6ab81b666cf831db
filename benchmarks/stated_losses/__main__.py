"""Train the recipe for search with several seeds, and state what each way of ranking loses and costs.

Run ``python -m benchmarks.stated_losses --output docs/figures/stated_losses.json``. Each seed pre-trains, fine-tunes
with ``retrieval_search_moving_shapes.yaml`` and, to compare, without a contrastive head
(``retrieval_moving_shapes.yaml``) for as long; then every clip of every pair of 500 test videos is scored. A step that
is done is not done again, so a run that was stopped goes on. It takes an hour or two; ``--quick`` a minute, on few
videos and steps, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.stated_losses.plots import plot
from benchmarks.stated_losses.rankings import compare, summary
from benchmarks.stated_losses.scoring import score_split
from datasets_scripts.moving_shapes import generate

_SCENES = (3, 4)
_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def train(work: Path, data: Path, seed: int, *, baseline: bool, quick: bool) -> dict[str, Path]:
    """Train the models of a seed, as far as they are not there.

    Returns:
        Their folders.
    """
    common = ["--data_dir", str(data), "--dataset_options", "{}", "--seed", str(seed), "--tracker", "none"]
    common += ["--max_steps", "4", "--evaluate_every", "4"] if quick else []
    folders = {name: work / f"{name}_{seed}" for name in ("pretraining", "search", "without")}
    _launch("run_pretraining.py", "pretraining_moving_shapes", folders["pretraining"], *common)
    start = [*common, "--start_from", str(folders["pretraining"])]
    cache = ["--grid_cache", str(work / "grids")]
    done = _launch("run_retrieval.py", "retrieval_search_moving_shapes", folders["search"], *start, *cache)
    if not baseline:
        del folders["without"]
        return folders
    if not quick:
        # As many seconds: the demo's fine-tuning takes about as long a step as it does in its own results.
        probe = _launch(
            "run_retrieval.py",
            "retrieval_moving_shapes",
            work / f"probe_{seed}",
            *(*start, "--max_steps", "40", "--evaluate_every", "40", "--validation_rows", "2"),
        )
        steps = max(round(40 * done["seconds"] / probe["seconds"]), 40)
        start += ["--max_steps", str(steps), "--evaluate_every", str(steps)]
    _launch("run_retrieval.py", "retrieval_moving_shapes", folders["without"], *start)
    return folders


def _launch(script: str, recipe: str, output: Path, *options: str) -> dict[str, Any]:
    """The results of a script, run with ``accelerate launch`` unless they are there."""
    results = output / "results.json"
    if not results.exists():
        command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
        command += ["--mixed_precision", "no", "--dynamo_backend", "no", str(_EXAMPLES / script)]
        command += [recipe, "--output_dir", str(output), *options]
        command += ["--resume_from_checkpoint", "last", "--threads", str(os.cpu_count() or 1)]
        # Idle threads must not spin, since a worker decodes on the same cores.
        subprocess.run(command, env=os.environ | {"OMP_WAIT_POLICY": "passive"}, check=True)
    return json.loads(results.read_text("utf-8"))


def run(work: Path, seeds: list[int], *, baseline_seeds: int, quick: bool) -> dict[str, Any]:
    """Train, score and compare.

    Args:
        work: A folder for data, models and scores, which a later run goes on from.
        seeds: Of the recipe.
        baseline_seeds: For how many of them the model without a contrastive head is trained as well.
        quick: Whether little is to be done.
    """
    train_data, test_data = work / "data", work / "test_data"
    generate(train_data, scenes=_SCENES, train=20 if quick else 1000, validation=4 if quick else 50, test=4)
    videos = 12 if quick else 500
    generate(test_data, seed=777, scenes=_SCENES, train=1, validation=videos // 5, test=videos)
    found: dict[str, list[Any]] = {"search": [], "without": []}
    for place, seed in enumerate(seeds):
        folders = train(work, train_data, seed, baseline=place < baseline_seeds, quick=quick)
        for name in found.keys() & folders.keys():
            validation, test = (
                score_split(folders[name], test_data, split, work / "scores" / f"{name}_{seed}_{split}.npz")
                for split in ("validation", "test")
            )
            found[name].append({"seed": seed, **compare(validation, test)})
    ways = [{name: way for name, way in each.items() if name != "seed"} for each in found["search"]]
    return {**summary(ways), "test_videos": videos, "recipe": found["search"], "without_contrastive": found["without"]}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="file of JSON; a plot is written beside it")
    parser.add_argument("--work", type=Path, default=Path("runs/stated_losses"), help="folder to go on from")
    parser.add_argument("--seeds", default="42,43,44", help="seeds of the recipe")
    parser.add_argument("--baseline_seeds", type=int, default=3, help="how many of them also without the head")
    parser.add_argument("--quick", action="store_true", help="few videos and steps")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    result = run(options.work, seeds, baseline_seeds=options.baseline_seeds, quick=options.quick)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    plot(result, options.output.with_suffix(".png"))
    shown = {name: value for name, value in result.items() if name not in ("recipe", "without_contrastive")}
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")


if __name__ == "__main__":
    main()
