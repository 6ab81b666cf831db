"""Questions about videos: open-ended ones, counting, and image VQA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from datasets_scripts.annotations.vocabulary import AnswerVocabulary, answer_scores, people_answers

from ...metrics import QAAccuracy, count_error, vqa_score
from ...metrics.vqa_score import vqa_question_score
from ...model.modeling_clipbert import ClipBertForVideoQuestionAnswering, ClipBertForVideoRegression
from ...model.processing_clipbert import ClipBertProcessor
from ..data.answer_checks import check_answers, soft_metric
from ..data.answers import AnswerKind, answers_to_learn, drop_unanswered_test, learned_answers
from ..data.clips import QuestionTaskSettings, frame_indices
from ..data.row_tables import Row
from ..data.splits import Splits
from ..recipe import RecipeError, check_at_least, setting
from ..starting_points import create_model
from .clip_scores import logits_by_clips
from .confidence import calibration_errors, confidence_of, config_of, prediction
from .pair_scoring import EvaluationScorer


@dataclass(kw_only=True)
class VideoQARecipe(QuestionTaskSettings):
    """Question answering."""

    answer_kind: Literal["open_ended", "count", "soft"] = setting(
        "open_ended", "answers are words; numbers of repetitions; or soft: the words of several people (VQA v2)"
    )
    answer_vocabulary_size: int | None = setting(None, "only so many answers, the most frequent; null: all")
    answers: str | None = setting(
        None, "a JSON file {answer: label} with the answers to learn, in place of those of the training split"
    )
    answer_case: Literal["error", "lower", "keep"] = setting(
        "error",
        "answers that differ only in case or outer white space, in whichever splits: an error; lower: all answers are "
        "made lower case and stripped; keep: they are different answers",
    )

    @property
    def has_confidence(self) -> bool:
        """See the base."""
        return self.answer_kind != "count"

    def check(self) -> None:
        """See the base."""
        super().check()
        check_at_least(self, {"answer_vocabulary_size": 1})
        if self.answers is not None and (self.answer_kind == "count" or self.answer_vocabulary_size is not None):
            raise RecipeError(
                "answers has all that a model learns: neither answer_kind=count nor answer_vocabulary_size"
            )


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
            **frame_indices(samples),
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


# What of a row an evaluation keeps.
_RECORDED = ("id", "video", "question", "answer", "answers", "people_answers", "answer_type")

# What answers of each kind are compared by: the figures for each number of clips, and the others.
_METRICS: dict[AnswerKind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "open_ended": (("accuracy",), ("upper_bound", "accuracy_by_type/*")),
    "count": (("mse",), ("mse_unrounded", "accuracy")),
    "soft": (("vqa_accuracy", "soft_score"), ("vqa_accuracy_by_type/*",)),
}


class VideoQATask:
    """See :class:`clipbert_hf.training.evaluation.Task`.

    Args:
        answers: The vocabulary.
        score_aggregation: Of the model.
        inference_clips: The numbers of clips to evaluate; batches hold what
            :class:`~clipbert_hf.training.data.clips.ClipSamples` reads for these.
        answer_kind: What is predicted.
    """

    single_clip = "dense"  # one clip lies at the start, as published for questions

    def __init__(
        self,
        answers: Sequence[str],
        score_aggregation: Any,
        inference_clips: Sequence[int],
        answer_kind: AnswerKind = "open_ended",
    ) -> None:
        self.answers, self.score_aggregation, self.answer_kind = answers, score_aggregation, answer_kind
        self.inference_clips, self.scoring = sorted(inference_clips), EvaluationScorer()
        self.temperature = 1.0

    @property
    def metric_names(self) -> list[str]:
        """See :class:`clipbert_hf.training.evaluation.Task`; which one scores soft answers is seen from the rows."""
        main, further = _METRICS[self.answer_kind]
        further = further if self.answer_kind == "count" else (*further, "expected_calibration_error")
        return [*main, *further, *(f"{name}_by_inference_clips/{n}" for name in main for n in self.inference_clips)]

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """Cross-entropy of the aggregated logits, binary with soft labels; squared error of counts."""
        return model(**batch["inputs"], labels=batch["labels"]).loss

    def label_counts(self, batch: dict[str, Any]) -> int:
        """Questions with an answer that the model learns."""
        labels = batch["labels"]
        return int((labels != -100).sum()) if self.answer_kind == "open_ended" else len(labels)

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """For each video a list of (row, {number of clips: predicted answer})."""
        chosen: dict[int, list[Any]] = {}
        by_clips = self._logits(model, batch)
        for count, logits in by_clips.items():
            if self.answer_kind == "count":
                chosen[count] = logits.squeeze(-1).tolist()
            else:
                chosen[count] = [self.answers[index] for index in logits.argmax(-1).tolist()]
        confidence: list[dict[str, float]] = [{}] * sum(map(len, batch["rows"]))
        if self.answer_kind != "count":
            soft = self.answer_kind == "soft"
            confidence = confidence_of(by_clips[max(by_clips)], self.temperature, independent=soft)
        records, first = [], 0
        for rows in batch["rows"]:
            places = range(first, first + len(rows))
            records.append(
                [
                    (
                        {name: row.get(name) for name in _RECORDED} | confidence[p],
                        {n: chosen[n][p] for n in chosen},
                    )
                    for row, p in zip(rows, places, strict=True)
                ]
            )
            first += len(rows)
        return records

    def _logits(self, model: nn.Module, batch: dict[str, Any]) -> dict[int, torch.Tensor]:
        """With each number of clips, (N, L)."""
        clip_logits = self.scoring.clip_logits(model, batch["inputs"], batch.get("frame_indices"))  # (N, K, L)
        return logits_by_clips(clip_logits, self.score_aggregation, self.inference_clips, single_clip=self.single_clip)

    def logits_and_labels(self, model: nn.Module, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`clipbert_hf.training.calibration.AnswerTask`."""
        by_clips = self._logits(model, batch)
        return by_clips[max(by_clips)], batch["labels"]

    def answer_scores(self, batch: dict[str, Any], chosen: Sequence[int]) -> list[float]:
        """See :class:`clipbert_hf.training.calibration.AnswerTask`."""
        rows = [row for group in batch["rows"] for row in group]
        return [self._worth(self.answers[index], row) for index, row in zip(chosen, rows, strict=True)]

    def _worth(self, answer: Any, row: Row) -> float:
        """What an answer is worth: 0 or 1, or of soft answers a score between."""
        if self.answer_kind != "soft":
            return float(str(answer) == str(row["answer"]))
        people = people_answers(row)
        return vqa_question_score(answer, people) if people else min(answer_scores(row).get(answer, 0.0), 1.0)

    def adopt(self, model: nn.Module, metrics: Mapping[str, float]) -> None:
        """Take the temperature of a model before its test."""
        self.temperature = float(config_of(model).calibration_temperature)

    def predictions(self, records: list[Any]) -> list[dict[str, Any]]:
        """What was predicted with the most clips, one entry a question, for predictions.jsonl."""
        return [
            prediction(row, by_clips[max(by_clips)], self._worth_of_prediction(row, by_clips[max(by_clips)]))
            for video in records
            for row, by_clips in video
        ]

    def _worth_of_prediction(self, row: Row, answer: Any) -> float:
        return float(round(answer) == float(row["answer"])) if self.answer_kind == "count" else self._worth(answer, row)

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """The metric with the most clips, by type of answer, and with each number of clips."""
        self.scoring.release()
        questions = [question for video in records for question in video]
        rows = [row for row, _ in questions]
        metrics: dict[str, float] = {}
        for count in self.inference_clips:
            result = self._compare([predicted[count] for _, predicted in questions], rows)
            main = next(iter(result))
            metrics[f"{main}_by_inference_clips/{count}"] = result[main]
        return metrics | result | self._calibration_errors(questions)

    def _calibration_errors(self, questions: list[Any]) -> dict[str, float]:
        most = max(self.inference_clips)
        return calibration_errors(
            [row for row, _ in questions], lambda place: self._worth(questions[place][1][most], questions[place][0])
        )

    def _compare(self, predictions: list[Any], rows: list[Row]) -> dict[str, float]:
        """Metrics of the split; the first is the one that is reported for each number of clips."""
        types = [row["answer_type"] or "untyped" for row in rows]
        if self.answer_kind == "count":
            return count_error(np.array(predictions), np.array([float(row["answer"]) for row in rows]))
        if self.answer_kind == "soft":
            if soft_metric(rows) == "soft_score":
                pairs = zip(predictions, rows, strict=True)
                return {"soft_score": float(np.mean([answer_scores(row).get(answer, 0.0) for answer, row in pairs]))}
            result = vqa_score(predictions, [people_answers(row) for row in rows], answer_types=types)
            return {"vqa_accuracy": result["score"], **_by_type("vqa_accuracy", result["score_by_type"])}
        result = QAAccuracy().compute(
            predictions=predictions,
            references=[row["answer"] for row in rows],
            answer_types=types,
            vocabulary=self.answers,
        )
        first = {"accuracy": result["accuracy"], "upper_bound": result["upper_bound"]}
        return first | _by_type("accuracy", result["accuracy_by_type"])


