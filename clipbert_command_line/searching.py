"""``clipbert index`` and ``search``: a collection of videos."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .errors import CommandError
from .inputs import check_files, read_lists


def index(
    folder: Annotated[
        list[str],
        typer.Argument(metavar="FOLDER", help="Or videos: files and URLs; -: from standard input, a line each."),
    ],
    *,
    uri: Annotated[str, typer.Option("--uri", metavar="URI", help="The index: a folder, or s3://…, gs://…, az://….")],
    model: options.OptionalModel = None,
    update: Annotated[
        bool, typer.Option("--update", help="Of an index that is there: take over deletions too; needs no --model.")
    ] = False,
    clip_every: Annotated[
        float | None,
        typer.Option("--clip_every", metavar="SECONDS", help="In long videos, take a clip every so often."),
    ] = None,
    num_clips: options.NumClips = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, metavar="N", help="Processes, each of which loads the model. [default: this one]"
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray", metavar="ADDRESS", help="Or a Ray cluster, such as auto or ray-head:6379, with the same paths."
        ),
    ] = None,
    device: options.Device = None,
    dtype: options.Precision = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Make an index of videos, or go on with one.

    clipbert index holidays/ --uri holidays.index --model my-retrieval-model
    """
    if model is None and not update:
        raise CommandError("index needs --model, or --update of an index that is there")
    if update and (clip_every is not None or num_clips is not None):
        raise CommandError("--update: --clip_every and --num_clips are those of the index")
    (videos,) = read_lists(FOLDER=folder)
    check_files(videos)

    from .actions.search import build_index

    precision = dtype and dtype.value
    chosen = {"clip_every": clip_every, "num_clips": num_clips}
    where = {"ray": ray, "workers": workers}
    report = build_index(videos, uri, model, chosen, where, update=update, device=device, dtype=precision, as_json=json)
    if report.failed:
        raise typer.Exit(1)


def search(
    uri: Annotated[str, typer.Argument(metavar="URI", help="The index.")],
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="What the videos show.", show_default=False)
    ] = None,
    *,
    video: Annotated[str | None, typer.Option("--video", metavar="VIDEO", help="Or one that they are like.")] = None,
    model: options.OptionalModel = None,
    top_k: options.TopK = 10,
    where: Annotated[str | None, typer.Option("--where", metavar="SQL", help="A condition on columns.")] = None,
    candidates: Annotated[int, typer.Option("--candidates", min=1, help="Videos left by the first stage.")] = 200,
    rerank: Annotated[int, typer.Option("--rerank", min=0, help="Videos read together with the text.")] = 50,
    device: options.Device = None,
    dtype: options.Precision = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Find videos in an index.

    clipbert search holidays.index "a dog runs into the sea"
    """
    if (text is None) == (video is None):
        raise CommandError("search needs TEXT or --video, one of both")
    if text is not None and not text.strip():
        raise CommandError("TEXT: expected text, got a blank")

    from .actions.search import search_index

    query = {"text": text, "video": video, "top_k": top_k, "where": where, "candidates": candidates, "rerank": rerank}
    search_index(uri, model, query, device=device, dtype=dtype and dtype.value, as_json=json)
