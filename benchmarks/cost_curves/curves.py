"""Seconds of scoring every text with every video, in one process and in several.

The model is small and videos are given as the features of their clips, so that the points with 1,000 texts or videos
take seconds on two cores; what is shown is how cost grows, not what the base model takes. Each process has one thread,
keeps its model from point to point, and scores its share of the videos with all texts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import torch

from benchmarks.scoring import KINDS
from clipbert_hf import ClipBertConfig, ClipBertForVideoTextRetrieval
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer

HIDDEN, LAYERS, GRID = 64, 2, 4
VIDEOS_AT_ONCE = 8  # as PairScorer takes them


@dataclass(frozen=True)
class Work:
    """So many texts, of the lengths of captions, with so many videos of so many clips."""

    clips: int = 4
    texts: int = 64
    videos: int = 16

    @property
    def pairs_with_clips(self) -> int:
        """Pairs of a text and a clip."""
        return self.clips * self.texts * self.videos


@dataclass(frozen=True)
class Point:
    """What a piece of work took.

    Args:
        work: The work.
        processes: How many shared it.
        seconds: The least of the repeats, by the clock.
    """

    work: Work
    processes: int
    seconds: float

    @property
    def rate(self) -> float:
        """Pairs of a text and a clip a second."""
        return self.work.pairs_with_clips / self.seconds

    def as_row(self) -> dict[str, Any]:
        """For a JSON file."""
        return {**asdict(self.work), "processes": self.processes, "seconds": self.seconds, "rate": self.rate}


@cache
def small_scorer() -> ClipBertPairScorer:
    """Made once a process, with one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = ClipBertConfig(
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=4 * HIDDEN,
        vocab_size=1000,
        backbone="resnet18",
    )
    return ClipBertPairScorer(ClipBertForVideoTextRetrieval(config).eval(), pairs_at_once=64)


def do_share(work: Work, rank: int, processes: int) -> int:
    """Score one process's share of the videos.

    Returns:
        How many scores it gave.
    """
    videos = len(range(rank, work.videos, processes))
    scorer, number = small_scorer(), 0
    input_ids, mask = KINDS["exact"].tensors(work.texts, scorer.model.config.vocab_size)
    for first in range(0, videos, VIDEOS_AT_ONCE):
        some = min(VIDEOS_AT_ONCE, videos - first)
        grids = torch.randn(some, work.clips, 1, GRID, GRID, HIDDEN)
        scores = scorer.score_pairs(input_ids, mask, videos=scorer.encode_videos(grid_features=grids)).scores
        assert scores is not None  # a model for retrieval has scores
        number += scores.numel()
    return number


def measure(work: Work, executor: Executor, processes: int, *, repeats: int) -> Point:
    """Time a piece of work, shared by the processes of an executor; other work than that between repeats is none.

    Raises:
        RuntimeError: If some pair was not scored.
    """
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        shares = [executor.submit(do_share, work, rank, processes) for rank in range(processes)]
        scored = sum(share.result() for share in shares)
        taken.append(time.perf_counter() - begin)
        if scored != work.texts * work.videos:
            raise RuntimeError(f"{work.texts * work.videos} pairs were to be scored; {scored} were")
    return Point(work, processes, min(taken))


def curves(
    executors: Mapping[int, Executor], sizes: Mapping[str, Sequence[int]], *, repeats: int, base: Work | None = None
) -> dict[str, list[Point]]:
    """A curve for each of ``clips``, ``texts`` and ``videos``, the two others as in ``base``.

    Args:
        executors: By their number of processes.
        sizes: Where to measure, by the name of what grows.
        repeats: Of which the fastest counts.
        base: Where the curves meet.
    """
    base = base or Work()
    for processes, executor in executors.items():  # starts them, and lays the weights out
        measure(replace(base, videos=processes), executor, processes, repeats=2)
    return {
        name: [
            measure(replace(base, **{name: size}), executor, processes, repeats=repeats)
            for size in sizes[name]
            for processes, executor in executors.items()
        ]
        for name in sizes
    }
