"""Accuracy of chosen indices, as a metric of ``evaluate``."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

from clipbert_hf.metrics import choice_accuracy


class ChoiceAccuracy(evaluate.Metric):
    """:func:`choice_accuracy` as an ``evaluate.Metric``."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description=choice_accuracy.__doc__ or "",
            features=datasets.Features({name: datasets.Value("int64") for name in ("predictions", "references")}),
        )

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return choice_accuracy(np.asarray(predictions), np.asarray(references))
