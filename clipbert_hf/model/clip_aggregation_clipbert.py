"""From the logits of a video's clips to the logits of the video (paper, section 3 and table 3)."""

from __future__ import annotations

from typing import Literal

import torch

from .errors_clipbert import InvalidInputError

ScoreAggregation = Literal["mean", "max", "lse"]


def aggregate_clip_logits(
    clip_logits: torch.Tensor, score_aggregation: ScoreAggregation = "mean", *, dim: int = 1
) -> torch.Tensor:
    """Aggregate logits over clips.

    Args:
        clip_logits: Logits with the clips along ``dim``, by default (texts, clips, labels).
        score_aggregation: ``"mean"``, ``"max"``, or ``"lse"``: log of the sum of exponentials. A model is best
            aggregated at inference as it was trained; with one clip all three are the same.
        dim: The dimension of the clips.

    Returns:
        The logits without ``dim``, by default (texts, labels).

    Raises:
        InvalidInputError: If ``score_aggregation`` is none of the three, or there are no clips.

    Example:
        >>> aggregate_clip_logits(torch.tensor([[[1.0, 0.0], [3.0, 2.0]]]), "mean")
        tensor([[2., 1.]])
    """
    if clip_logits.shape[dim] == 0:
        raise InvalidInputError(f"clip_logits must hold at least one clip along dim {dim}; got {clip_logits.shape}")
    if score_aggregation == "mean":
        return clip_logits.mean(dim)
    if score_aggregation == "max":
        return clip_logits.amax(dim)
    if score_aggregation == "lse":
        return clip_logits.logsumexp(dim)
    raise InvalidInputError(f"score_aggregation must be one of mean, max, lse; got {score_aggregation!r}")
