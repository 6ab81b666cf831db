"""What a command line names: videos and texts, or a list of them on standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .errors import CommandError


def read_lists(**arguments: Sequence[str]) -> list[list[str]]:
    """Replace ``-`` by the lines of standard input, which one of the arguments may name, once.

    Args:
        **arguments: By their names, what was given for each.

    Returns:
        The same in order.

    Raises:
        CommandError: If two name it, nothing was given, or an entry is blank.
    """
    if sum(list(values).count("-") for values in arguments.values()) > 1:
        raise CommandError("standard input (-) can be read once")
    lists = []
    for name, values in arguments.items():
        entries: list[str] = []
        for value in values:
            entries += [line.rstrip("\r\n") for line in sys.stdin if line.strip()] if value == "-" else [value]
        if not entries:
            raise CommandError(f"{name}: expected at least one, got none")
        if not all(entry.strip() for entry in entries):
            raise CommandError(f"{name}: expected text, got a blank")
        lists.append(entries)
    return lists


def check_files(videos: Sequence[str]) -> None:
    """Check that files are there, before anything is loaded.

    Raises:
        CommandError: If one is not.
    """
    for video in videos:
        if "://" not in video and not os.path.exists(video):
            raise CommandError(f"{video}: no such video")
