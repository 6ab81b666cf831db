"""Accuracy of open-ended question answering, as a metric of ``evaluate``.

An answer is right if it is the reference, word for word; answers outside of the vocabulary count as wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import datasets
import evaluate

from clipbert_hf.metrics import qa_accuracy


class QAAccuracy(evaluate.Metric):
    """:func:`qa_accuracy` as an ``evaluate.Metric``: ``compute(predictions=…, references=…, answer_types=…)``."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description=qa_accuracy.__doc__ or "",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[str],
        answer_types: Sequence[str] | None = None,
        vocabulary: Collection[str] | None = None,
    ) -> dict[str, Any]:
        return qa_accuracy(predictions, references, answer_types=answer_types, vocabulary=vocabulary)
