"""From the logits of clips to what an evaluation compares: with each number of clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...errors import InvalidInputError
from ...model.modeling_clipbert import aggregate_clip_logits
from ..data.clips import adds_single_clip


def logits_by_clips(
    clip_logits: torch.Tensor, aggregation: Any, counts: Sequence[int], *, single_clip: str = "dense"
) -> dict[int, torch.Tensor]:
    """Aggregated logits with each number of clips, from one pass; each sees the clips that it would see alone.

    Args:
        clip_logits: (N, K, L): of dense clips, and after them of the single clip where
            :func:`~clipbert_hf.training.data.clips.adds_single_clip`.
        aggregation: Of the model.
        counts: Numbers of clips that divide the number of dense ones.
        single_clip: Where one clip lies; see :class:`~clipbert_hf.training.data.clips.ClipSamples`.

    Returns:
        (N, L) for each number.

    Raises:
        InvalidInputError: If there are other clips than these.
    """
    added = adds_single_clip(counts, single_clip)
    clips = clip_logits.shape[1] - added
    if clips < 1 or any(clips % count for count in counts):
        raise InvalidInputError(
            f"clip_logits must have {max(counts)} dense clips{' and the single clip after them' * added} for "
            f"inference_clips {list(counts)}; got shape {tuple(clip_logits.shape)}"
        )
    dense = clip_logits[:, :clips]
    # Dense clips start at delta * i / N: those of N are every (K / N)-th of those of K.
    by_clips = {count: aggregate_clip_logits(dense[:, :: clips // count], aggregation) for count in counts}
    if added:
        by_clips[1] = aggregate_clip_logits(clip_logits[:, clips:], aggregation)
    return by_clips
