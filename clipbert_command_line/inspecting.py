"""``clipbert info``, ``doctor`` and ``push``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .errors import CommandError
from .inputs import check_files, read_lists


def info(
    videos: Annotated[
        list[str] | None,
        typer.Argument(metavar="VIDEO", help="Files or URLs; -: from standard input.", show_default=False),
    ] = None,
    *,
    model: options.OptionalModel = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Tell what a model is for and how it looks at videos, or facts about videos.

    clipbert info --model my-model; clipbert info bikes.mp4
    """
    if (model is None) == (not videos):
        raise CommandError("info needs --model or videos, one of both")
    if model is not None:
        from .actions.information import show_model

        show_model(model, as_json=json)
        return
    (paths,) = read_lists(VIDEO=videos or [])
    check_files(paths)

    from .actions.information import show_videos

    show_videos(paths, as_json=json)


def doctor(
    video: Annotated[
        str | None, typer.Argument(metavar="VIDEO", help="Decode this one too.", show_default=False)
    ] = None,
    *,
    model: options.OptionalModel = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Check the installation: versions, decoders, devices, one decoded video and one forward pass on each device.

    clipbert doctor bikes.mp4 --model my-model
    """
    if video is not None:
        check_files([video])

    from .actions.checkup import check_up

    if not check_up(video, model, as_json=json):
        raise typer.Exit(1)


def push(
    repository: Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME on the Hub; made if it is not there.")],
    *,
    model: Annotated[str, typer.Option("--model", metavar="FOLDER", help="The saved model.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    message: Annotated[str, typer.Option("--message", metavar="TEXT", help="Of the commit.")] = "Add the model",
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Upload a saved model to the Hub: weights, processor, code and card, not what else lies in the folder of a run.

    clipbert push my-team/my-model --model runs/qa
    """
    from .actions.upload import upload

    upload(model, repository, private=private, message=message, as_json=json)
