"""Mean squared error of counting, rounded as the literature reports it and as it is, as a metric of ``evaluate``."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

from clipbert_hf.metrics import count_error


class CountError(evaluate.Metric):
    """:func:`count_error` as an ``evaluate.Metric``."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description=count_error.__doc__ or "",
            features=datasets.Features({name: datasets.Value("float64") for name in ("predictions", "references")}),
        )

    def _compute(self, predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
        return count_error(np.asarray(predictions), np.asarray(references))
