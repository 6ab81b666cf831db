"""Multiple choice questions about videos: a model compares the options, or a retrieval model ranks them as captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ...metrics import choice_accuracy
from ...model.modeling_clipbert import ClipBertForMultipleChoice, ClipBertForVideoTextRetrieval
from ...model.processing_clipbert import ClipBertProcessor
from ..data.clips import QuestionTaskSettings
from ..data.splits import Row
from ..recipe import RecipeError, setting
from .clip_scores import logits_by_clips, match_scores

AnswerBy = Literal["choice", "retrieval"]


@dataclass(kw_only=True)
class MultipleChoiceRecipe(QuestionTaskSettings):
    """Multiple choice."""

    answer_by: Literal["choice", "retrieval"] = setting(
        "choice", "the model: one that compares choices, or a retrieval model as it is"
    )

    def check(self) -> None:
        """See the base."""
        super().check()
        if self.answer_by == "retrieval" and self.trains:
            raise RecipeError("answer_by=retrieval takes a trained model as it is: give --epochs 0")


class ChoiceCollator:
    """Samples to a batch: what the model takes, and the index of the right option.

    Args:
        processor: Of the model.
        answer_by: Whether options are read with their question, or as captions.
    """

    def __init__(self, processor: ClipBertProcessor, answer_by: AnswerBy) -> None:
        self.processor, self.answer_by = processor, answer_by

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """All questions of a batch have the same number of options."""
        groups: list[list[Row]] = [sample["rows"] for sample in samples]
        rows = [row for group in groups for row in group]
        if self.answer_by == "retrieval":
            inputs = dict(self.processor(text=[[text for row in group for text in row["options"]] for group in groups]))
        else:
            inputs = dict(
                self.processor(
                    text=[[row["question"] for row in group] for group in groups],
                    choices=[row["options"] for row in rows],
                )
            )
        inputs["pixel_values_videos"] = torch.cat([sample["pixels"] for sample in samples])
        return {
            "inputs": inputs,
            "labels": torch.tensor([row["answer"] for row in rows]),
            "questions": [len(group) for group in groups],
            "ids": [row["id"] for row in rows],
        }


class MultipleChoiceTask:
    """See :class:`clipbert_hf.training.loop.Task`.

    Args:
        score_aggregation: Of the model.
        inference_clips: The numbers of clips to evaluate; batches hold as many as the largest.
        answer_by: The kind of model.
    """

    def __init__(self, score_aggregation: Any, inference_clips: Sequence[int], answer_by: AnswerBy) -> None:
        self.score_aggregation, self.answer_by = score_aggregation, answer_by
        self.inference_clips = sorted(inference_clips)

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """Cross-entropy over the choices."""
        return model(**batch["inputs"], labels=batch["labels"]).loss

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """For each video a list of (right choice, {number of clips: chosen one})."""
        clip_logits = model(**batch["inputs"]).clip_logits  # (N, K, L), or (N * L, K, 2 or 1) of a retrieval model
        chosen = {}
        for count, logits in logits_by_clips(clip_logits, self.score_aggregation, self.inference_clips).items():
            if self.answer_by == "retrieval":
                logits = match_scores(logits).unflatten(0, (len(batch["labels"]), -1))
            chosen[count] = logits.argmax(-1).tolist()
        rights = batch["labels"].tolist()
        questions = [(right, {count: chosen[count][place] for count in chosen}) for place, right in enumerate(rights)]
        ends = np.cumsum(batch["questions"]).tolist()
        return [questions[end - number : end] for number, end in zip(batch["questions"], ends, strict=True)]

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """Accuracy with the most clips, and with each number of clips."""
        questions = [question for video in records for question in video]
        rights = np.array([right for right, _ in questions])
        metrics = {}
        for count in self.inference_clips:
            chosen = np.array([by_clips[count] for _, by_clips in questions])
            metrics["accuracy"] = choice_accuracy(chosen, rights)["accuracy"]
            metrics[f"accuracy_by_inference_clips/{count}"] = metrics["accuracy"]
        return metrics


def check_options(rows: Sequence[Row]) -> None:
    """Check that the model can compare the options.

    Raises:
        RecipeError: If questions differ in their number of options, or an answer is none of them.
    """
    numbers = {len(row["options"]) for row in rows}
    if len(numbers) > 1:
        raise RecipeError(f"all questions must have the same number of options; got {sorted(numbers)}")
    for row in rows:
        if not 0 <= row["answer"] < len(row["options"]):
            raise RecipeError(f"answer of question {row['id']} must be an index of its options; got {row['answer']}")


def model_class(answer_by: AnswerBy) -> type[ClipBertForMultipleChoice] | type[ClipBertForVideoTextRetrieval]:
    """The class of the model that answers."""
    return ClipBertForVideoTextRetrieval if answer_by == "retrieval" else ClipBertForMultipleChoice
