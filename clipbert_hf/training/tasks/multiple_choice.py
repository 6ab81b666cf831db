"""Multiple choice questions about videos: a model compares the options, or a retrieval model ranks them as captions."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from accelerate import PartialState
from torch import nn

from ...metrics import choice_accuracy
from ...model.modeling_clipbert import ClipBertForMultipleChoice, ClipBertForVideoTextRetrieval
from ...model.pair_scoring_clipbert import ranking_scores
from ...model.processing_clipbert import ClipBertProcessor
from ..data.clips import QuestionTaskSettings, frame_indices
from ..data.row_tables import Row
from ..data.rows import as_rows
from ..recipe import RecipeError, setting
from .clip_scores import logits_by_clips
from .confidence import calibration_errors, confidence_of, config_of, prediction
from .pair_scoring import EvaluationScorer

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

    @property
    def has_confidence(self) -> bool:
        """See the base; the logits of a retrieval model are of a match each, not of the options of a question."""
        return self.answer_by == "choice"


# What of a row an evaluation keeps.
_RECORDED = ("id", "video", "question", "options")


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
        # Equal options count as one, the first of them.
        firsts = [[row["options"].index(text) for text in row["options"]] for row in rows]
        return {
            "inputs": inputs,
            **frame_indices(samples),
            "labels": torch.tensor([first[row["answer"]] for first, row in zip(firsts, rows, strict=True)]),
            "firsts": firsts,
            "questions": [len(group) for group in groups],
            "rows": [{name: row.get(name) for name in _RECORDED} for row in rows],
            "ids": [row["id"] for row in rows],
        }


class MultipleChoiceTask:
    """See :class:`clipbert_hf.training.evaluation.Task`.

    Args:
        score_aggregation: Of the model.
        inference_clips: The numbers of clips to evaluate; batches hold what
            :class:`~clipbert_hf.training.data.clips.ClipSamples` reads for these.
        answer_by: The kind of model.
    """

    single_clip = "middle"  # one clip lies a third into the video, as published for this task

    def __init__(self, score_aggregation: Any, inference_clips: Sequence[int], answer_by: AnswerBy) -> None:
        self.score_aggregation, self.answer_by = score_aggregation, answer_by
        self.inference_clips, self.scoring = sorted(inference_clips), EvaluationScorer()
        self.temperature = 1.0

    @property
    def metric_names(self) -> list[str]:
        """See :class:`clipbert_hf.training.evaluation.Task`."""
        calibration = ["expected_calibration_error"] if self.answer_by == "choice" else []
        return ["accuracy", *calibration, *(f"accuracy_by_inference_clips/{count}" for count in self.inference_clips)]

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """Cross-entropy over the choices."""
        return model(**batch["inputs"], labels=batch["labels"]).loss

    def label_counts(self, batch: dict[str, Any]) -> int:
        """Questions."""
        return len(batch["labels"])

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """For each video a list of (row with the right choice, {number of clips: chosen one})."""
        by_clips, chosen = self._logits(model, batch), {}
        for count, logits in by_clips.items():
            if self.answer_by == "retrieval":
                logits = ranking_scores(logits).unflatten(0, (len(batch["labels"]), -1))
            choices = zip(batch["firsts"], logits.argmax(-1).tolist(), strict=True)
            chosen[count] = [first[choice] for first, choice in choices]
        rights = batch["labels"].tolist()
        rows = [{**row, "answer": right} for row, right in zip(batch["rows"], rights, strict=True)]
        if self.answer_by == "choice":
            confidence = confidence_of(by_clips[max(by_clips)], self.temperature)
            rows = [row | of_row for row, of_row in zip(rows, confidence, strict=True)]
        questions = [(row, {count: chosen[count][place] for count in chosen}) for place, row in enumerate(rows)]
        ends = np.cumsum(batch["questions"]).tolist()
        return [questions[end - number : end] for number, end in zip(batch["questions"], ends, strict=True)]

    def _logits(self, model: nn.Module, batch: dict[str, Any]) -> dict[int, torch.Tensor]:
        """With each number of clips, (N, L); of a retrieval model (N * L, 2 or 1)."""
        clip_logits = self.scoring.clip_logits(model, batch["inputs"], batch.get("frame_indices"))
        return logits_by_clips(clip_logits, self.score_aggregation, self.inference_clips, single_clip=self.single_clip)

    def logits_and_labels(self, model: nn.Module, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`clipbert_hf.training.calibration.AnswerTask`."""
        by_clips = self._logits(model, batch)
        return by_clips[max(by_clips)], batch["labels"]

    def answer_scores(self, batch: dict[str, Any], chosen: Sequence[int]) -> list[float]:
        """See :class:`clipbert_hf.training.calibration.AnswerTask`."""
        rights = batch["labels"].tolist()
        return [
            float(first[choice] == right) for first, choice, right in zip(batch["firsts"], chosen, rights, strict=True)
        ]

    def adopt(self, model: nn.Module, metrics: Mapping[str, float]) -> None:
        """Take the temperature of a model before its test."""
        self.temperature = float(config_of(model).calibration_temperature)

    def predictions(self, records: list[Any]) -> list[dict[str, Any]]:
        """What was chosen with the most clips, one entry a question, for predictions.jsonl."""
        entries = []
        for row, by_clips in (question for video in records for question in video):
            right, choice = row["answer"], by_clips[max(by_clips)]
            options = row["options"]
            entries.append(prediction({**row, "answer": options[right]}, options[choice], float(choice == right)))
        return entries

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """Accuracy with the most clips, and with each number of clips."""
        self.scoring.release()
        questions = [question for video in records for question in video]
        rights = np.array([row["answer"] for row, _ in questions])
        metrics = {}
        for count in self.inference_clips:
            chosen = np.array([by_clips[count] for _, by_clips in questions])
            metrics["accuracy"] = choice_accuracy(chosen, rights)["accuracy"]
            metrics[f"accuracy_by_inference_clips/{count}"] = metrics["accuracy"]
        return metrics | calibration_errors(
            [row for row, _ in questions], lambda place: float(chosen[place] == rights[place])
        )


