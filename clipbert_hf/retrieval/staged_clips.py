"""Exhaustive scoring at a fraction of its cost: few clips of every video first, all clips of the best ones last.

With 1, 2, 4, 8 and 16 clips a video is scored with more and more of its dense clips, and after each stage the lower
share of a text's videos is left as it is. Clips that were scored are used again. Not in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..errors import InvalidInputError
from ..metrics.retrieval import rank_metrics, text_to_video_ranks

ClipScores = Callable[[np.ndarray, list[int]], np.ndarray]
"""(places of texts and of videos (P, 2), n clips) -> (P, n): what orders pairs, of each clip."""

SHARES = (0.5, 0.2, 0.08, 0.03)
"""Of the videos that go on after 1, 2, 4 and 8 clips. Better chosen on validation data: :func:`choose_shares`."""


@dataclass(frozen=True)
class StagedScores:
    """What staged scoring gives.

    Args:
        scores: (texts, videos), by which each text's videos are ordered: of those that went on, the mean over all their
            clips; those that were left rank below, by the clips that they were scored with.
        pairs: Of a text, a video and a clip that were scored.
        exhaustive_pairs: How many there are.
    """

    scores: np.ndarray
    pairs: int
    exhaustive_pairs: int


def clip_stages(clips: int) -> list[list[int]]:
    """Which dense clips each stage adds, each time halfway between those that were seen.

    Args:
        clips: A power of two.

    Raises:
        InvalidInputError: If it is none.

    Example:
        >>> clip_stages(8)
        [[4], [0], [2, 6], [1, 3, 5, 7]]
    """
    if clips < 1 or clips & (clips - 1):
        raise InvalidInputError(f"staged scoring halves the clips, so they must be a power of two; got {clips}")
    if clips == 1:
        return [[0]]
    stages, step = [[clips // 2], [0]], clips // 2
    while step > 1:
        stages.append(list(range(step // 2, clips, step)))
        step //= 2
    return stages


def staged_pairs(texts: int, videos: int, *, clips: int = 16, shares: Sequence[float] = SHARES) -> int:
    """How many pairs of a text, a video and a clip the stages score.

    Args:
        texts: How many.
        videos: How many.
        clips: Of a video, a power of two.
        shares: Of the videos that go on after each stage but the last, falling.

    Raises:
        InvalidInputError: If there is not one share between each two stages, or they do not fall.

    Example:
        >>> staged_pairs(1, 10, clips=2, shares=[0.3])  # one clip of ten videos, the other of three
        13
    """
    return texts * sum(kept * len(added) for kept, added in _plan(videos, clips, shares))


def _plan(videos: int, clips: int, shares: Sequence[float]) -> list[tuple[int, list[int]]]:
    """How many videos each stage scores, with which clips."""
    stages = clip_stages(clips)
    if len(shares) != len(stages) - 1 or any(a < b for a, b in zip((1.0, *shares), (*shares, 0.0), strict=True)):
        raise InvalidInputError(
            f"shares must be {len(stages) - 1} falling numbers from 1 to 0 for {clips} clips; got {list(shares)}"
        )
    kept = [videos, *(max(round(share * videos), 1) for share in shares)]
    return list(zip(kept, stages, strict=True))


def staged_scores(
    score: ClipScores, texts: int, videos: int, *, clips: int = 16, shares: Sequence[float] = SHARES
) -> StagedScores:
    """Score texts with videos in stages; clips are aggregated by their mean.

    Args:
        score: Scores some clips of pairs of a text and a video; the pairs of a text come one after another.
        texts: How many.
        videos: How many.
        clips: Of a video, a power of two.
        shares: Of the videos that go on after each stage but the last, falling.

    Raises:
        InvalidInputError: If there is not one share between each two stages, or they do not fall.
    """
    ordered, sums, pairs = np.empty((texts, videos)), np.zeros((texts, videos)), 0
    by_mean = np.tile(np.arange(videos), (texts, 1))
    for number, added in _plan(videos, clips, shares):
        kept = by_mean[:, :number]
        places = np.stack([np.arange(texts).repeat(number), kept.ravel()], axis=1)
        so_far = np.take_along_axis(sums, kept, 1) + score(places, added).sum(1).reshape(kept.shape)
        np.put_along_axis(sums, kept, so_far, 1)
        pairs += len(places) * len(added)
        by_mean = np.take_along_axis(kept, np.argsort(-so_far, axis=1, kind="stable"), 1)
        # Positions are scores: the last ones so far keep theirs, those that go on are ordered again.
        np.put_along_axis(ordered, by_mean, -np.arange(number, dtype=float)[None], 1)
    return StagedScores(ordered, pairs, texts * videos * clips)


def choose_shares(
    clip_scores: np.ndarray,
    video_of_text: np.ndarray,
    *,
    loss: float = 0.01,
    choices: Iterable[Sequence[float]] = tuple(product((0.5, 0.4, 0.3), (0.25, 0.2, 0.15), (0.1, 0.08), (0.04, 0.03))),
) -> Sequence[float]:
    """Choose the cheapest shares that lose little on validation data.

    Args:
        clip_scores: Of every clip of every pair, (texts, videos, clips).
        video_of_text: (texts,).
        loss: How much R@1, R@5 and R@10 may each be lower than with all clips of all videos.
        choices: Shares to try.

    Returns:
        The cheapest of them; where none loses so little, the most expensive.
    """
    texts, videos, clips = clip_scores.shape
    wanted = rank_metrics(text_to_video_ranks(clip_scores.mean(-1), video_of_text))
    tried = []
    for shares in choices:
        found = staged_scores(
            lambda pairs, added: clip_scores[pairs[:, 0], pairs[:, 1]][:, added],
            texts,
            videos,
            clips=clips,
            shares=shares,
        )
        recalls = rank_metrics(text_to_video_ranks(found.scores, video_of_text))
        loses = any(recalls[name] < wanted[name] - loss for name in ("r1", "r5", "r10"))
        tried.append((loses, -found.pairs if loses else found.pairs, shares))
    return min(tried)[-1]
