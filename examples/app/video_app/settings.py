"""The settings of the app: of the command line, or of the environment, as a Space sets them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbert_command_line.numbers import above_zero, port, whole


@dataclass(frozen=True)
class Settings:
    """What the app shows, and what it takes.

    Args:
        models: Folders or repositories of models that answer or choose, at most one of each kind.
        index: The URI of a search index.
        search_model: The model of the index, where it is no longer where it was when the index was built.
        examples: A folder of videos that visitors may pick.
        max_megabytes: The largest upload.
        max_minutes: The longest video.
        waiting: How many requests may wait; more are turned away.
        host: The address to listen at; by default this machine alone.
        port: By default the first free one from 7860.
    """

    models: tuple[str, ...] = ()
    index: str | None = None
    search_model: str | None = None
    examples: Path | None = None
    max_megabytes: int = 100
    max_minutes: float = 10
    waiting: int = 20
    host: str | None = None
    port: int | None = None


def read_settings(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the command line; what it leaves out is taken from the environment.

    Args:
        arguments: Of the command line; by default those of this process.
        environment: ``MODEL`` (several with commas between them), ``INDEX``, ``SEARCH_MODEL`` and ``EXAMPLES``.
    """
    default = Settings()
    named = [name.strip() for name in environment.get("MODEL", "").split(",")]
    parser = argparse.ArgumentParser(description="Ask videos, choose among answers, and search, on a web page.")
    parser.add_argument(
        "--model", action="append", help="folder or Hub id of a model that answers or chooses; give one of each"
    )
    parser.add_argument("--index", default=environment.get("INDEX") or None, help="a search index")
    parser.add_argument(
        "--search_model",
        default=environment.get("SEARCH_MODEL") or None,
        help="the model of the index; by default from where it was",
    )
    parser.add_argument("--examples", default=environment.get("EXAMPLES") or None, help="folder of videos to pick")
    parser.add_argument("--max_megabytes", type=whole(least=1), default=default.max_megabytes, help="of an upload")
    parser.add_argument("--max_minutes", type=above_zero, default=default.max_minutes, help="of a video")
    parser.add_argument("--waiting", type=whole(least=1), default=default.waiting, help="requests that may wait")
    parser.add_argument("--host", help="address to listen at; by default this machine alone")
    parser.add_argument("--port", type=port(least=1), help="by default the first free one from 7860")
    given = vars(parser.parse_args(arguments))
    models = given.pop("model") or [name for name in named if name]
    examples = given.pop("examples")
    return Settings(models=tuple(models), examples=None if examples is None else Path(examples), **given)
