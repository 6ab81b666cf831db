"""R@1, R@5, R@10, median and mean rank of text-to-video and video-to-text retrieval, as a metric of ``evaluate``.

Ranks count from 1. Candidates with equal scores stand in random order, and the rank is the expected one.
"""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

from clipbert_hf.metrics import retrieval_metrics


class Retrieval(evaluate.Metric):
    """:func:`retrieval_metrics` as an ``evaluate.Metric``.

    A prediction is the scores of a text against all videos, a reference the index of its video.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description=retrieval_metrics.__doc__ or "",
            features=datasets.Features(
                {"predictions": datasets.Sequence(datasets.Value("float64")), "references": datasets.Value("int64")}
            ),
        )

    def _compute(
        self,
        predictions: Sequence[Sequence[float]],
        references: Sequence[int],
        dual_softmax_scale: float | None = None,
    ) -> dict[str, dict[str, float]]:
        return retrieval_metrics(np.asarray(predictions), np.asarray(references), dual_softmax_scale=dual_softmax_scale)
