"""Questions about videos: open-ended ones, counting, and image VQA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from datasets_scripts.annotations.vocabulary import answer_scores

from ...metrics import QAAccuracy, count_error, vqa_score
from ...model.modeling_clipbert import ClipBertForVideoQuestionAnswering, ClipBertForVideoRegression
from ...model.processing_clipbert import ClipBertProcessor
from ..data.answers import AnswerKind, answers_to_learn, learned_answers
from ..data.clips import QuestionTaskSettings
from ..data.splits import Row
from ..recipe import setting
from ..starting_points import create_model
from .clip_scores import logits_by_clips


@dataclass(kw_only=True)
class VideoQARecipe(QuestionTaskSettings):
    """Question answering."""

    answer_kind: Literal["open_ended", "count", "soft"] = setting(
        "open_ended", "answers are words; numbers of repetitions; or soft: the words of several people (VQA v2)"
    )
    answer_vocabulary_size: int | None = setting(None, "only so many answers, the most frequent; null: all")


class QACollator:
    """Samples to a batch: what the model takes, the labels, and the rows for the metric.

    Args:
        processor: Of the model.
        answers: The vocabulary; empty for counts.
        answer_kind: What the labels are.
    """

    def __init__(
        self, processor: ClipBertProcessor, answers: Sequence[str], answer_kind: AnswerKind = "open_ended"
    ) -> None:
        self.processor, self.answer_kind = processor, answer_kind
        self.labels = {answer: index for index, answer in enumerate(answers)}

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Answers outside of the vocabulary have the label -100, which the loss leaves out."""
        rows = [sample["rows"] for sample in samples]
        inputs = dict(self.processor(text=[[row["question"] for row in group] for group in rows]))
        inputs["pixel_values_videos"] = torch.cat([sample["pixels"] for sample in samples])
        return {
            "inputs": inputs,
            "labels": self._labels([row for group in rows for row in group]),
            "rows": rows,
            "ids": [row["id"] for group in rows for row in group],
        }

    def _labels(self, rows: Sequence[Row]) -> torch.Tensor:
        if self.answer_kind == "count":
            return torch.tensor([float(row["answer"]) for row in rows])
        if self.answer_kind == "open_ended":
            return torch.tensor([self.labels.get(row["answer"], -100) for row in rows])
        labels = torch.zeros(len(rows), len(self.labels))
        for place, row in enumerate(rows):
            for answer, score in answer_scores(row).items():
                if answer in self.labels:
                    labels[place, self.labels[answer]] = score
        return labels


class VideoQATask:
    """See :class:`clipbert_hf.training.loop.Task`.

    Args:
        answers: The vocabulary.
        score_aggregation: Of the model.
        inference_clips: The numbers of clips to evaluate; batches hold as many as the largest.
        answer_kind: What is predicted.
    """

    def __init__(
        self,
        answers: Sequence[str],
        score_aggregation: Any,
        inference_clips: Sequence[int],
        answer_kind: AnswerKind = "open_ended",
    ) -> None:
        self.answers, self.score_aggregation, self.answer_kind = answers, score_aggregation, answer_kind
        self.inference_clips = sorted(inference_clips)

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """Cross-entropy of the aggregated logits, binary with soft labels; squared error of counts."""
        return model(**batch["inputs"], labels=batch["labels"]).loss

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """For each video a list of (row, {number of clips: predicted answer})."""
        clip_logits = model(**batch["inputs"]).clip_logits  # (N, K, L)
        by_clips = logits_by_clips(clip_logits, self.score_aggregation, self.inference_clips)
        chosen: dict[int, list[Any]] = {}
        for count, logits in by_clips.items():
            if self.answer_kind == "count":
                chosen[count] = logits.squeeze(-1).tolist()
            else:
                chosen[count] = [self.answers[index] for index in logits.argmax(-1).tolist()]
        records, first = [], 0
        for rows in batch["rows"]:
            places = range(first, first + len(rows))
            records.append(
                [
                    (
                        {name: row.get(name) for name in ("id", "answer", "answers", "answer_type")},
                        {n: chosen[n][p] for n in chosen},
                    )
                    for row, p in zip(rows, places, strict=True)
                ]
            )
            first += len(rows)
        return records

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """The metric with the most clips, by type of answer, and with each number of clips."""
        questions = [question for video in records for question in video]
        rows = [row for row, _ in questions]
        metrics: dict[str, float] = {}
        for count in self.inference_clips:
            result = self._compare([predicted[count] for _, predicted in questions], rows)
            main = next(iter(result))
            metrics[f"{main}_by_inference_clips/{count}"] = result[main]
        return metrics | result

    def _compare(self, predictions: list[Any], rows: list[Row]) -> dict[str, float]:
        """Metrics of the split; the first is the one that is reported for each number of clips."""
        types = [row["answer_type"] or "all" for row in rows]
        if self.answer_kind == "count":
            return count_error(np.array(predictions), np.array([float(row["answer"]) for row in rows]))
        if self.answer_kind == "soft":
            if any(isinstance(answer, dict) for row in rows for answer in row["answers"]):  # scores are all there is
                pairs = zip(predictions, rows, strict=True)
                return {"score": float(np.mean([answer_scores(row).get(answer, 0.0) for answer, row in pairs]))}
            result = vqa_score(predictions, [row["answers"] for row in rows], answer_types=types)
            first = {"score": result["score"]}
            return first | {f"score_by_type/{kind}": value for kind, value in result["score_by_type"].items()}
        result = QAAccuracy().compute(
            predictions=predictions,
            references=[row["answer"] for row in rows],
            answer_types=types,
            vocabulary=self.answers,
        )
        first = {"accuracy": result["accuracy"], "upper_bound": result["upper_bound"]}
        return first | {f"accuracy_by_type/{kind}": value for kind, value in result["accuracy_by_type"].items()}


def choose_answers(recipe: VideoQARecipe, rows: Sequence[Row]) -> list[str]:
    """The answers that a model learns or, where there is no training split, has learned; none where it counts.

    Args:
        recipe: The settings.
        rows: Of the training split.

    Raises:
        RecipeError: If there is neither a training split nor a model that answers questions, or the rows lack what the
            kind of answers asks for.
    """
    if not rows and recipe.answer_kind != "count":
        return learned_answers(recipe.start_from, recipe)
    return answers_to_learn(rows, recipe.answer_kind, recipe, recipe.answer_vocabulary_size)


def create_qa_model(
    recipe: VideoQARecipe, processor: ClipBertProcessor, answers: list[str]
) -> ClipBertForVideoQuestionAnswering | ClipBertForVideoRegression:
    """The model of a run: one that chooses among answers, or one that counts."""
    if recipe.answer_kind == "count":
        return create_model(ClipBertForVideoRegression, recipe, processor)
    return create_model(ClipBertForVideoQuestionAnswering, recipe, processor, labels=answers)
