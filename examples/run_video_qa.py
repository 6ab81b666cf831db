"""Fine-tune and evaluate ClipBERT on open-ended questions about videos.

    accelerate launch examples/run_video_qa.py examples/recipes/video_qa_moving_shapes.yaml \
        --data_dir data/moving_shapes --start_from runs/pretraining --output_dir runs/qa

Training clips are drawn at random, inference clips lie densely over the video (paper, section 3.1). The questions of a
video share its CNN features. ``--text_only true`` shows the model no video at all, the blind baseline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from data_loading import Row, VideoDataset, create_loader, group_by_video, load_splits
from experiment import close_run, open_run, run_script
from recipe import DataSettings, LoopSettings, RecipeError, StartSettings, parse_recipe, setting
from start_points import create_model, create_processor, is_cnn_parameter
from torch import nn
from training_loop import evaluate, train

from clipbert_hf import ClipBertForVideoQuestionAnswering, ClipBertProcessor, aggregate_clip_logits
from clipbert_hf.metrics import QAAccuracy


@dataclass(kw_only=True)
class VideoQARecipe(LoopSettings, DataSettings, StartSettings):
    """Open-ended question answering."""

    training_clips: int = setting(4, "clips of a video in training, drawn at random")
    validation_clips: int = setting(4, "clips of a video in the evaluations during training")
    inference_clips: list[int] = field(
        default_factory=lambda: [16],
        metadata={"help": "numbers of clips of a video in the test; each divides the largest"},
    )
    questions_per_video: int | None = setting(None, "most questions of a video in a training step, drawn at random")
    answer_vocabulary_size: int | None = setting(None, "only so many answers, the most frequent; null: all")
    text_only: bool = setting(False, "no video, in training and test: how far do the questions alone lead?")


def answer_vocabulary(rows: Sequence[Row], size: int | None = None) -> list[str]:
    """The answers of the training split, the most frequent first."""
    counts = Counter(row["answer"] for row in rows)
    return sorted(counts, key=lambda answer: (-counts[answer], answer))[:size]


class QASamples:
    """Reads the clips and the questions of a video.

    Args:
        processor: Of the model.
        recipe: The settings.
        clips: Clips a video.
        training: Whether clips are drawn at random.
    """

    def __init__(self, processor: ClipBertProcessor, recipe: VideoQARecipe, *, clips: int, training: bool) -> None:
        self.processor, self.recipe, self.clips, self.training = processor, recipe, clips, training

    def __call__(self, rows: list[Row], generator: np.random.Generator) -> dict[str, Any]:
        """One sample: ``pixels`` (1, K, T, 3, L, L) and ``rows``."""
        if self.recipe.text_only:
            pixels = self._nothing()
        else:
            pixels = self.processor.video_processor(
                rows[0]["video"],
                num_clips=self.clips,
                sampling_strategy="random" if self.training else "dense",
                generator=generator,
            )["pixel_values_videos"]
        most = self.recipe.questions_per_video
        if self.training and most is not None and len(rows) > most:
            rows = [rows[index] for index in np.sort(generator.permutation(len(rows))[:most])]
        return {"pixels": pixels, "rows": rows}

    def _nothing(self) -> torch.Tensor:
        """The mean colour everywhere. All clips would be the same, so there is one."""
        video = self.processor.video_processor
        side = video.size["longest_edge"]
        return torch.zeros(1, 1, video.num_frames, 3, side, side)


class QACollator:
    """Samples to a batch: what the model takes, the labels, and the rows for the metric."""

    def __init__(self, processor: ClipBertProcessor, answers: Sequence[str]) -> None:
        self.processor = processor
        self.labels = {answer: index for index, answer in enumerate(answers)}

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Answers outside of the vocabulary have the label -100, which the loss leaves out."""
        rows = [sample["rows"] for sample in samples]
        inputs = dict(self.processor(text=[[row["question"] for row in group] for group in rows]))
        inputs["pixel_values_videos"] = torch.cat([sample["pixels"] for sample in samples])
        labels = [self.labels.get(row["answer"], -100) for group in rows for row in group]
        return {
            "inputs": inputs,
            "labels": torch.tensor(labels),
            "rows": rows,
            "ids": [row["id"] for group in rows for row in group],
        }


