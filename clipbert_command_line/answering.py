"""``clipbert ask``, ``choose`` and ``match``: texts about videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .errors import CommandError
from .inputs import check_files, read_lists

Videos = Annotated[
    list[str] | None,
    typer.Argument(metavar="VIDEO", help="Files or URLs; -: from standard input, a line each.", show_default=False),
]
Question = Annotated[str, typer.Argument(metavar="QUESTION", help="-: from standard input, a line each.")]


def ask(
    videos: Videos = None,
    *,
    question: Question,
    model: options.Model,
    top_k: options.TopK = 5,
    num_clips: options.NumClips = None,
    return_clip_scores: options.Clips = False,
    abstain_below: options.AbstainBelow = None,
    batch_size: options.BatchSize = 1,
    num_workers: options.Workers = 0,
    plot: options.Plot = None,
    attention: options.Attention = None,
    device: options.Device = None,
    dtype: options.Precision = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Ask a question about videos.

    clipbert ask bikes.mp4 "what are they riding ?" --model my-model
    """
    rows = _rows_of_questions("ask", videos, question)
    _answer(
        "ask",
        model,
        rows,
        device,
        dtype,
        json=json,
        clips=return_clip_scores,
        drawn=(plot, attention),
        top_k=top_k,
        num_clips=num_clips,
        abstain_below=abstain_below,
        batch_size=batch_size,
        num_workers=num_workers,
    )


def choose(
    videos: Videos = None,
    *,
    question: Question,
    option: Annotated[list[str], typer.Option("--option", metavar="TEXT", help="An answer to choose; give several.")],
    model: options.Model,
    top_k: options.TopK = None,
    num_clips: options.NumClips = None,
    return_clip_scores: options.Clips = False,
    abstain_below: options.AbstainBelow = None,
    batch_size: options.BatchSize = 1,
    num_workers: options.Workers = 0,
    plot: options.Plot = None,
    attention: options.Attention = None,
    device: options.Device = None,
    dtype: options.Precision = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Choose among answers to a question about videos.

    clipbert choose bikes.mp4 "what does he do ?" --option "ride a bike" --option cook --model my-model
    """
    if len(option) < 2:
        raise CommandError("--option: expected at least two answers to choose from, got one")
    rows = _rows_of_questions("choose", videos, question)
    for row in rows:
        row["choices"] = option if isinstance(row["question"], str) else [option] * len(row["question"])
    _answer(
        "choose",
        model,
        rows,
        device,
        dtype,
        json=json,
        clips=return_clip_scores,
        drawn=(plot, attention),
        top_k=top_k,
        num_clips=num_clips,
        abstain_below=abstain_below,
        batch_size=batch_size,
        num_workers=num_workers,
    )


def match(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="A file or URL; -: several, from standard input.")],
    texts: Annotated[list[str], typer.Argument(metavar="TEXT", help="-: from standard input, a line each.")],
    *,
    model: options.Model,
    top_k: options.TopK = None,
    num_clips: options.NumClips = None,
    return_clip_scores: options.Clips = False,
    batch_size: options.BatchSize = 1,
    num_workers: options.Workers = 0,
    plot: options.Plot = None,
    attention: options.Attention = None,
    device: options.Device = None,
    dtype: options.Precision = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Tell how well texts fit a video.

    clipbert match bikes.mp4 "a man rides a bike" "a cat sleeps" --model my-retrieval-model
    """
    videos, texts = read_lists(VIDEO=[video], TEXT=texts)
    check_files(videos)
    rows: list[dict[str, Any]] = [{"video": video, "text": texts} for video in videos]
    _answer(
        "match",
        model,
        rows,
        device,
        dtype,
        json=json,
        clips=return_clip_scores,
        drawn=(plot, attention),
        top_k=top_k,
        num_clips=num_clips,
        batch_size=batch_size,
        num_workers=num_workers,
    )


def _rows_of_questions(command: str, videos: list[str] | None, question: str) -> list[dict[str, Any]]:
    """A row of the pipeline for each video."""
    if not videos:
        raise CommandError(f"{command} needs a video and a question; got only {question!r}")
    videos, questions = read_lists(VIDEO=videos, QUESTION=[question])
    check_files(videos)
    asked = questions if question == "-" else questions[0]
    return [{"video": video, "question": asked} for video in videos]


def _answer(
    command: str,
    model: str,
    rows: list[dict[str, Any]],
    device: str | None,
    dtype: options.Dtype | None,
    *,
    json: bool,
    clips: bool,
    drawn: tuple[Path | None, Path | None],
    **calls: Any,
) -> None:
    texts = rows[0]["text" if "text" in rows[0] else "question"]
    if any(drawn) and (len(rows) > 1 or not (isinstance(texts, str) or len(texts) == 1)):
        raise CommandError("--plot and --attention draw one video and one text; give one of each")

    from .actions.answers import answer

    given = {name: value for name, value in calls.items() if value is not None}
    # People are shown the moment that decided.
    given["return_clip_scores"] = clips or not json
    answer(command, model, rows, given, device=device, dtype=dtype and dtype.value, as_json=json, drawn=drawn)
