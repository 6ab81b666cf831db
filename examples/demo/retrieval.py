"""Retrieval and multiple choice from end to end on the embedded data set; ``make demo-retrieval`` runs it.

    python -m examples.demo.retrieval --output runs/demo_retrieval

It draws videos of three or four scenes, pre-trains on single frames, fine-tunes on captions, with a contrastive head
beside matching, and on multiple choice questions, and leaves ``summary.json``. Among 100 test videos it tells
``text_to_video`` and ``video_to_text`` of the best ranking, each with ``r1``, ``r5``, ``r10`` (0 to 1) and
``median_rank``; the same of every ``ranking``: ``first_stage``, the contrastive head alone, ``two_stage``, with ten
candidates, and ``matching``, exhaustive; ``seconds_a_text`` of each; and ``multiple_choice_accuracy``.

With ``--from_scratch`` retrieval is trained again without pre-training and without a contrastive head.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipbert_hf.training.recipe_files import find_recipe
from clipbert_hf.training.recipe_parsing import read_yaml
from datasets_scripts.moving_shapes import generate
from examples.demo.search import CANDIDATES, search_once
from examples.demo.steps import launch, say

SCENES = (3, 4)
REPORTED = ("r1", "r5", "r10", "median_rank")


def start_from_scratch() -> list[str]:
    """Overrides that give a fine-tuning the model of the pre-training recipe with random weights."""
    recipe = read_yaml(find_recipe("pretraining_moving_shapes"))
    options = ["--start_from", "null"]
    for name in ("model", "processor", "vocabulary_configs"):
        options += [f"--{name}", json.dumps(recipe[name])]
    return options


def directions(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The metrics of both directions that the summary reports."""
    return {way: {name: metrics[way][name] for name in REPORTED} for way in ("text_to_video", "video_to_text")}


def rankings(test: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Those of every way to rank, from the metrics of the test."""
    ways = {"first_stage": test["first_stage"], "two_stage": test["two_stage"][str(CANDIDATES)], "matching": test}
    return {name: directions(metrics) for name, metrics in ways.items()}


def best_of(ways: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The ranking with the most texts that find their video first; of equal ones the two stages."""
    return max(
        (ways[name] for name in ("two_stage", "first_stage", "matching")), key=lambda x: x["text_to_video"]["r1"]
    )


def print_results(summary: dict[str, Any]) -> None:
    """Show what the demo found."""
    say(f"\n{summary['test_videos']:>3} test videos                      R@1     R@5    R@10  median rank")
    names = {"first_stage": "head alone", "two_stage": "two stages", "matching": "matching alone"}
    costs = {name: f"{1000 * value:9.1f} ms a text" for name, value in summary["seconds_a_text"].items()}
    rows = {
        f"{arrow} {names[name]}": (ways[way], costs[name] if way == "text_to_video" else "")
        for way, arrow in (("text_to_video", "text to video,"), ("video_to_text", "video to text,"))
        for name, ways in summary["ranking"].items()
    }
    if "without_pretraining" in summary:
        rows["from scratch, no head"] = (summary["without_pretraining"]["text_to_video"], "")
    for label, (one, cost) in rows.items():
        say(f"  {label:<29}{one['r1']:8.1%}{one['r5']:8.1%}{one['r10']:8.1%}{one['median_rank']:8.1f}{cost}")
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
        "pretraining": launch("run_pretraining.py", "pretraining_moving_shapes", steps["pretraining"], *common),
        "retrieval": launch(
            "run_retrieval.py",
            "retrieval_search_moving_shapes",
            steps["retrieval"],
            *(*common, *start, "--grid_cache", str(output / "grid_cache")),
        ),
        "multiple_choice": launch(
            "run_multiple_choice.py", "multiple_choice_moving_shapes", steps["multiple_choice"], *common, *start
        ),
    }
    ways = rankings(done["retrieval"]["test"])
    summary: dict[str, Any] = {
        **best_of(ways),
        "ranking": ways,
        "seconds_a_text": search_once(steps["retrieval"], data),
        "multiple_choice_accuracy": done["multiple_choice"]["test"]["accuracy"],
        "r1_by_inference_clips": done["retrieval"]["test"]["r1_by_inference_clips"],
        "test_videos": test,
        "seconds": round(time.monotonic() - started, 1),
    }
    if from_scratch:
        options = [*common, *start_from_scratch()]
        done["from_scratch"] = launch("run_retrieval.py", "retrieval_moving_shapes", steps["from_scratch"], *options)
        summary["without_pretraining"] = directions(done["from_scratch"]["test"])
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
