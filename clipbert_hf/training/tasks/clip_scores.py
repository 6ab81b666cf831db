"""From the logits of clips to what an evaluation compares: with each number of clips, and for text-video pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...model.modeling_clipbert import aggregate_clip_logits


def logits_by_clips(clip_logits: torch.Tensor, aggregation: Any, counts: Sequence[int]) -> dict[int, torch.Tensor]:
    """Aggregated logits with each number of clips, from one pass over the largest.

    Args:
        clip_logits: (N, K, L).
        aggregation: Of the model.
        counts: Numbers of clips that divide K.

    Returns:
        (N, L) for each number.
    """
    clips = clip_logits.shape[1]
    # Dense clips start at delta * i / N: those of N are every (K / N)-th of those of K.
    return {count: aggregate_clip_logits(clip_logits[:, :: clips // count], aggregation) for count in counts}


def match_scores(logits: torch.Tensor) -> torch.Tensor:
    """How well text and video match, (N,), in the order of the probabilities but without their rounding to 1.

    Args:
        logits: Two of cross-entropy or one of the rank loss, aggregated, (N, 2) or (N, 1).
    """
    return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]
