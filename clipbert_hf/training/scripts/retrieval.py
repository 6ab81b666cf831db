"""Fine-tune and evaluate ClipBERT on text-to-video and video-to-text retrieval.

    clipbert train retrieval retrieval_moving_shapes \
        --data_dir data/moving_shapes --start_from runs/pretraining --output_dir runs/retrieval

The model learns whether a caption fits a video, from captions that do and captions that do not. In evaluations every
text is scored against every video; a video passes the CNN once for all texts. Ranks are those of unrounded logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clipbert_hf.model.modeling_clipbert import ClipBertForVideoTextRetrieval
from clipbert_hf.training import (
    Row,
    create_model,
    create_processor,
    load_task_splits,
    open_run,
    parse_recipe,
    run_script,
    train_and_test,
)
from clipbert_hf.training.tasks.retrieval import RetrievalTask
from clipbert_hf.training.tasks.retrieval_batches import (
    RetrievalRecipe,
    create_evaluation_loader,
    create_training_loader,
    fill_grid_cache,
)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the script; returns what it writes to results.json."""
    recipe = parse_recipe(RetrievalRecipe, arguments)
    accelerator = open_run(recipe)
    with accelerator.main_process_first():
        splits = load_task_splits(recipe, "retrieval")
        processor = create_processor(recipe, recipe, splits["train"], num_clips=max(recipe.inference_clips))
    model = create_model(ClipBertForVideoTextRetrieval, recipe, processor, trains=recipe.trains)

    def evaluation(split: str, clips: list[int], *, is_test: bool) -> tuple[Any, RetrievalTask]:
        rows: Sequence[Row] = splits.get(split, [])
        task = RetrievalTask.from_recipe(recipe, model, processor, rows, clips, is_test=is_test)
        return create_evaluation_loader(rows, recipe, processor, clips=clips) if rows else None, task

    validation_loader, task = evaluation("validation", [recipe.validation_clips], is_test=False)
    test_loader, test_task = evaluation("test", recipe.inference_clips, is_test=True)
    cache = fill_grid_cache(accelerator, model, recipe, processor, splits["train"])
    train_loader = create_training_loader(
        splits["train"], recipe, processor, contrasts=task.contrast is not None, cache=cache
    )
    return train_and_test(
        accelerator,
        model,
        processor,
        recipe,
        task=task,
        train_loader=train_loader,
        validation_loader=validation_loader,
        test_task=test_task,
        test_loader=test_loader,
    )


if __name__ == "__main__":
    run_script(main)
