"""The score of VQA v2, as a metric of ``evaluate``: how many of ten people gave the answer, at most three counting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from clipbert_hf.metrics import vqa_score


class VQAScore(evaluate.Metric):
    """:func:`vqa_score` as an ``evaluate.Metric``."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description=vqa_score.__doc__ or "",
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "references": datasets.Sequence(datasets.Value("string")),
                }
            ),
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        answer_types: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        return vqa_score(predictions, references, answer_types=answer_types)
