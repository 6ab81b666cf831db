"""The commands, put together."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from . import answering, delegating, inspecting, searching, training

app = typer.Typer(
    help="Ask questions of videos, search them, and train models that do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"clipbert_hf {version('clipbert_hf')}")
        raise typer.Exit


@app.callback()
def clipbert(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """What comes before the commands."""


_COMMANDS: list[Callable[..., None]] = [
    *(answering.ask, answering.choose, answering.match),
    *(searching.index, searching.search),
    *(inspecting.info, inspecting.report, inspecting.doctor, inspecting.push),
]
for _command in _COMMANDS:
    app.command()(_command)
for _name, (_module, _help) in delegating.MODELS.items():
    delegating.delegate(app, _name, _module, _help, f"clipbert {_name}")
app.add_typer(training.app, name="train")
app.add_typer(delegating.data, name="data")
