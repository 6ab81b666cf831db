"""A contrastive head: a text and a clip each alone to vectors, and how alike a text and a video are by these.

It is not in the paper, whose scores need the encoder anew for each pair. What it adds is for searching: a video's
vectors are computed once. With ``maxsim`` a video is not pooled to one vector: each token of a text takes the clip that
fits it best (late interaction, as ColBERT, 2020, has it for words of documents), so that a text of several things can
find a video that shows them one after the other.

Shapes: P texts, M tokens, B videos, K clips a video, C numbers a vector, D hidden size.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InvalidInputError
from .configuration_clipbert import ClipBertConfig
from .losses_clipbert import at_least_fp32

ContrastivePooling = Literal["maxsim", "mean", "max"]

# Those that CLIP (2021) starts at, and does not go below.
INITIAL_TEMPERATURE, _LOWEST_TEMPERATURE = 0.07, 0.01
_PAIRS_AT_ONCE = 2**24  # of a token and a clip, 64 MB


class ClipBertContrastiveHead(nn.Module):
    """One linear layer for the states of a text's tokens, one for the [CLS] of a clip, and a learned temperature."""

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__()
        self.text_projection = nn.Linear(config.hidden_size, config.contrastive_size)
        self.clip_projection = nn.Linear(config.hidden_size, config.contrastive_size)
        # Of one dimension, since FSDP2 takes no parameter without any.
        self.logit_scale = nn.Parameter(torch.tensor([math.log(1 / INITIAL_TEMPERATURE)]))

    def embed_texts(self, states: torch.Tensor) -> torch.Tensor:
        """States (P, M, D) to vectors of length 1, (P, M, C)."""
        return F.normalize(at_least_fp32(self.text_projection(states)), dim=-1)

    def embed_clips(self, states: torch.Tensor) -> torch.Tensor:
        """States of [CLS], (clips, D), to vectors of length 1, (clips, C)."""
        return F.normalize(at_least_fp32(self.clip_projection(states)), dim=-1)

    @property
    def scale(self) -> torch.Tensor:
        """By what similarities are multiplied in the loss, one over the temperature."""
        return at_least_fp32(self.logit_scale).clamp(max=math.log(1 / _LOWEST_TEMPERATURE)).exp()


def contrastive_similarity(
    text_vectors: torch.Tensor,
    text_mask: torch.Tensor,
    clip_vectors: torch.Tensor,
    clip_mask: torch.Tensor | None = None,
    pooling: ContrastivePooling = "maxsim",
) -> torch.Tensor:
    """How alike texts and videos are, from -1 to 1.

    Args:
        text_vectors: Of length 1, (P, M, C).
        text_mask: Which of a text's vectors count, at least one, (P, M).
        clip_vectors: Of length 1, (B, K, C).
        clip_mask: Which clips there are, at least one a video, (B, K); None: all.
        pooling: See ``config.contrastive_pooling``.

    Returns:
        (P, B): the mean over a text's vectors of the cosine with the clip most alike, or with the pooled clips.

    Raises:
        InvalidInputError: If ``pooling`` is none of the three.

    Example:
        >>> text = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> clips = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])
        >>> contrastive_similarity(text, torch.ones(1, 2, dtype=torch.bool), clips)
        tensor([[1.0000, 0.5000]])
    """
    if pooling != "maxsim":
        clip_vectors, clip_mask = pool_clips(clip_vectors, clip_mask, pooling)[:, None], None
    texts = max(_PAIRS_AT_ONCE // max(text_mask.shape[1] * clip_vectors.shape[0] * clip_vectors.shape[1], 1), 1)
    parts = [
        _mean_of_best(vectors, mask, clip_vectors, clip_mask)
        for vectors, mask in zip(text_vectors.split(texts), text_mask.split(texts), strict=True)
    ]
    return torch.cat(parts) if parts else text_vectors.new_empty(0, len(clip_vectors))


def pool_clips(clip_vectors: torch.Tensor, clip_mask: torch.Tensor | None, pooling: str) -> torch.Tensor:
    """The clips' vectors (B, K, C) as one of length 1 a video, (B, C): their mean, or their largest numbers.

    Raises:
        InvalidInputError: If ``pooling`` is neither ``"mean"`` nor ``"max"``.
    """
    if pooling == "mean":
        weights = torch.ones_like(clip_vectors[..., :1]) if clip_mask is None else clip_mask[..., None].float()
        pooled = (clip_vectors * weights).sum(1) / weights.sum(1)
    elif pooling == "max":
        absent = torch.zeros_like(clip_vectors[..., 0]).bool() if clip_mask is None else ~clip_mask
        pooled = clip_vectors.masked_fill(absent[..., None], -math.inf).amax(1)
    else:
        raise InvalidInputError(f"contrastive_pooling must be one of maxsim, mean, max; got {pooling!r}")
    return F.normalize(pooled, dim=-1)


def _mean_of_best(
    text_vectors: torch.Tensor, text_mask: torch.Tensor, clip_vectors: torch.Tensor, clip_mask: torch.Tensor | None
) -> torch.Tensor:
    cosines = torch.einsum("pmc,bkc->pmbk", text_vectors, clip_vectors)
    if clip_mask is not None:
        cosines = cosines.masked_fill(~clip_mask, -math.inf)
    weights = text_mask.to(cosines.dtype)[..., None]
    return (cosines.amax(-1) * weights).sum(1) / weights.sum(1)


def contrastive_loss(
    similarity: torch.Tensor, video_of_text: torch.Tensor, matches: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Symmetric InfoNCE of each text with its video; what else is true of either is no negative of the other.

    Args:
        similarity: (P, B).
        video_of_text: The video of each text, (P,).
        matches: Which texts are true of which videos, (P, B), those of ``video_of_text`` included.
        scale: One over the temperature.

    Returns:
        Of each text the mean of both directions, (P,): the cross-entropy of its video among that and the videos that
        it is not true of, and of the text among itself and the texts that are not true of its video.
    """
    logits = similarity * scale
    own = F.one_hot(video_of_text, similarity.shape[1]).bool()
    of_videos = logits.masked_fill(matches & ~own, -math.inf)
    texts = torch.arange(len(logits), device=logits.device)
    others = matches[:, video_of_text].T & ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    of_texts = logits[:, video_of_text].T.masked_fill(others, -math.inf)  # a row for each text's video
    losses = F.cross_entropy(of_videos, video_of_text, reduction="none")
    return (losses + F.cross_entropy(of_texts, texts, reduction="none")) / 2


__all__ = ["ClipBertContrastiveHead", "contrastive_loss", "contrastive_similarity", "pool_clips"]
