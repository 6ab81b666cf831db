"""Searching an index in stages, each dearer than the one before and on fewer videos.

One vector a video, by an approximate index where there are many; then the vectors of all clips; then text and the best
clips read together. Where the model has no vectors the last stage has to take all videos, with all clips.

Shapes: M vectors of what is looked for, K clips a video.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from .fusion import ScoreFusion, two_stage_scores
from .index_rows import matrices_of, tokens_of
from .index_table import IndexTable
from .matching import best_clips, groups_of_clips, match, with_clips
from .moments import best_moment, matching_spans, word_moments
from .pair_scorer import PairScorer
from .queries import Query
from .search_results import SearchResult, SearchResults, Stage

_CLIPS_READ_AT_ONCE = 1024  # with their visual tokens, of base size about 75 kB each


@dataclass(frozen=True)
class Candidate:
    """A video that the vectors have found.

    Args:
        path: Its name.
        columns: The user's.
        seconds: Start and end of its clips, (K, 2).
        cosines: Of what is looked for and its clips, (M, K).
        similarity: By all clips.
        score: What candidates are ordered by.
        matching: The logit of a match.
    """

    path: str
    columns: dict[str, Any]
    seconds: np.ndarray
    cosines: np.ndarray
    similarity: float
    score: float
    matching: float | None = None

    def result(self, words: Sequence[tuple[str, Sequence[int]]]) -> SearchResult:
        """With the moments of the text and its words."""
        of_clips = self.cosines.mean(axis=0)
        return SearchResult(
            *(self.path, self.score, self.similarity, self.matching),
            best=best_moment(of_clips, self.seconds),
            spans=matching_spans(of_clips, self.seconds),
            words=word_moments(words, self.cosines, self.seconds),
            columns=self.columns,
        )


def search_vectors(
    table: IndexTable, query: Query, columns: Sequence[str], where: str | None, candidates: int, without: str | None
) -> tuple[list[Candidate], list[Stage]]:
    """The first two stages.

    Args:
        table: The index, with vectors.
        query: What is looked for.
        columns: The user's, to be given with the results.
        where: A condition on rows.
        candidates: How many videos the vectors of whole videos leave to the second stage.
        without: A video that is not to be found.

    Returns:
        The candidates, best first, and what was compared.
    """
    limit = candidates if without is None else candidates + 1
    # The name is left out afterwards, so that a condition stands alone.
    rows = table.nearest(query.pooled, ["path", "clip_vectors", "clip_seconds", *columns], limit, where)
    kept = [place for place, path in enumerate(rows["path"].to_pylist()) if path != without][:candidates]
    rows = rows.take(kept)
    compared = table.count("vector IS NOT NULL" if where is None else f"({where}) AND vector IS NOT NULL")
    vectors = matrices_of(rows["clip_vectors"])
    found = [
        Candidate(path, own, seconds, query.cosines(clips), similarity, similarity)
        for (path, own, seconds), clips, similarity in zip(
            _facts(rows, columns), vectors, query.similarities(vectors).tolist(), strict=True
        )
    ]
    found.sort(key=lambda each: -each.score)
    return found, [Stage("vectors", compared, compared), Stage("clips", len(found), sum(map(len, vectors)))]


def rerank_by_matching(
    table: IndexTable, scorer: PairScorer, text: str, found: Sequence[Candidate], number: int, clips: int
) -> tuple[list[Candidate], list[Stage]]:
    """The last stage, of the best of those before.

    Args:
        table: The index.
        scorer: Of its model.
        text: What is looked for.
        found: By the first stages.
        number: How many of these are matched.
        clips: With how many clips at most.

    Returns:
        All candidates, best first, and what was compared, if anything.
    """
    fusion = ScoreFusion.from_config(scorer.model.config)
    best = list(found[:number])
    if not best or (fusion is not None and fusion.weight == 0):
        return list(found), []
    videos = []
    for group in groups_of_clips([len(each.seconds) for each in best], _CLIPS_READ_AT_ONCE):
        some = [best[place] for place in group]
        rows = table.read_named([each.path for each in some], ["tokens", "token_shape", "clip_places"])
        videos += [
            with_clips(video, best_clips(each.cosines, clips))
            for video, each in zip(tokens_of(rows), some, strict=True)
        ]
    matches = match(scorer, text, videos)
    first = np.array([each.score for each in found])
    matching = np.zeros_like(first)
    matching[: len(best)] = matches.logits
    if fusion is None:  # nobody chose how: both count alike among those that have both
        fusion = ScoreFusion(float(first[: len(best)].std()) or 1.0, float(matches.logits.std()) or 1.0)
        first, matching = first - first[: len(best)].mean(), matching - matches.logits.mean()
    scores = two_stage_scores(first[None], matching[None], fusion, candidates=len(best))[0]
    logits: list[float | None] = [*matches.logits.tolist(), *[None] * (len(found) - len(best))]
    ranked = [
        replace(each, score=float(score), matching=logit)
        for each, score, logit in zip(found, scores, logits, strict=True)
    ]
    ranked.sort(key=lambda each: -each.score)
    return ranked, [Stage("matching", len(best), matches.pairs_with_clips)]


def search_by_matching(
    table: IndexTable, scorer: PairScorer, text: str, columns: Sequence[str], where: str | None
) -> SearchResults:
    """All videos, each read together with the text; a warning says how many, and how long it takes.

    Args:
        table: The index.
        scorer: Of its model.
        text: What is looked for.
        columns: The user's, to be given with the results.
        where: A condition on rows.
    """
    readable = "error IS NULL" if where is None else f"({where}) AND error IS NULL"
    sizes = table.read(["path", "distinct_clips"], readable)
    names, clips = sizes["path"].to_pylist(), sizes["distinct_clips"].to_numpy()
    results = []
    for number, group in enumerate(_one_then_some(clips.tolist())):
        start = time.perf_counter()
        some = [names[place] for place in group]
        rows = table.read_named(some, ["tokens", "token_shape", "clip_places", "clip_seconds", *columns])
        results += _matched(scorer, text, rows, columns)
        if number == min(1, len(names) - 1):
            seconds = (time.perf_counter() - start) * clips.sum() / clips[group].sum()
            _warn_of_all(len(names), int(clips.sum()), seconds)
    results.sort(key=lambda result: -result.score)
    return SearchResults(results, [Stage("matching", len(names), int(clips.sum()))])


def _one_then_some(clips: list[int]) -> Iterator[list[int]]:
    """One video first, on which the weights are laid out; by the next few the time of all is told."""
    if clips:
        yield [0]
    for group in groups_of_clips(clips[1:], _CLIPS_READ_AT_ONCE // 8):
        yield [place + 1 for place in group]


def _matched(scorer: PairScorer, text: str, rows: pa.Table, columns: Sequence[str]) -> list[SearchResult]:
    matches = match(scorer, text, tokens_of(rows))
    return [
        SearchResult(
            *(path, float(logit), None, float(logit)),
            best=best_moment(of_clips, seconds),
            spans=matching_spans(of_clips, seconds),
            columns=own,
        )
        for (path, own, seconds), logit, of_clips in zip(
            _facts(rows, columns), matches.logits, matches.of_clips, strict=True
        )
    ]


def _facts(rows: pa.Table, columns: Sequence[str]) -> list[tuple[str, dict[str, Any], np.ndarray]]:
    """Path, the user's columns, and start and end of the clips of each row."""
    own = rows.select(list(columns)).to_pylist() if columns else [{} for _ in range(len(rows))]
    return list(zip(rows["path"].to_pylist(), own, matrices_of(rows["clip_seconds"]), strict=True))


def _warn_of_all(videos: int, clips: int, seconds: float) -> None:
    warnings.warn(
        f"the model has no vectors (contrastive_size 0), so the text is read together with all {videos} videos: "
        f"{clips} pairs of text and clip, about {seconds:.1f} s a search. A model trained with model.contrastive_size "
        "(examples/run_retrieval.py) is searched in stages",
        stacklevel=4,
    )
