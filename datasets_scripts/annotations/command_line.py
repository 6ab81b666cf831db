"""What the command lines of this package share. They import little, so that ``--help`` is quick."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from datasets_scripts.errors import DatasetError
from datasets_scripts.loading import create_builder

if TYPE_CHECKING:
    from datasets_scripts.annotations.builder import AnnotationBuilder


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def data_set_parser(program: str, description: str) -> argparse.ArgumentParser:
    """A parser of the arguments that name a data set.

    Args:
        program: How its help calls it.
        description: Of which the first line is shown.
    """
    parser = Parser(prog=program, description=description.splitlines()[0])
    parser.add_argument("name", help="the data set, such as msrvtt")
    parser.add_argument("config", nargs="?", help="its configuration, such as retrieval (by default its first)")
    parser.add_argument("--annotation_dir", required=True, help="the folder of the annotation files")
    parser.add_argument(
        "--video_dir", "--image_dir", dest="video_dir", help="the folder of the videos or images (by default the same)"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the data set, such as scheme=9k; the value is JSON or plain text",
    )
    parser.add_argument("--no_progress", action="store_true", help="no progress bars")
    return parser


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what to do about missing files."""
    parser.add_argument("--missing", choices=("error", "drop"), default="error", help="if files are missing")
    parser.add_argument("--check", action="store_true", help="open every file; unreadable ones count as missing")


def loader_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Folders and ``options``, as the loaders take them.

    Raises:
        DatasetError: An option is not NAME=VALUE.
    """
    parsed: dict[str, Any] = {}
    for text in options.option:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise DatasetError(f"--option must be NAME=VALUE, not {text!r}")
        try:
            parsed[name] = json.loads(value)
        except ValueError:
            parsed[name] = value
    return {"annotation_dir": options.annotation_dir, "video_dir": options.video_dir, "options": parsed}


def reported_builder(options: argparse.Namespace) -> AnnotationBuilder:
    """Create the builder that the parsed arguments name, and say what it found.

    Raises:
        DatasetError: As :func:`loader_arguments` and ``create_builder`` do.
    """
    given = loader_arguments(options)
    builder = create_builder(
        options.name,
        options.config,
        annotation_dir=given["annotation_dir"],
        video_dir=given["video_dir"],
        missing=options.missing,
        check=options.check,
        progress=not options.no_progress,
        **given["options"],
    )
    sys.stdout.write(builder.report.summary() + "\n")
    return builder


def run(work: Callable[[], int]) -> int:
    """Do the work of a command; errors of the user become one line and status 2, Ctrl-C one and 130."""
    try:
        return work()
    except (DatasetError, OSError) as error:
        logging.getLogger("datasets_scripts").debug("the trace of this error:", exc_info=True)
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
