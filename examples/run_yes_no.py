"""A task of one's own: is the answer to a question about a video yes or no? A script to copy and change.

    accelerate launch examples/run_yes_no.py --data_dir data/moving_shapes --output_dir runs/yes_no \
        --start_from runs/pretraining --epochs 10 --learning_rate 5e-4

It trains, checkpoints, resumes (``--resume_from_checkpoint last``), tests and saves as the other scripts do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from clipbert_hf import ClipBertForVideoQuestionAnswering, ClipBertProcessor, training

LABELS = ["no", "yes"]


@dataclass(kw_only=True)
class YesNoRecipe(training.QuestionTaskSettings):
    """The settings of every task with questions, and one of this task."""

    threshold: float = training.setting(0.5, "how probable a yes must be to count")


class YesNoTask:
    """What the loop has to know: from samples to a batch, a loss, records, metrics."""

    metric_names = ("accuracy", "says_yes")

    def __init__(self, processor: ClipBertProcessor, threshold: float) -> None:
        self.processor, self.threshold = processor, threshold

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Samples are videos with their questions; the ids are named if something goes wrong."""
        rows = [row for sample in samples for row in sample["rows"]]
        inputs = dict(self.processor(text=[[row["question"] for row in sample["rows"]] for sample in samples]))
        inputs["pixel_values_videos"] = torch.cat([sample["pixels"] for sample in samples])
        labels = torch.tensor([LABELS.index(row["answer"]) for row in rows])
        return {"inputs": inputs, "labels": labels, "ids": [row["id"] for row in rows]}

    def loss(self, model: torch.nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """A scalar with a graph."""
        return model(**batch["inputs"], labels=batch["labels"]).loss

    def label_counts(self, batch: dict[str, Any]) -> int:
        """Over how many labels the loss is the mean: steps of several micro-batches or processes are weighted by it."""
        return len(batch["labels"])

    def predict(self, model: torch.nn.Module, batch: dict[str, Any]) -> list[torch.Tensor]:
        """A record a video, (questions, 2): whether the model says yes, and whether that is the answer."""
        says_yes = model(**batch["inputs"]).logits.softmax(-1)[:, 1] >= self.threshold
        pairs = torch.stack([says_yes, batch["labels"] == 1], dim=1).cpu()
        return list(pairs.split(batch["inputs"]["texts_per_video"].tolist()))

    def metrics(self, records: list[torch.Tensor]) -> dict[str, float]:
        """Metrics from the records of all videos of a split."""
        says_yes, is_yes = torch.cat(records).unbind(1)
        return {"accuracy": float((says_yes == is_yes).float().mean()), "says_yes": float(says_yes.float().mean())}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Settings, rows, processor and model, loaders, then training and test."""
    recipe = training.parse_recipe(YesNoRecipe, arguments)
    accelerator = training.open_run(recipe)
    splits = training.load_task_splits(recipe, "qa")
    splits = {split: rows.filter(lambda row: row["answer"] in LABELS) for split, rows in splits.items()}
    clips = recipe.validation_clips
    processor = training.create_processor(recipe, recipe, splits["train"], num_clips=clips)
    model = training.create_model(
        ClipBertForVideoQuestionAnswering, recipe, processor, labels=LABELS, trains=recipe.trains
    )
    task = YesNoTask(processor, recipe.threshold)
    loader = partial(training.create_question_loader, recipe=recipe, processor=processor, collate=task.collate)

    def evaluation_loader(split: str) -> Any:
        return loader(splits[split], clips=clips) if split in splits else None

    return training.train_and_test(
        accelerator,
        model,
        processor,
        recipe,
        task=task,
        train_loader=loader(splits["train"], clips=recipe.training_clips, training=True),
        validation_loader=evaluation_loader("validation"),
        test_task=task,
        test_loader=evaluation_loader("test"),
    )


if __name__ == "__main__":
    training.run_script(main)
