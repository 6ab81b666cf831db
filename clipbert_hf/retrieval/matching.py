"""Text and clips read together: the logits of some videos, with all of their clips or with the best.

Shapes: M tokens, K clips a video.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..model.encoded_videos_clipbert import EncodedVideos, join_videos
from ..model.pair_scoring_clipbert import ranking_scores
from .pair_scorer import PairScorer

_CLIPS_AT_ONCE = 256  # whose visual tokens of base size, and what the first layer makes of them, take about 100 MB


@dataclass(frozen=True)
class Matches:
    """Logits of a match of a text and videos.

    Args:
        logits: Of videos, (B,).
        of_clips: Of the clips of each, (K,).
        pairs_with_clips: How many clips were read together with the text.
    """

    logits: np.ndarray
    of_clips: list[np.ndarray]
    pairs_with_clips: int


def match(scorer: PairScorer, text: str, videos: Sequence[EncodedVideos]) -> Matches:
    """Score a text with videos, those of one layout together."""
    tokens = dict(scorer.processor(text=[text]))
    logits, of_clips = np.zeros(len(videos)), [np.zeros(0)] * len(videos)
    for places in _of_equal_layout(videos):
        joined = join_videos([videos[place] for place in places])
        output = scorer.core.score_pairs(**tokens, videos=joined)
        assert output.logits is not None  # each task has them
        assert output.clip_logits is not None
        logits[places] = ranking_scores(output.logits)[0].float().cpu().numpy()
        for place, row in zip(places, ranking_scores(output.clip_logits)[0].float().cpu().numpy(), strict=True):
            of_clips[place] = row
    return Matches(logits, of_clips, sum(len(video.tokens) for video in videos))


def best_clips(cosines: np.ndarray, number: int) -> np.ndarray:
    """The clips on which the similarity of a text and a video rests, in the order of their time.

    Those that are the best of some token come first, since MaxSim looks at no others and scenes of a text may be far
    apart; then those that fit the whole text best.

    Args:
        cosines: Of tokens and clips, (M, K).
        number: How many clips at most.

    Example:
        >>> best_clips(np.array([[0.9, 0.8, 0.1], [0.0, 0.3, 0.4]]), 2).tolist()
        [0, 2]
    """
    is_best = np.isin(np.arange(cosines.shape[1]), cosines.argmax(axis=1))
    order = np.lexsort((-cosines.mean(axis=0), ~is_best))
    return np.sort(order[:number])


def with_clips(video: EncodedVideos, clips: np.ndarray) -> EncodedVideos:
    """One video with some of its clips."""
    if len(clips) == video.num_clips:
        return video
    return video.select([0], clips.tolist())


def groups_of_clips(clips: Sequence[int], at_once: int) -> Iterator[list[int]]:
    """Places of videos, in order, in groups that have so many clips together at most, or are one video.

    Example:
        >>> list(groups_of_clips([4, 4, 9, 4], 8))
        [[0, 1], [2], [3]]
    """
    group: list[int] = []
    for place, number in enumerate(clips):
        if group and sum(clips[each] for each in group) + number > at_once:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def _of_equal_layout(videos: Sequence[EncodedVideos]) -> Iterator[list[int]]:
    layouts: dict[tuple[int, ...], list[int]] = {}
    for place, video in enumerate(videos):
        layouts.setdefault(video.layout, []).append(place)
    for layout, places in layouts.items():
        for group in groups_of_clips([layout[0]] * len(places), _CLIPS_AT_ONCE):
            yield [places[each] for each in group]
