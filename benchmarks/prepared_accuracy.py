"""What a model answers about prepared videos, and about the originals that it was trained on.

The test videos of a run of ``make demo`` are prepared as ``datasets_scripts.prepare`` does it, and the fine-tuned model
is evaluated on both, with the clips that its recipe compares; sampled frames are the same, their pixels nearly. Videos
of 64 x 64 pixels are not made smaller, so what is seen is the loss of encoding them again.

Run ``make demo``, then ``python -m benchmarks.prepared_accuracy runs/demo --output prepared_accuracy.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from clipbert_hf.training import create_processor, create_question_loader, load_task_splits, parse_recipe
from clipbert_hf.training.data.clips import TaskOnPixels
from clipbert_hf.training.evaluation import evaluate
from clipbert_hf.training.run import nest
from clipbert_hf.training.tasks.video_qa import (
    QACollator,
    VideoQARecipe,
    VideoQATask,
    choose_answers,
    create_qa_model,
)
from datasets_scripts.preparation.all_videos import Outcome, prepare_videos
from datasets_scripts.preparation.encoding import EncodingSettings

Rows = list[dict[str, Any]]


def prepare_rows(rows: Rows, media_dir: Path, output: Path, settings: EncodingSettings) -> tuple[Rows, Outcome]:
    """Prepare the videos of some rows.

    Returns:
        The rows with the paths of the prepared videos, and what became of these.

    Raises:
        RuntimeError: If one could not be prepared.
    """
    outcome = prepare_videos((row["video"] for row in rows), media_dir, output, settings)
    if outcome.failed:
        raise RuntimeError(f"not prepared: {outcome.failed}")
    places = {video.source: str(output / video.name) for video in outcome.videos}
    return [{**row, "video": places[row["video"]]} for row in rows], outcome


def run(demo: Path, prepared: Path, settings: EncodingSettings) -> dict[str, Any]:
    """Evaluate the model of the demo on the originals and on prepared videos.

    Args:
        demo: The output of ``make demo``.
        prepared: The folder of the prepared videos.
        settings: How to prepare.
    """
    model_dir = str(demo / "qa")
    overrides = ["--start_from", model_dir, "--output_dir", str(prepared), "--data_dir", str(demo / "data")]
    overrides += ["--max_steps", "0", "--resume_from_checkpoint", "null", "--tracker", "none"]
    recipe = parse_recipe(VideoQARecipe, [str(demo / "qa" / "recipe.yaml"), *overrides])
    accelerator = Accelerator()
    rows = [*load_task_splits(recipe, "qa")["test"]]
    processor = create_processor(recipe, recipe, [], num_clips=max(recipe.inference_clips))
    answers = choose_answers(recipe, [])
    model = accelerator.prepare(create_qa_model(recipe, processor, answers))
    again, outcome = prepare_rows(rows, demo / "data" / "videos", prepared, settings)
    clips = recipe.clips_seen(recipe.inference_clips)
    found: dict[str, Any] = {"videos": len(outcome.videos), "rows": len(rows), "preparation": outcome.totals()}
    for name, of_these in (("original", rows), ("prepared", again)):
        task = VideoQATask(answers, accelerator.unwrap_model(model).config.score_aggregation, clips, recipe.answer_kind)
        collate = QACollator(processor, answers, recipe.answer_kind)
        loader = create_question_loader(of_these, recipe, processor, collate, clips=recipe.inference_clips)
        on_pixels = TaskOnPixels(task, processor.video_processor)
        found[name] = nest(evaluate(accelerator, model, accelerator.prepare(loader), on_pixels, name=name))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, help="the output folder of make demo, such as runs/demo")
    parser.add_argument("--keyframe_every", type=int, default=EncodingSettings.keyframe_every)
    parser.add_argument("--quality", type=float, default=EncodingSettings.quality)
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    settings = EncodingSettings(keyframe_every=options.keyframe_every, quality=options.quality)
    with tempfile.TemporaryDirectory() as folder:
        found = run(options.demo.resolve(), Path(folder) / "videos", settings)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
