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
    places = clips_by_count(clip_logits.shape[1], counts, single_clip=single_clip)
    return {count: aggregate_clip_logits(clip_logits[:, some], aggregation) for count, some in places.items()}


def clips_by_count(clips: int, counts: Sequence[int], *, single_clip: str = "dense") -> dict[int, slice]:
    """Which of the clips of a video each number of clips would see alone.

    Args:
        clips: How many there are, as in :func:`logits_by_clips`.
        counts: See there.
        single_clip: See there.

    Raises:
        InvalidInputError: If there are other clips than these.

    Example:
        >>> clips_by_count(9, [1, 4, 8], single_clip="middle")
        {1: slice(8, None, None), 4: slice(0, 8, 2), 8: slice(0, 8, 1)}
    """
    added = adds_single_clip(counts, single_clip)
    dense = clips - added
    if dense < 1 or any(dense % count for count in counts):
        raise InvalidInputError(
            f"clip_logits must have {max(counts)} dense clips{' and the single clip after them' * added} for "
            f"inference_clips {list(counts)}; got {clips} clips"
        )
    # Dense clips start at delta * i / N: those of N are every (K / N)-th of those of K.
    places = {count: slice(0, dense, dense // count) for count in counts}
    if added:
        places[1] = slice(dense, None)
    return places
