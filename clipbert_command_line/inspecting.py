"""``clipbert info``, ``report``, ``doctor`` and ``push``."""

from __future__ import annotations

from pathlib import Path
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


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Output folders of runs, shown side by side.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="HTML", help="[default: report.html in the first]", show_default=False),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="[default: the names of the runs]")] = None,
    examples: Annotated[
        int, typer.Option("--examples", min=0, metavar="N", help="Right answers, and wrong ones, with pictures.")
    ] = 3,
    clips: Annotated[bool, typer.Option(help="Load models to show what each clip of an example says.")] = True,
    verbose: options.Verbose = False,
) -> None:
    """Write a page about training runs: figures, curves, calibration, examples, settings, cost.

    clipbert report runs/qa runs/blind --output report.html
    """
    from .actions.report import report as write

    write(runs, output or runs[0] / "report.html", title=title, examples=examples, clips=clips)


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
