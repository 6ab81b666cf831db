"""Intervals by drawing videos and seeds again.

Every run of a task is tested on the same videos, and all settings have the same seeds, so a difference of settings is
taken video by video and seed by seed before anything is drawn: what makes a video hard cancels out. With three seeds
the part of the seeds is known roughly, and an interval is rather too narrow than too wide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A figure in points of 100.

    Args:
        mean: Of all videos and seeds.
        low: Of the 95 % interval.
        high: Likewise.
        deviation: Standard deviation of the seeds' means; 0 with one seed.
    """

    mean: float
    low: float
    high: float
    deviation: float

    @property
    def half_width(self) -> float:
        """Of the interval."""
        return (self.high - self.low) / 2


def drawn_places(seeds: int, videos: int, draws: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of seeds and of videos of each draw, with replacement; always the same."""
    generator = np.random.default_rng(0)
    for _ in range(draws):
        yield generator.integers(seeds, size=seeds), generator.integers(videos, size=videos)


@cache
def _shares(seeds: int, videos: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Which part of each draw a seed is, (draws, seeds), and a video, (draws, videos)."""
    of_seeds, of_videos = np.empty((draws, seeds)), np.empty((draws, videos))
    for place, (some, which) in enumerate(drawn_places(seeds, videos, draws)):
        of_seeds[place] = np.bincount(some, minlength=seeds) / seeds
        of_videos[place] = np.bincount(which, minlength=videos) / videos
    return of_seeds, of_videos


def estimate(values: np.ndarray, *, draws: int) -> Estimate:
    """The mean of values and its interval.

    Args:
        values: (seeds, videos), shares from 0 to 1, or differences of such.
        draws: How many.

    Example:
        >>> estimate(np.array([[1.0, 1.0], [0.0, 0.0]]), draws=100)
        Estimate(mean=50.0, low=0.0, high=100.0, deviation=70.710678)
    """
    of_seeds, of_videos = _shares(*values.shape, draws)
    means = np.einsum("ds,ds->d", of_seeds, of_videos @ values.T)
    low, high = np.percentile(100 * means, [2.5, 97.5])
    deviation = (100 * values.mean(1)).std(ddof=1) if len(values) > 1 else 0.0
    # Sums of sixths that are equal must differ by zero, and not by what floats leave of them.
    return Estimate(*(round(float(figure), 6) + 0.0 for figure in (100 * values.mean(), low, high, deviation)))
