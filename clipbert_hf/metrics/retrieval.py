"""Text-to-video and video-to-text retrieval: R@1, R@5, R@10, median and mean rank.

Conventions. A rank counts from 1. Candidates with equal scores are taken to stand in random order, and the rank is the
expected one: a right video that ties with one other for the first place has rank 1.5 and is no hit at R@1. Videos may
have several texts; from video to text, the rank is that of the right text that comes first. Ties come from scores that
are rounded, or that a softmax has pushed to 1: rank logits, not probabilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np

CUTOFFS = (1, 5, 10)


def text_to_video_ranks(scores: np.ndarray, video_of_text: np.ndarray) -> np.ndarray:
    """The expected rank of each text's video.

    Args:
        scores: How well each text fits each video, (texts, videos); higher is better. Tensors of any precision are
            taken too.
        video_of_text: Index of the right video of each text, (texts,).

    Returns:
        (texts,), from 1.

    Raises:
        ValueError: If shapes or indices do not fit, or a score is not a number.

    Example:
        >>> text_to_video_ranks(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0, 1])).tolist()
        [1.0, 1.5]
    """
    scores, videos = _check(scores, video_of_text)
    right = scores[np.arange(len(scores)), videos][:, None]
    return 1 + (scores > right).sum(1) + ((scores == right).sum(1) - 1) / 2


def video_to_text_ranks(scores: np.ndarray, video_of_text: np.ndarray) -> np.ndarray:
    """The expected rank of the first right text of each video that has one.

    Args:
        scores: As for :func:`text_to_video_ranks`.
        video_of_text: Likewise.

    Returns:
        (videos with a text,), from 1, in the order of the videos.

    Raises:
        ValueError: As there.

    Example:
        >>> video_to_text_ranks(np.array([[0.1], [0.7], [0.9]]), np.array([0, 0, 0])).tolist()
        [1.0]
    """
    scores, videos = _check(scores, video_of_text)
    ranks = []
    for video in np.unique(videos):
        own, column = videos == video, scores[:, video]
        best = column[own].max()
        ties = int((column[own] == best).sum())
        others = int((column[~own] == best).sum())
        # The first of `ties` right ones among `others` wrong ones in random order.
        ranks.append((column[~own] > best).sum() + (others + ties + 1) / (ties + 1))
    return np.array(ranks)


def dual_softmax(scores: np.ndarray, *, scale: float = 1.0) -> np.ndarray:
    """Log of the softmax over the videos times the softmax over the texts.

    A video that fits every text then counts less. It needs all queries at once, which no search engine has: report
    figures that use it apart from those that do not.

    Args:
        scores: (texts, videos).
        scale: Multiplies the scores first.

    Returns:
        Scores for both directions, (texts, videos).
    """
    scaled = as_array(scores).astype(np.float64) * scale
    return 2 * scaled - _log_sum_exp(scaled, axis=1) - _log_sum_exp(scaled, axis=0)


def rank_metrics(ranks: np.ndarray) -> dict[str, float]:
    """R@1, R@5, R@10 (0 to 1), median and mean of ranks.

    Args:
        ranks: From 1, (queries,).

    Raises:
        ValueError: If there are none.

    Example:
        >>> rank_metrics(np.array([1.0, 1.5, 7.0]))
        {'r1': 0.3333333333333333, 'r5': 0.6666666666666666, 'r10': 1.0, 'median_rank': 1.5, 'mean_rank': 3.1666666666666665}
    """  # noqa: E501 (a line of output)
    ranks = np.asarray(ranks, dtype=np.float64)
    if not ranks.size:
        raise ValueError("ranks must hold at least one rank; got none")
    recalls = {f"r{cutoff}": float((ranks <= cutoff).mean()) for cutoff in CUTOFFS}
    return {**recalls, "median_rank": float(np.median(ranks)), "mean_rank": float(ranks.mean())}


def retrieval_metrics(
    scores: np.ndarray, video_of_text: np.ndarray, *, dual_softmax_scale: float | None = None
) -> dict[str, dict[str, float]]:
    """Metrics of both directions.

    Args:
        scores: As for :func:`text_to_video_ranks`.
        video_of_text: Likewise.
        dual_softmax_scale: Applies :func:`dual_softmax` first, which needs all queries at once. None: does not.

    Returns:
        ``text_to_video`` and ``video_to_text``, each as :func:`rank_metrics`.

    Raises:
        ValueError: If shapes or indices do not fit, there is no text, or a score is not a number.
    """
    scores, videos = _check(scores, video_of_text)
    if dual_softmax_scale is not None:
        scores = dual_softmax(scores, scale=dual_softmax_scale)
    return {
        "text_to_video": rank_metrics(text_to_video_ranks(scores, videos)),
        "video_to_text": rank_metrics(video_to_text_ranks(scores, videos)),
    }


def _check(scores: np.ndarray, video_of_text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, videos = as_array(scores), as_array(video_of_text)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"scores must have shape (texts, videos), at least one each; got {scores.shape}")
    if videos.shape != scores.shape[:1] or not np.issubdtype(videos.dtype, np.integer):
        raise ValueError(
            f"video_of_text must hold an index for each of {len(scores)} texts; got {videos.dtype} of {videos.shape}"
        )
    if videos.min() < 0 or videos.max() >= scores.shape[1]:
        wrong = videos[(videos < 0) | (videos >= scores.shape[1])][0]
        raise ValueError(f"video_of_text must be from 0 to {scores.shape[1] - 1}; got {wrong}")
    if np.isnan(scores).any():
        text, video = np.argwhere(np.isnan(scores))[0]
        raise ValueError(f"scores must be numbers; got NaN for text {text} and video {video}")
    return scores, videos


def as_array(values: Any) -> np.ndarray:
    """An array of an array, list or tensor, of whichever precision, on whichever device.

    Args:
        values: A tensor is told by its method ``detach``, since this module imports no torch.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()  # numpy knows no bf16
    return np.asarray(values)


def _log_sum_exp(values: np.ndarray, *, axis: int) -> np.ndarray:
    highest = values.max(axis, keepdims=True)
    return highest + np.log(np.exp(values - highest).sum(axis, keepdims=True))
