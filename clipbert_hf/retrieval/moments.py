"""Where in a video a text is found: the clip that fits it best, that of each word, and runs of clips that fit.

Shapes: M tokens, K clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moment:
    """A part of a video.

    Args:
        start: In seconds.
        end: In seconds.
        score: How well it fits: the cosine of its best clip, or the logit of a match where the model has no vectors.
    """

    start: float
    end: float
    score: float


@dataclass(frozen=True)
class WordMoment(Moment):
    """The clip that fits a word of the text best.

    Args:
        word: As it stands in the text.
    """

    word: str


def best_moment(clip_scores: np.ndarray, clip_seconds: np.ndarray) -> Moment:
    """The best clip.

    Args:
        clip_scores: (K,).
        clip_seconds: Start and end of each clip, (K, 2).
    """
    place = int(clip_scores.argmax())
    start, end = clip_seconds[place]
    return Moment(float(start), float(end), float(clip_scores[place]))


def word_moments(
    words: Sequence[tuple[str, Sequence[int]]], cosines: np.ndarray, clip_seconds: np.ndarray
) -> tuple[WordMoment, ...]:
    """The best clip of each word: of the mean cosine of its tokens.

    Args:
        words: Each with the places of its tokens.
        cosines: Of tokens and clips, (M, K).
        clip_seconds: (K, 2).
    """
    moments = []
    for word, tokens in words:
        best = best_moment(cosines[list(tokens)].mean(axis=0), clip_seconds)
        moments.append(WordMoment(best.start, best.end, best.score, word))
    return tuple(moments)


def matching_spans(clip_scores: np.ndarray, clip_seconds: np.ndarray) -> tuple[Moment, ...]:
    """Runs of neighbouring clips that fit, best first.

    A clip fits if its score is at least halfway from the mean over the video's clips to the best of them. Where all
    clips fit alike the whole video is one span.

    Args:
        clip_scores: (K,), in the order of the clips' starts.
        clip_seconds: (K, 2).

    Example:
        >>> seconds = np.array([[0, 1], [4, 5], [8, 9], [12, 13]])
        >>> matching_spans(np.array([0.9, 0.1, 0.95, 1.0]), seconds)
        (Moment(start=8.0, end=13.0, score=1.0), Moment(start=0.0, end=1.0, score=0.9))
    """
    # A little less, so that rounding does not part equal clips.
    threshold = (clip_scores.mean() + clip_scores.max()) / 2 - 1e-6
    fits = np.concatenate([[False], clip_scores >= threshold, [False]])
    edges = np.flatnonzero(fits[1:] != fits[:-1]).reshape(-1, 2)  # first clip of a run, and the one after its last
    spans = [
        Moment(float(clip_seconds[first, 0]), float(clip_seconds[end - 1, 1]), float(clip_scores[first:end].max()))
        for first, end in edges
    ]
    return tuple(sorted(spans, key=lambda span: -span.score))
