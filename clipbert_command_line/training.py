"""``clipbert train TASK``: a command for each task, whose settings are those of its recipe."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from . import options

# As clipbert_hf.training.scripts has them, whose import would load torch.
TASKS = {
    "multiple_choice": "Questions about videos with options to choose from.",
    "pretraining": "Images or frames with captions: masked words, matching.",
    "retrieval": "Text to video and video to text.",
    "video_qa": "Open-ended questions, counting, image VQA.",
}

app = typer.Typer(
    help="Train and evaluate a model: clipbert train TASK RECIPE --setting value; clipbert train TASK --help.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def recipe_names() -> list[str]:
    """The recipes of the package, without importing it."""
    spec = find_spec("clipbert_hf")
    places = (spec.submodule_search_locations if spec else None) or []
    return sorted(path.stem for place in places for path in Path(place, "recipes").glob("*.yaml"))


def _complete(incomplete: str) -> list[str]:
    return [name for name in recipe_names() if name.startswith(incomplete)]


def _add(task: str) -> None:
    # All that typer does not know goes on to the task, in its order; --help too, since the task knows its settings.
    @app.command(task, help=TASKS[task], add_help_option=False, context_settings={"ignore_unknown_options": True})
    def train(
        arguments: Annotated[
            list[str] | None,
            typer.Argument(metavar="[RECIPE] --setting value", autocompletion=_complete, show_default=False),
        ] = None,
        processes: Annotated[int | None, typer.Option("--processes", min=1)] = None,
        accelerate_config: Annotated[Path | None, typer.Option("--accelerate_config")] = None,
        verbose: options.Verbose = False,
    ) -> None:
        from .actions.train import train as run

        settings = arguments or []
        if {"-h", "--help"} & set(settings):
            typer.echo(_help(task))
        run(task, settings, processes=processes, accelerate_config=accelerate_config, verbose=verbose)


def _help(task: str) -> str:
    names = [name for name in recipe_names() if name.startswith(task)]
    return (
        f"Usage: clipbert train {task} [RECIPE] --setting value …\n\n  {TASKS[task]}\n\n"
        "RECIPE is a YAML file or one of:\n  " + "\n  ".join(names) + "\n\n"
        "Options:\n"
        "  --processes N             Several processes, by accelerate launch; by default one.\n"
        "  --accelerate_config FILE  A configuration of accelerate launch, such as of FSDP2 or several machines.\n"
        "  --verbose                 Show the trace of an error.\n"
    )


for _task in TASKS:
    _add(_task)
