"""Searching an index in stages, each dearer than the one before and on fewer videos.

One vector a video, by an approximate index where there are many; then the vectors of all clips; then text and clips
read together. Where the model has no vectors the last stage has to take all videos.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from ..model.encoded_videos_clipbert import EncodedVideos, join_videos
from ..model.pair_scoring_clipbert import ranking_scores
from .fusion import ScoreFusion, two_stage_scores
from .index_rows import matrices_of, tokens_of
from .index_table import IndexTable
from .moments import best_moment, matching_spans, word_moments
from .pair_scorer import PairScorer
from .queries import Query
from .search_results import SearchResult, SearchResults, Stage

_ROWS_AT_ONCE = 16  # with their visual tokens, a few hundred kilobytes a clip


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


def search_vectors(
    table: IndexTable, query: Query, columns: Sequence[str], where: str | None, candidates: int, without: str | None
) -> SearchResults:
    """The first two stages.

    Args:
        table: The index, with vectors.
        query: What is looked for.
        columns: The user's, to be given with the results.
        where: A condition on rows.
        candidates: How many videos the vectors of whole videos leave to the second stage.
        without: A video that is not to be found.
    """
    limit = candidates if without is None else candidates + 1
    # The name is left out afterwards, so that a condition stands alone.
    rows = table.nearest(query.pooled, ["path", "clip_vectors", "clip_seconds", *columns], limit, where)
    kept = [place for place, path in enumerate(rows["path"].to_pylist()) if path != without][:candidates]
    rows = rows.take(kept)
    compared = table.count("vector IS NOT NULL" if where is None else f"({where}) AND vector IS NOT NULL")
    results, clips_compared = [], 0
    facts = _facts(rows, columns)
    vectors = matrices_of(rows["clip_vectors"])
    similarities = query.similarities(vectors).tolist()
    for (path, own, seconds), clips, similarity in zip(facts, vectors, similarities, strict=True):
        cosines = query.cosines(clips)
        of_clips = cosines.mean(axis=0)
        results.append(
            SearchResult(
                *(path, similarity, similarity, None),
                best=best_moment(of_clips, seconds),
                spans=matching_spans(of_clips, seconds),
                words=word_moments(query.words, cosines, seconds),
                columns=own,
            )
        )
        clips_compared += len(clips)
    results.sort(key=lambda result: -result.score)
    return SearchResults(results, [Stage("vectors", compared, compared), Stage("clips", len(results), clips_compared)])


def rerank_by_matching(
    table: IndexTable, scorer: PairScorer, text: str, found: SearchResults, number: int
) -> SearchResults:
    """The last stage, of the best results of those before.

    Args:
        table: The index.
        scorer: Of its model.
        text: What is looked for.
        found: By the first stages.
        number: How many of these are matched.
    """
    fusion = ScoreFusion.from_config(scorer.model.config)
    best = list(found[:number])
    if not best or (fusion is not None and fusion.weight == 0):
        return found
    rows = table.read_named([result.path for result in best], ["tokens", "token_shape", "clip_places"])
    matches = match(scorer, text, tokens_of(rows))
    first = np.array([result.score for result in found])
    matching = np.zeros_like(first)
    matching[: len(best)] = matches.logits
    if fusion is None:  # nobody chose how: both count alike among those that have both
        fusion = ScoreFusion(float(first[: len(best)].std()) or 1.0, float(matches.logits.std()) or 1.0)
        first, matching = first - first[: len(best)].mean(), matching - matches.logits.mean()
    scores = two_stage_scores(first[None], matching[None], fusion, candidates=len(best))[0]
    logits: list[float | None] = [*matches.logits.tolist(), *[None] * (len(found) - len(best))]
    results = [
        replace(result, score=float(score), matching=logit)
        for result, score, logit in zip(found, scores, logits, strict=True)
    ]
    results.sort(key=lambda result: -result.score)
    return SearchResults(results, [*found.stages, Stage("matching", len(best), matches.pairs_with_clips)])


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
    # One video first, on which the weights are laid out; by the next few the time of all is told.
    edges = [*range(min(len(names), 1)), *range(1, len(names), _ROWS_AT_ONCE), len(names)]
    for number, (first, end) in enumerate(pairwise(edges)):
        start = time.perf_counter()
        rows = table.read_named(names[first:end], ["tokens", "token_shape", "clip_places", "clip_seconds", *columns])
        results += _matched(scorer, text, rows, columns)
        if number == min(1, len(names) - 1):
            seconds = (time.perf_counter() - start) * clips.sum() / clips[first:end].sum()
            _warn_of_all(len(names), int(clips.sum()), seconds)
    results.sort(key=lambda result: -result.score)
    return SearchResults(results, [Stage("matching", len(names), int(clips.sum()))])


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


def _of_equal_layout(videos: Sequence[EncodedVideos]) -> Iterator[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, video in enumerate(videos):
        groups.setdefault(video.layout, []).append(place)
    for group in groups.values():
        for first in range(0, len(group), _ROWS_AT_ONCE):
            yield group[first : first + _ROWS_AT_ONCE]


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
