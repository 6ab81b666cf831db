"""What a search finds, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from .moments import Moment, WordMoment


@dataclass(frozen=True)
class Stage:
    """A step of a search.

    Args:
        name: ``"vectors"``: one vector a video, by an approximate index where there are many; ``"clips"``: the vectors
            of all clips; ``"matching"``: text and clip read together, of long videos the best clips.
        pairs: Of the text and a video, that were compared.
        pairs_with_clips: Of the text and a clip; in ``"vectors"`` as many as pairs.
    """

    name: str
    pairs: int
    pairs_with_clips: int


@dataclass(frozen=True)
class SearchResult:
    """A video that was found.

    Args:
        path: Its name in the collection.
        score: What results are ordered by: both scores together where both were computed, comparable within one search.
        similarity: By the vectors of its clips, from -1 to 1; None where the model has none.
        matching: The logit of a match by text and clips read together; None where it was not computed.
        best: The clip that fits best.
        spans: Runs of neighbouring clips that fit, best first.
        words: The clip that fits each word of the text best; empty where the model does not tell.
        columns: The user's own.
    """

    path: str
    score: float
    similarity: float | None
    matching: float | None
    best: Moment
    spans: tuple[Moment, ...]
    words: tuple[WordMoment, ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)

    @property
    def start(self) -> float:
        """Of the best clip, in seconds."""
        return self.best.start

    @property
    def end(self) -> float:
        """Of the best clip, in seconds."""
        return self.best.end


class SearchResults(Sequence[SearchResult]):
    """Results, best first.

    Args:
        results: The results.
        stages: What was compared on the way to them.
    """

    def __init__(self, results: Sequence[SearchResult], stages: Sequence[Stage]) -> None:
        self._results, self.stages = tuple(results), tuple(stages)

    @overload
    def __getitem__(self, place: int) -> SearchResult: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[SearchResult, ...]: ...
    def __getitem__(self, place: int | slice) -> SearchResult | tuple[SearchResult, ...]:
        return self._results[place]

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[SearchResult]:
        return iter(self._results)

    def __repr__(self) -> str:
        return f"SearchResults({list(self._results)!r}, stages={list(self.stages)!r})"
