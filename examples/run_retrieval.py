"""Fine-tune and evaluate ClipBERT on text-to-video and video-to-text retrieval.

    accelerate launch examples/run_retrieval.py examples/recipes/retrieval_moving_shapes.yaml \
        --data_dir data/moving_shapes --start_from runs/pretraining --output_dir runs/retrieval

The model learns whether a caption fits a video, from captions that do and captions that do not. In evaluations every
text is scored against every video; a video passes the CNN once for all texts. Ranks are those of unrounded logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clipbert_hf import ClipBertForVideoTextRetrieval
from clipbert_hf.training import (
    create_model,
    create_processor,
    load_task_splits,
    open_run,
    parse_recipe,
    run_script,
    train_and_test,
)
from clipbert_hf.training.tasks.retrieval import (
    RetrievalRecipe,
    RetrievalTask,
    create_evaluation_loader,
    create_training_loader,
)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the script; returns what it writes to results.json."""
    recipe = parse_recipe(RetrievalRecipe, arguments)
    accelerator = open_run(recipe)
    with accelerator.main_process_first():
        splits = load_task_splits(recipe, "retrieval")
        processor = create_processor(recipe, recipe, splits["train"], num_clips=max(recipe.inference_clips))
    model = create_model(ClipBertForVideoTextRetrieval, recipe, processor, trains=recipe.trains)

    def evaluation(split: str, clips: list[int], **options: Any) -> tuple[Any, RetrievalTask]:
        rows = splits.get(split, [])
        options |= {"eval_pairs": recipe.eval_pairs, "retrieval_loss": model.config.retrieval_loss}
        task = RetrievalTask(processor, rows, clips, **options)
        return create_evaluation_loader(rows, recipe, processor, clips=clips) if rows else None, task

    validation_loader, task = evaluation("validation", [recipe.validation_clips])
    test_loader, test_task = evaluation("test", recipe.inference_clips, dual_softmax_scale=recipe.dual_softmax_scale)
    return train_and_test(
        accelerator,
        model,
        processor,
        recipe,
        task=task,
        train_loader=create_training_loader(splits["train"], recipe, processor),
        validation_loader=validation_loader,
        test_task=test_task,
        test_loader=test_loader,
    )


if __name__ == "__main__":
    run_script(main)