class VideoQATask:
    """See ``training_loop.Task``.

    Args:
        answers: The vocabulary.
        score_aggregation: Of the model.
        inference_clips: The numbers of clips to evaluate; batches hold as many as the largest.
    """

    def __init__(self, answers: Sequence[str], score_aggregation: Any, inference_clips: Sequence[int]) -> None:
        self.answers, self.score_aggregation = answers, score_aggregation
        self.inference_clips = sorted(inference_clips)

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """Cross-entropy of the aggregated logits."""
        return model(**batch["inputs"], labels=batch["labels"]).loss

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """For each video a list of (row, {number of clips: predicted answer})."""
        clip_logits = model(**batch["inputs"]).clip_logits  # (N, K, L)
        clips = clip_logits.shape[1]
        chosen = {}
        for count in self.inference_clips:
            # Dense clips start at delta * i / N: those of N are every (K / N)-th of those of K.
            some = clip_logits[:, :: clips // count]
            best = aggregate_clip_logits(some, self.score_aggregation).argmax(-1)
            chosen[count] = [self.answers[index] for index in best.tolist()]
        records, first = [], 0
        for rows in batch["rows"]:
            places = range(first, first + len(rows))
            records.append(
                [
                    (
                        {name: row.get(name) for name in ("id", "answer", "answer_type")},
                        {n: chosen[n][p] for n in chosen},
                    )
                    for row, p in zip(rows, places, strict=True)
                ]
            )
            first += len(rows)
        return records

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """Accuracy with the most clips, by type of answer, and with each number of clips."""
        questions = [question for video in records for question in video]
        references = [row["answer"] for row, _ in questions]
        types = [row["answer_type"] or "all" for row, _ in questions]
        metric, metrics = QAAccuracy(), {}
        for count in self.inference_clips:
            result = metric.compute(
                predictions=[predicted[count] for _, predicted in questions],
                references=references,
                answer_types=types,
                vocabulary=self.answers,
            )
            metrics[f"accuracy_by_inference_clips/{count}"] = result["accuracy"]
        metrics |= {"accuracy": result["accuracy"], "upper_bound": result["upper_bound"]}
        return metrics | {f"accuracy_by_type/{kind}": value for kind, value in result["accuracy_by_type"].items()}


def check_inference_clips(counts: Sequence[int]) -> None:
    """Check that one pass over the largest number of clips serves all.

    Raises:
        RecipeError: If not.
    """
    if not counts or min(counts) < 1 or any(max(counts) % count for count in counts):
        raise RecipeError(f"inference_clips must be numbers of at least 1 that divide the largest; got {list(counts)}")


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the script; returns what it writes to results.json."""
    recipe = parse_recipe(VideoQARecipe, arguments)
    check_inference_clips(recipe.inference_clips)
    accelerator = open_run(recipe)
    with accelerator.main_process_first():
        splits = load_splits(recipe, "qa")
        processor = create_processor(recipe, recipe, splits["train"], num_clips=max(recipe.inference_clips))
    answers = answer_vocabulary(splits["train"], recipe.answer_vocabulary_size)
    model = create_model(ClipBertForVideoQuestionAnswering, recipe, processor, labels=answers)
    aggregation = model.config.score_aggregation
    collate = QACollator(processor, answers)

    def loader(split: str, clips: int, training: bool = False) -> Any:
        if split not in splits:
            return None
        read = QASamples(processor, recipe, clips=clips, training=training)
        dataset = VideoDataset(group_by_video(splits[split]), read, seed=recipe.seed)
        return create_loader(dataset, collate, recipe, recipe, training=training)

    blind = recipe.text_only
    trained, summary = train(
        accelerator=accelerator,
        model=model,
        task=VideoQATask(answers, aggregation, [1 if blind else recipe.validation_clips]),
        train_loader=loader("train", recipe.training_clips, training=True),
        eval_loader=loader("validation", recipe.validation_clips),
        settings=recipe,
        is_cnn=is_cnn_parameter,
    )
    test_loader = loader("test", max(recipe.inference_clips))
    test = {}
    if test_loader is not None:
        task = VideoQATask(answers, aggregation, [1] if blind else recipe.inference_clips)
        test = evaluate(accelerator, trained, accelerator.prepare(test_loader), task, name="test")
    return close_run(accelerator, trained, processor, recipe, summary=summary, test=test)


if __name__ == "__main__":
    run_script(main)
