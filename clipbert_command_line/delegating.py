"""Commands of other modules under one name: their arguments go on to them as they are, ``--help`` too."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

DATA = {
    "check": "Look for missing and unreadable videos.",
    "statistics": "Count rows, against the published numbers.",
    "prepare": "Re-encode videos once, for many epochs of fast reading.",
    "export": "Write a folder that datasets.load_dataset reads.",
}
MODELS = {
    "convert": ("clipbert_hf.convert_original_checkpoint", "Convert a published checkpoint."),
    "export": ("clipbert_hf.export.__main__", "Export a model to ONNX, OpenVINO or torch.export."),
}

data = typer.Typer(help="Data sets: check, count, prepare, export.", no_args_is_help=True, rich_markup_mode=None)


def delegate(app: typer.Typer, name: str, module: str, help_text: str, program: str) -> None:
    """Add a command that is the ``main(arguments, program)`` of a module.

    Args:
        app: Where to.
        name: Of the command.
        module: Imported when the command is called.
        help_text: What it is for, in a line.
        program: How its help calls it.
    """

    @app.command(name, help=help_text, add_help_option=False, context_settings={"ignore_unknown_options": True})
    def command(arguments: Annotated[list[str] | None, typer.Argument(metavar="…", show_default=False)] = None) -> None:
        main = importlib.import_module(module).main
        status = main([each for each in arguments or [] if each != "--verbose"], program=program)
        if status:
            raise typer.Exit(status)


for _name, _help in DATA.items():
    delegate(data, _name, f"datasets_scripts.{_name}", _help, f"clipbert data {_name}")
