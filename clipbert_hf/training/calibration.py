"""Calibration at the end of a run: a temperature found on validation data, and kept in the model's configuration."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import PartialState
from torch import nn

from ..metrics import expected_calibration_error
from .data.clips import QuestionTaskSettings
from .data.splits import Row, Splits, some_videos
from .temperature import confidences, fit_temperature


class AnswerTask(Protocol):
    """A task whose logits become the probabilities of answers."""

    def logits_and_labels(self, model: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Of an evaluation batch, aggregated over most clips: logits (N, L); labels (N,), or (N, L) of soft answers."""

    def answer_scores(self, batch: Any, chosen: Sequence[int]) -> list[float]:
        """What the answers with these indices are worth, from 0 to 1, one a question."""


def rows_to_calibrate(recipe: QuestionTaskSettings, splits: Splits) -> Sequence[Row]:
    """The rows of the validation split on which a run finds its temperature; none where it finds none.

    Args:
        recipe: The settings.
        splits: Of the data set.
    """
    if recipe.calibration_rows is None or not recipe.trains or not recipe.has_confidence or "validation" not in splits:
        return []
    return some_videos(splits["validation"], recipe.calibration_rows, recipe.seed)


class CalibrationTask:
    """Finds the temperature of a model; see :class:`clipbert_hf.training.evaluation.Task`.

    Args:
        task: Whose answers are to be calibrated, on as many clips as these are given from.
    """

    evaluation_size = "to calibrate confidences"

    def __init__(self, task: AnswerTask) -> None:
        self.task = task

    @property
    def metric_names(self) -> Collection[str]:
        """None that choose a checkpoint."""
        return ()

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """There is none.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("calibration trains no weights")

    def label_counts(self, batch: Any) -> int:
        """There is no loss, and so no label."""
        return 0

    def predict(self, model: nn.Module, batch: Any) -> list[Any]:
        """For each video (logits, labels, scores of the best answers), arrays with a row a question."""
        logits, labels = (each.float().cpu().numpy() for each in self.task.logits_and_labels(model, batch))
        scores = np.array(self.task.answer_scores(batch, logits.argmax(-1).tolist()))
        ends = np.cumsum(_questions_of_videos(batch))[:-1]
        return [*zip(*(np.split(each, ends) for each in (logits, labels, scores)), strict=True)]

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """The temperature, and what it changes on the same questions."""
        logits, labels, scores = (np.concatenate(each) for each in zip(*records, strict=True))
        independent = labels.ndim == 2
        fitted = fit_temperature(logits, labels if independent else labels.astype(np.int64))
        errors = {
            f"expected_calibration_error/{name}": expected_calibration_error(
                confidences(logits, temperature, independent=independent), scores
            )
            for name, temperature in (("before", 1.0), ("after", fitted.temperature))
        }
        found = {"temperature": fitted.temperature, "questions": len(logits), **errors}
        if fitted.questions:
            found["negative_log_likelihood/before"] = fitted.nll_before
            found["negative_log_likelihood/after"] = fitted.nll_after
        if fitted.problem is not None and PartialState().is_main_process:
            sys.stderr.write(f"no calibration: {fitted.problem}\n")
        return found

    def adopt(self, model: nn.Module, metrics: Mapping[str, float]) -> None:
        """Note the temperature in the configuration with which the model is saved."""
        bare: Any = getattr(model, "module", model)
        bare.config.calibration_temperature = metrics["temperature"]


def _questions_of_videos(batch: Mapping[str, Any]) -> list[int]:
    return batch["questions"] if "questions" in batch else [len(rows) for rows in batch["rows"]]