def _by_type(name: str, values: Mapping[str, float]) -> dict[str, float]:
    """A metric for each type of answer, where types are known; a slash would be a level of results.json."""
    if set(values) == {"untyped"}:
        return {}
    return {f"{name}_by_type/{kind.replace('/', '_')}": value for kind, value in values.items()}


def prepare_answers(recipe: VideoQARecipe, splits: Splits) -> None:
    """Check the answers of all splits before anything is trained, and leave out a test whose answers are unknown.

    Args:
        recipe: The settings.
        splits: The rows of each; with ``answer_case=lower`` their answers are changed in place.

    Raises:
        RecipeError: If an answer is none that the settings ask for, or ``best_metric`` is a score that the split
            ``validation`` cannot have; the row or the split is named.
    """
    soft = recipe.answer_kind == "soft"
    if soft:
        drop_unanswered_test(splits)
    labels = [] if recipe.trains or recipe.answer_kind == "count" else learned_answers(recipe.start_from)
    check_answers(splits, recipe.answer_kind, recipe.answer_case, labels=labels)
    if soft and recipe.trains and recipe.best_metric is not None and "validation" in splits:
        name = soft_metric(splits["validation"], "validation")
        if not recipe.best_metric.startswith(name):
            raise RecipeError(
                f"best_metric={recipe.best_metric}: the split 'validation' of {recipe.dataset} in {recipe.data_dir} is "
                f"scored by {name}, as its rows have {_SCORED_BY[name]}"
            )


