"""Pre-train ClipBERT on single frames or images with captions: masked language modelling and image-text matching.

    clipbert train pretraining pretraining_moving_shapes \
        --data_dir data/moving_shapes --output_dir runs/pretraining

Paper, section 3.2. Mismatched texts are captions of other videos, of the whole split or of the batch, or hard ones
where the data set has them: a wrong word in a true caption.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from clipbert_hf.model.modeling_clipbert import ClipBertForPreTraining
from clipbert_hf.training import (
    create_model,
    create_processor,
    load_task_splits,
    open_run,
    parse_recipe,
    run_script,
    train_and_test,
)
from clipbert_hf.training.contrastive import trains_contrastive
from clipbert_hf.training.data.rows import as_rows
from clipbert_hf.training.tasks.pretraining import PretrainingRecipe, PretrainingTask, create_pretraining_loader


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the script; returns what it writes to results.json."""
    recipe = parse_recipe(PretrainingRecipe, arguments)
    accelerator = open_run(recipe)
    with accelerator.main_process_first():
        splits = load_task_splits(recipe, "pretraining")
        processor = create_processor(recipe, recipe, splits["train"], num_clips=1)
    model = create_model(ClipBertForPreTraining, recipe, processor, trains=recipe.trains)

    contrast = recipe if trains_contrastive(model, recipe) else None
    loader = partial(create_pretraining_loader, recipe=recipe, processor=processor, contrasts=contrast is not None)

    def task(split: str) -> PretrainingTask:
        videos = as_rows(splits.get(split, [])).unique("video")
        return PretrainingTask(contrast, pooling=model.config.contrastive_pooling, searched=videos)

    return train_and_test(
        accelerator,
        model,
        processor,
        recipe,
        task=task("validation"),
        train_loader=loader(splits["train"], training=True),
        validation_loader=loader(splits["validation"]) if "validation" in splits else None,
        test_task=task("test"),
        test_loader=loader(splits["test"]) if "test" in splits else None,
    )


if __name__ == "__main__":
    run_script(main)