def check_options(rows: Sequence[Row], answer_by: AnswerBy = "choice", split: str | None = None) -> None:
    """Check that the model can compare the options, before anything is trained.

    An option may be there twice, as captions of other videos may: equal options count as one. Where it is the right
    one, that is said.

    Args:
        rows: Of a split.
        answer_by: Whether options are read with their question, or as captions.
        split: Its name, for messages.

    Raises:
        RecipeError: If a question or an option is blank, questions differ in their number of options, or an answer is
            none of them; the row is named, and the split.
    """
    of_split = "" if split is None else f" of the split {split!r}"
    twice, first = [], rows[0] if len(rows) else {}
    for row in as_rows(rows).each("id", "question", "options", "answer"):
        place, options, answer = f"question {row['id']}{of_split}", row["options"], row["answer"]
        if answer_by == "choice" and not _is_text(row.get("question")):
            raise RecipeError(
                f"{place} must be a text that is not blank; got {row.get('question')!r}. answer_by=retrieval reads the "
                "options as captions and needs no question (--answer_by retrieval --epochs 0)"
            )
        blank = next((number for number, option in enumerate(options) if not _is_text(option)), None)
        if blank is not None:
            raise RecipeError(f"option {blank} of {place} must be a text that is not blank; got {options[blank]!r}")
        if len(options) < 2:
            raise RecipeError(f"{place} must have at least two options; got {options}")
        if len(options) != len(first["options"]):
            raise RecipeError(
                f"all questions{of_split} must have the same number of options; got {len(first['options'])} of "
                f"question {first['id']} and {len(options)} of question {row['id']}"
            )
        if not isinstance(answer, int) or not 0 <= answer < len(options):
            raise RecipeError(
                f"the answer to {place} must be an index of its {len(options)} options, from 0; got {answer!r}"
            )
        if options.count(options[answer]) > 1:
            twice.append(row["id"])
    if twice and PartialState().is_main_process:
        sys.stderr.write(
            f"{len(twice):,} questions{of_split} have their right option twice, such as {twice[0]}: either counts\n"
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def model_class(answer_by: AnswerBy) -> type[ClipBertForMultipleChoice] | type[ClipBertForVideoTextRetrieval]:
    """The class of the model that answers."""
    return ClipBertForVideoTextRetrieval if answer_by == "retrieval" else ClipBertForMultipleChoice