_SCORED_BY = {
    "vqa_accuracy": "what each person answered ('people_answers')",
    "soft_score": "scores alone ('answers'), and not what each person answered",
}


def choose_answers(recipe: VideoQARecipe, rows: Sequence[Row]) -> list[str]:
    """The answers that a model learns or, without training, has learned; none where it counts.

    Args:
        recipe: The settings.
        rows: Of the training split.

    Raises:
        RecipeError: If there is neither training nor a model that answers questions, or the rows lack what the kind of
            answers asks for.
    """
    if not recipe.trains and recipe.answer_kind != "count":
        return learned_answers(recipe.start_from)
    if recipe.answers is not None:
        return list(AnswerVocabulary.load(recipe.answers).answers)
    return answers_to_learn(rows, recipe.answer_kind, recipe, recipe.answer_vocabulary_size)


def create_qa_model(
    recipe: VideoQARecipe, processor: ClipBertProcessor, answers: list[str]
) -> ClipBertForVideoQuestionAnswering | ClipBertForVideoRegression:
    """The model of a run: one that chooses among answers, or one that counts."""
    if recipe.answer_kind == "count":
        return create_model(ClipBertForVideoRegression, recipe, processor, trains=recipe.trains)
    model = create_model(ClipBertForVideoQuestionAnswering, recipe, processor, labels=answers, trains=recipe.trains)
    if recipe.trains:
        # So that whoever loads the model later trains and scores answers as it was trained.
        model.config.problem_type = "multi_label_classification" if recipe.answer_kind == "soft" else None
    return model
