"""Fine-tune and evaluate ClipBERT on multiple choice questions about videos.

    clipbert train multiple_choice multiple_choice_moving_shapes \
        --data_dir data/moving_shapes --start_from runs/pretraining --output_dir runs/multiple_choice

With ``--answer_by retrieval --epochs 0`` a retrieval model chooses, without further training, the option that fits the
video best; the options are captions then, as in MSR-VTT multiple choice, and the question is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from clipbert_hf.training import (
    Row,
    create_model,
    create_processor,
    create_question_loader,
    load_task_splits,
    open_run,
    parse_recipe,
    rows_to_calibrate,
    run_script,
    train_and_test,
)
from clipbert_hf.training.tasks.multiple_choice import (
    ChoiceCollator,
    MultipleChoiceRecipe,
    MultipleChoiceTask,
    check_options,
    model_class,
)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the script; returns what it writes to results.json."""
    recipe = parse_recipe(MultipleChoiceRecipe, arguments)
    accelerator = open_run(recipe)
    with accelerator.main_process_first():
        splits = load_task_splits(recipe, "multiple_choice")
        for split, rows in splits.items():
            check_options(rows, recipe.answer_by, split)
        processor = create_processor(recipe, recipe, splits["train"], num_clips=max(recipe.inference_clips))
    model = create_model(model_class(recipe.answer_by), recipe, processor, trains=recipe.trains)

    collate = ChoiceCollator(processor, recipe.answer_by)
    single_clip = MultipleChoiceTask.single_clip  # where one clip lies
    loader = partial(
        create_question_loader, recipe=recipe, processor=processor, collate=collate, single_clip=single_clip
    )

    def evaluation_loader(rows: Sequence[Row], clips: list[int]) -> Any:
        return loader(rows, clips=clips) if rows else None

    def task(clips: list[int]) -> MultipleChoiceTask:
        return MultipleChoiceTask(model.config.score_aggregation, recipe.clips_seen(clips), recipe.answer_by)

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
