"""How sure an evaluation's answers are, and whether that tells how often they are right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ...metrics import expected_calibration_error
from ...model.configuration_clipbert import ClipBertConfig
from ..temperature import confidences

SCORE, UNCALIBRATED = "score", "uncalibrated_score"
# What predictions.jsonl takes of a row.
_OF_ROW = ("id", "video", "question", "options", "answer", "answers", "people_answers", "answer_type")


def config_of(model: nn.Module) -> ClipBertConfig:
    """The configuration of a model, as accelerate has prepared it or not."""
    bare: Any = getattr(model, "module", model)
    return bare.config


def confidence_of(logits: torch.Tensor, temperature: float, *, independent: bool = False) -> list[dict[str, float]]:
    """The probability of each question's best answer, at a temperature and without.

    Args:
        logits: Aggregated over clips, (N, L).
        temperature: Of the model.
        independent: See :func:`clipbert_hf.training.temperature.confidences`.

    Returns:
        ``score`` and ``uncalibrated_score``, one mapping a question.
    """
    array = logits.float().cpu().numpy()
    both = (confidences(array, each, independent=independent).tolist() for each in (temperature, 1.0))
    return [{SCORE: after, UNCALIBRATED: before} for after, before in zip(*both, strict=True)]


def calibration_errors(rows: Sequence[Mapping[str, Any]], worth: Callable[[int], float]) -> dict[str, float]:
    """The expected calibration error of an evaluation; without the temperature too, where there is one.

    Args:
        rows: With what :func:`confidence_of` gives; nothing is told of answers that have no probability.
        worth: What the answer at a place is worth, from 0 to 1.
    """
    if not all(SCORE in row for row in rows):
        return {}
    scores = [worth(place) for place in range(len(rows))]
    after, before = ([row[name] for row in rows] for name in (SCORE, UNCALIBRATED))
    errors = {"expected_calibration_error": expected_calibration_error(after, scores)}
    if after != before:
        errors["expected_calibration_error_uncalibrated"] = expected_calibration_error(before, scores)
    return errors


def prediction(row: Mapping[str, Any], predicted: Any, worth: float) -> dict[str, Any]:
    """An entry of predictions.jsonl.

    Args:
        row: The question.
        predicted: The answer of the model.
        worth: What it is worth: 1 where it is right.
    """
    entry = {name: row[name] for name in (*_OF_ROW, SCORE, UNCALIBRATED) if row.get(name) is not None}
    return {**entry, "predicted": predicted, "correct": worth}
