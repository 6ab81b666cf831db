"""Building and searching an index."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

import torch

from clipbert_hf.retrieval import PairScorer, VideoIndex
from clipbert_hf.retrieval.index_building import IndexReport
from clipbert_hf.retrieval.index_workers import PRELOAD
from datasets_scripts.execution.executor import choose_executor

from ..output import console, plural, print_json, print_table, span
from .models import device_for, loading, quiet, read_config


def build_index(
    videos: list[str],
    uri: str,
    model: str | None,
    chosen: dict[str, Any],
    where: dict[str, Any],
    *,
    update: bool,
    device: str | None,
    dtype: str | None,
    as_json: bool,
) -> IndexReport:
    """Make an index, or bring one up to date.

    Args:
        videos: A folder alone, or videos.
        uri: Of the index.
        model: Needed unless it is updated.
        chosen: ``clip_every`` and options of the processor, None where the default counts.
        where: Of :func:`~datasets_scripts.execution.executor.choose_executor`; without any the work is done here.
        update: Whether to take over deletions, too.
        device: See :func:`~clipbert_command_line.actions.models.load`.
        dtype: See there.
        as_json: Whether to print the report as JSON.

    Returns:
        What has changed.
    """
    quiet()
    collection: Any = videos[0] if len(videos) == 1 and os.path.isdir(videos[0]) else videos
    how: dict[str, Any] = {"show_progress_bar": not as_json and sys.stderr.isatty()}
    if any(value is not None for value in where.values()):
        how["executor"] = choose_executor(**where, preload=PRELOAD)
    if update:
        index = VideoIndex.open(uri, model=_scorer(model, device, dtype), device=device_for(device), dtype=_type(dtype))
        report = index.update(collection, **how)
    else:
        given = {name: value for name, value in chosen.items() if value is not None}
        clip_every = given.pop("clip_every", None)
        scorer = _scorer(model, device, dtype, **given)
        index = VideoIndex.build(collection, uri, model=scorer, clip_every=clip_every, **how)
        assert index.report is not None  # of each build
        report = index.report
    if as_json:
        print_json(dataclasses.asdict(report))
        return report
    changes = {what: getattr(report, what) for what in ("added", "changed", "moved", "removed")}
    told = [f"{len(names):,} {what}" for what, names in changes.items() if names]
    console().print(f"{uri}: {plural(len(index), 'video')}; {', '.join([*told, f'{report.unchanged:,} unchanged'])}")
    return report


def search_index(
    uri: str, model: str | None, query: dict[str, Any], *, device: str | None, dtype: str | None, as_json: bool
) -> None:
    """Search and show what is found.

    Args:
        uri: Of the index.
        model: By default that which the index was built with.
        query: Arguments of :meth:`VideoIndex.search`.
        device: See :func:`~clipbert_command_line.actions.models.load`.
        dtype: See there.
        as_json: Whether to print the results as JSON.
    """
    quiet()
    index = VideoIndex.open(uri, model=_scorer(model, device, dtype), device=device_for(device), dtype=_type(dtype))
    found = index.search(**query)
    if as_json:
        results = [dataclasses.asdict(each) | {"start": each.start, "end": each.end} for each in found]
        print_json({"results": results, "stages": [dataclasses.asdict(stage) for stage in found.stages]})
        return
    rows = [
        [each.path, each.score, span(each.start, each.end), ", ".join(f"{w.word} {w.start:.1f}" for w in each.words)]
        for each in found
    ]
    print_table(["video", "score", "best clip", "words, from second"], rows)


def _scorer(model: str | None, device: str | None, dtype: str | None, **video_options: Any) -> Any:
    """The scorer of a model that was named; otherwise the index knows where it was."""
    if model is None:
        return None
    read_config(model)
    place = os.path.abspath(model) if os.path.isdir(model) else model  # the index remembers it
    with loading(model):
        return PairScorer.from_pretrained(place, dtype=_type(dtype), device=device_for(device), **video_options)


def _type(name: str | None) -> torch.dtype | None:
    return None if name is None else getattr(torch, name)
