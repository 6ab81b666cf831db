"""What is searched for, as vectors: a text with its words, or a video.

Shapes: M vectors, C numbers a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ..model.contrastive_clipbert import ContrastivePooling, contrastive_similarity, pool_clips
from .pair_scorer import PairScorer


@dataclass(frozen=True)
class Query:
    """Vectors of what is searched for.

    Args:
        vectors: Of a text's tokens or of a video's clips, or one pooled, of length 1, (M, C).
        pooling: Of the model.
        words: Of a text, each with the places of its tokens among the vectors.
    """

    vectors: torch.Tensor
    pooling: ContrastivePooling
    words: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def pooled(self) -> np.ndarray:
        """One vector, whose product with a video's mean vector is the mean over all vectors' (C,)."""
        return F.normalize(self.vectors.mean(0), dim=0).numpy()

    def similarities(self, videos: Sequence[np.ndarray]) -> np.ndarray:
        """How alike videos are, by the vectors of their clips, each (K, C); those of one K are compared at once."""
        mask = torch.ones(1, len(self.vectors), dtype=torch.bool)
        lengths = np.array([len(clips) for clips in videos], dtype=int)
        found = np.zeros(len(videos))
        for length in np.unique(lengths):
            places = np.flatnonzero(lengths == length)
            clips = torch.from_numpy(np.stack([videos[place] for place in places.tolist()]))
            found[places] = contrastive_similarity(self.vectors[None], mask, clips, pooling=self.pooling)[0].numpy()
        return found

    def cosines(self, clips: np.ndarray) -> np.ndarray:
        """Of each vector and each clip, (M, K)."""
        return self.vectors.numpy() @ clips.T


@torch.inference_mode()
def text_query(scorer: PairScorer, text: str) -> Query:
    """A text's vectors by the contrastive head of a scorer's model.

    Raises:
        InvalidInputError: If the text is empty or no text.
    """
    model: Any = scorer.model
    tokens = scorer.processor(text=[text])
    # In the type of the weights: to convert these for one text would take longer than to encode it.
    vectors, _ = model.embed_texts(**{name: each.to(model.device) for name, each in tokens.items()})
    pooling = model.config.contrastive_pooling
    words = find_words(scorer, text, tokens["input_ids"][0].tolist()) if pooling == "maxsim" else ()
    return Query(vectors[0].float().cpu(), pooling, words)  # a lone text has no padding


def video_query(clip_vectors: np.ndarray, pooling: ContrastivePooling) -> Query:
    """A video's clips, (K, C), each of which looks for the clip most alike; or pooled as the model pools."""
    vectors = torch.from_numpy(clip_vectors.copy())
    if pooling != "maxsim":
        vectors = pool_clips(vectors[None], None, pooling)
    return Query(vectors, pooling)


def find_words(scorer: PairScorer, text: str, ids: list[int]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The words of a text as they stand in it, with the places of their tokens; none if the tokenizer cannot tell."""
    tokenizer = scorer.processor.tokenizer
    if not tokenizer.is_fast:
        return ()
    encoding = tokenizer(text, truncation=True, max_length=len(ids))
    if encoding["input_ids"] != ids:
        return ()
    places: dict[int, list[int]] = {}
    for place, word in enumerate(encoding.word_ids()):
        if word is not None:
            places.setdefault(word, []).append(place)
    found = []
    for word, tokens in places.items():
        span = encoding.word_to_chars(word)
        name = text[span.start : span.end]
        if any(map(str.isalnum, name)):
            found.append((name, tuple(tokens)))
    return tuple(found)
