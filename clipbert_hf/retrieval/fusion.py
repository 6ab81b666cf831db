"""Two rankings as one: the similarity of a contrastive head, and the score of a match by all layers together.

Alone each has its weakness: the first sees text and clips apart, the second may be the worse ranker of a model that
learned from few pairs. So both are divided by their standard deviation and added up, with a weight that validation
data choose. Not in the paper.

Shapes: N texts, V videos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..errors import InvalidInputError
from ..metrics.retrieval import text_to_video_ranks

WEIGHTS = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class ScoreFusion:
    """How two scores of a pair are added up; ``config.score_fusion`` holds it.

    Args:
        first_stage_std: Standard deviation of the similarities on validation data.
        matching_std: That of the logits of a match.
        weight: Of the standardised logit of a match; the similarity has 1.
    """

    first_stage_std: float = 1.0
    matching_std: float = 1.0
    weight: float = 1.0

    @classmethod
    def from_config(cls, config: object) -> ScoreFusion | None:
        """What validation data chose for a model; None if they never did."""
        values = getattr(config, "score_fusion", None)
        return None if values is None else cls(**values)

    def to_dict(self) -> dict[str, float]:
        """For ``config.score_fusion``."""
        return asdict(self)

    def combine(self, first_stage: np.ndarray, matching: np.ndarray) -> np.ndarray:
        """The sum of both, each standardised, of any shape."""
        return first_stage / self.first_stage_std + self.weight * matching / self.matching_std


def choose_fusion(
    first_stage: np.ndarray,
    matching: np.ndarray,
    video_of_text: np.ndarray,
    *,
    candidates: int | None = None,
    weights: Sequence[float] = WEIGHTS,
) -> ScoreFusion:
    """Choose the weight by which texts find their videos best: by the mean of one over the rank.

    Args:
        first_stage: Similarities of validation data, (N, V).
        matching: Logits of a match, (N, V).
        video_of_text: Index of the right video of each text, (N,).
        candidates: How many videos the first stage leaves to be matched; None: all.
        weights: To choose from, ascending; of equally good ones the middle one.

    Raises:
        InvalidInputError: If the two differ in shape.
    """
    if first_stage.shape != matching.shape:
        raise InvalidInputError(
            f"first_stage and matching must have one shape; got {first_stage.shape} and {matching.shape}"
        )
    fusions = [ScoreFusion(_std(first_stage), _std(matching), weight) for weight in weights]
    means = [
        float((1 / text_to_video_ranks(scores, video_of_text)).mean())
        for scores in (two_stage_scores(first_stage, matching, fusion, candidates) for fusion in fusions)
    ]
    best = [fusion for fusion, mean in zip(fusions, means, strict=True) if mean == max(means)]
    return best[len(best) // 2]


def two_stage_scores(
    first_stage: np.ndarray, matching: np.ndarray, fusion: ScoreFusion, candidates: int | None = None
) -> np.ndarray:
    """What ranks as a search in two stages: the best of the first one by both scores, before all others.

    Args:
        first_stage: (N, V).
        matching: (N, V), of which only those of the candidates are looked at.
        fusion: How both are added up.
        candidates: How many videos of each text the first stage leaves to be matched; None: all.

    Returns:
        (N, V), ordered within each text.

    Example:
        >>> first, matching = np.array([[0.9, 0.8, 0.1]]), np.array([[0.0, 1.0, 9.0]])
        >>> two_stage_scores(first, matching, ScoreFusion(), candidates=2).argsort()[0, ::-1].tolist()
        [1, 0, 2]
    """
    fused = fusion.combine(first_stage, matching)
    if candidates is None or candidates >= first_stage.shape[1]:
        return fused
    order = np.argsort(-first_stage, axis=1, kind="stable")[:, :candidates]
    chosen = np.zeros(first_stage.shape, dtype=bool)
    np.put_along_axis(chosen, order, True, axis=1)
    # All others rank by the first stage below the last of the chosen.
    lowest = np.where(chosen, fused, np.inf).min(1, keepdims=True)
    highest = np.where(chosen, -np.inf, first_stage).max(1, keepdims=True)
    return np.where(chosen, fused, first_stage - highest + lowest - 1)


def _std(scores: np.ndarray) -> float:
    return float(np.asarray(scores, dtype=np.float64).std()) or 1.0
