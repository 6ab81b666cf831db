"""Fine-tune and evaluate ClipBERT on questions about videos: open-ended ones, counting, and image VQA.

    clipbert train video_qa video_qa_moving_shapes \
        --data_dir data/moving_shapes --start_from runs/pretraining --output_dir runs/qa

Training clips are drawn at random, inference clips lie densely over the video (paper, section 3.1). The questions of a
video share its CNN features. ``--text_only true`` shows the model no video at all, the blind baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from clipbert_hf.training import (
    Row,
    create_processor,
    create_question_loader,
    load_task_splits,
    open_run,
    parse_recipe,
    rows_to_calibrate,
    run_script,
    train_and_test,
)
from clipbert_hf.training.tasks.video_qa import (
    QACollator,
    VideoQARecipe,
    VideoQATask,
    choose_answers,
    create_qa_model,
    prepare_answers,
)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the script; returns what it writes to results.json."""
    recipe = parse_recipe(VideoQARecipe, arguments)
    accelerator = open_run(recipe)
    with accelerator.main_process_first():
        splits = load_task_splits(recipe, "qa")
        prepare_answers(recipe, splits)
        processor = create_processor(recipe, recipe, splits["train"], num_clips=max(recipe.inference_clips))
    answers = choose_answers(recipe, splits["train"])
    model = create_qa_model(recipe, processor, answers)

    collate = QACollator(processor, answers, recipe.answer_kind)
    loader = partial(create_question_loader, recipe=recipe, processor=processor, collate=collate)

    def evaluation_loader(rows: Sequence[Row], clips: list[int]) -> Any:
        return loader(rows, clips=clips) if rows else None

    def task(clips: list[int]) -> VideoQATask:
        return VideoQATask(answers, model.config.score_aggregation, recipe.clips_seen(clips), recipe.answer_kind)

    most_clips = [max(recipe.inference_clips)]
    return train_and_test(
        accelerator,
        model,
        processor,
        recipe,
        task=task([recipe.validation_clips]),
        train_loader=loader(splits["train"], clips=recipe.training_clips, training=True),
        validation_loader=evaluation_loader(splits.get("validation", []), [recipe.validation_clips]),
        calibration_task=task(most_clips),
        calibration_loader=evaluation_loader(rows_to_calibrate(recipe, splits), most_clips),
        test_task=task(recipe.inference_clips),
        test_loader=evaluation_loader(splits.get("test", []), recipe.inference_clips),
    )


if __name__ == "__main__":
    run_script(main)
