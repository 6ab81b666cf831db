"""The main job from end to end on the embedded data set; ``make demo`` runs it.

    python -m examples.demo.question_answering --output runs/demo

It draws the videos, pre-trains on single frames, fine-tunes on questions, trains the blind baseline with the same
budget, evaluates with 1, 4 and 16 inference clips, answers three questions about a held-out video, and leaves

- ``model/``, which ``pipeline("video-question-answering", model=…, trust_remote_code=True)`` loads,
- ``report.html``, as ``clipbert report`` makes of any runs, and
- ``summary.json``.

The steps are the scripts of the folder above, run with ``accelerate launch`` as anybody would.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import pipeline
from transformers.utils import logging

from clipbert_hf.explanation.report import write_report
from datasets_scripts.moving_shapes import generate, load_moving_shapes
from examples.demo.steps import launch, say

INFERENCE_CLIPS = (1, 4, 16)
ANSWER_TYPES = ("color", "shape", "existence")


@dataclass(frozen=True)
class Answered:
    """A question about a video, and what the pipeline said.

    Args:
        video: Path.
        question: The question.
        truth: The right answer.
        answers: The output of the pipeline, with clip scores.
    """

    video: str
    question: str
    truth: str
    answers: list[dict[str, Any]]

    @property
    def deciding_clip(self) -> dict[str, float]:
        """The clip that alone gives the chosen answer its highest score."""
        return max(self.answers[0]["clips"], key=lambda clip: clip["score"])


def answer_questions(qa: Path, model: Path, data: Path) -> list[Answered]:
    """Save the pipeline, and ask it one question of each type about the first held-out video."""
    pipe = pipeline("video-question-answering", model=str(qa), trust_remote_code=True)
    pipe.save_pretrained(model)
    shutil.copy(qa / "README.md", model)
    rows = load_moving_shapes("qa", data, progress=False)["test"].to_list()
    rows = [row for row in rows if row["video"] == rows[0]["video"]]
    chosen = [next(row for row in rows if row["answer_type"] == kind) for kind in ANSWER_TYPES]
    answers = pipe(
        chosen[0]["video"],
        [row["question"] for row in chosen],
        top_k=3,
        return_clip_scores=True,
        num_clips=max(INFERENCE_CLIPS),
    )
    return [
        Answered(row["video"], row["question"], row["answer"], best) for row, best in zip(chosen, answers, strict=True)
    ]


def print_results(summary: dict[str, Any], answered: Sequence[Answered]) -> None:
    """Show what the demo found."""
    by_clips = summary["accuracy_by_inference_clips"]
    say("\n                              test accuracy")
    for clips, accuracy in by_clips.items():
        say(f"  {clips:>2} inference clip{'s' if clips != '1' else ' '}            {accuracy:10.1%}")
    say(f"  blind baseline (text only) {summary['blind_accuracy']:10.1%}")
    say(f"\nQuestions about {answered[0].video}:")
    for one in answered:
        best, moment = one.answers[0], one.deciding_clip
        mark = "right" if best["answer"] == one.truth else f"wrong, it is {one.truth}"
        say(f"  {one.question}  {best['answer']} ({best['score']:.0%}, {mark})")
        say(f"      surest from {moment['start']:.1f} to {moment['end']:.1f} s: that clip alone {moment['score']:.0%}")


def run(output: Path) -> dict[str, Any]:
    """Run the whole demo.

    Args:
        output: Folder for everything. Earlier results in it are replaced; videos are kept where they are complete.

    Returns:
        What ``summary.json`` holds.

    Raises:
        DemoError: If a step fails.
    """
    started = time.monotonic()
    logging.set_verbosity_error()
    steps = {name: output / name for name in ("pretraining", "qa", "blind", "model")}
    for folder in steps.values():
        shutil.rmtree(folder, ignore_errors=True)
    data = output / "data"
    say("Drawing the videos")
    generate(data)
    options = ["--data_dir", str(data)]
    pretrained = launch("run_pretraining.py", "pretraining_moving_shapes", steps["pretraining"], *options)
    options += ["--start_from", str(steps["pretraining"])]
    clips = ",".join(map(str, INFERENCE_CLIPS))
    recipe = "video_qa_moving_shapes"
    trained = launch("run_video_qa.py", recipe, steps["qa"], *options, "--inference_clips", clips)
    blind = launch("run_video_qa.py", recipe, steps["blind"], *options, "--text_only", "true")
    answered = answer_questions(steps["qa"], steps["model"], data)
    summary = {
        "test_accuracy": trained["test"]["accuracy"],
        "blind_accuracy": blind["test"]["accuracy"],
        "accuracy_by_inference_clips": trained["test"]["accuracy_by_inference_clips"],
        "accuracy_by_type": trained["test"]["accuracy_by_type"],
        "seconds": round(time.monotonic() - started, 1),
        "step_seconds": {
            "pretraining": pretrained["seconds"],
            "fine_tuning": trained["seconds"],
            "blind": blind["seconds"],
        },
    }
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    shown = {"questions": steps["qa"], "text only": steps["blind"], "pre-training": steps["pretraining"]}
    write_report(shown, output / "report.html", title="ClipBERT on moving shapes")
    print_results(summary, answered)
    say(f"\n{summary['seconds']:.0f} seconds. Report: {output / 'report.html'}. Model: {steps['model']}")
    return summary


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="folder for everything")
    run(parser.parse_args().output)


if __name__ == "__main__":
    main()
