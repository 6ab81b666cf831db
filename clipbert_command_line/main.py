"""The entrance: runs a command, and turns errors into one line and an exit status.

| status | meaning |
|---|---|
| 0 | done |
| 1 | done, and not all is well: files are missing or cannot be read, a check of ``doctor`` failed |
| 2 | refused or failed, for a reason that one line names |
| 3 | a fault of the program |
| 130 | interrupted by Ctrl-C |
| 141 | what reads the output has gone |
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from .app import app

DONE, NOT_ALL_WELL, FAILED, FAULT, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 130, 141

# What tells users all there is to know, by name: to import the classes would load torch.
_EXPECTED = {"ClipBertError", "CommandError", "DatasetError", "HTTPError", "HFValidationError", "OutOfMemoryError"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: By default those of the process.

    Returns:
        The exit status.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings(), _traces_of_data_sets("--verbose" in arguments):
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            try:
                status = app(args=arguments, prog_name="clipbert", standalone_mode=False)
            finally:
                sys.stdout.flush()  # while a full disk can still be told of
            if status == INTERRUPTED:  # typer has taken notice of Ctrl-C
                sys.stderr.write("interrupted\n")
            return int(status or DONE)
        except SystemExit as end:  # of a command with a parser of its own
            error = end.__context__
            if isinstance(error, BrokenPipeError):  # as typer ends where output is printed
                return PIPE_CLOSED
            if error is not None and "--verbose" in arguments:
                traceback.print_exception(error)
            return end.code if isinstance(end.code, int) else DONE if end.code is None else FAILED
        except (KeyboardInterrupt, typer.Abort):
            sys.stderr.write("interrupted\n")
            return INTERRUPTED
        except BrokenPipeError:
            _forget_output()
            return PIPE_CLOSED
        except Exception as error:
            status, line = explain(error)
            if status == FAULT:
                line += "" if "--verbose" in arguments else "; --verbose shows the trace"
            if "--verbose" in arguments:
                traceback.print_exception(error)
            sys.stderr.write(f"{line}\n" if "\n" in line else f"error: {line}\n")  # several lines are a help
            _forget_output()
            return status


def explain(error: Exception) -> tuple[int, str]:
    """The exit status and the line for an error."""
    line = " ".join(str(error).split())
    kinds = {each.__name__ for each in type(error).__mro__}
    if "NoArgsIsHelpError" in kinds:
        return FAILED, str(error)
    if "ClickException" in kinds:  # of click, or of the copy of it that newer releases of typer bring
        line = " ".join(error.format_message().split())  # type: ignore[attr-defined]
        context = getattr(error, "ctx", None)
        return FAILED, line if context is None else f"{line.rstrip('.')} (see {context.command_path} --help)"
    if isinstance(error, OSError) and error.strerror:
        where = "output: " if error.filename is None and error.errno == errno.ENOSPC else ""
        where = where if error.filename is None else f"{error.filename}: "
        return FAILED, where + error.strerror
    if isinstance(error, MemoryError):
        return FAILED, line or "out of memory"
    if isinstance(error, (OSError, ImportError)) or _EXPECTED & kinds:
        return FAILED, line
    return FAULT, f"unexpected {type(error).__name__}: {line}"


@contextmanager
def _traces_of_data_sets(wanted: bool) -> Iterator[None]:
    """Their commands, which return a status, log the trace of an error."""
    logger, handler = logging.getLogger("datasets_scripts"), logging.StreamHandler(sys.stderr)
    if wanted:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def _show_warning(message: Warning | str, *_: Any) -> None:
    sys.stderr.write(f"warning: {' '.join(str(message).split())}\n")


def _forget_output() -> None:
    """What cannot be written now cannot be written when Python ends either, which would complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def script() -> None:
    """The console script."""
    sys.exit(main())
