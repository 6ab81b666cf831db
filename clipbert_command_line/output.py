"""What people and programs are shown: tables and lines, or JSON alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

Entry = TypeVar("Entry")
_WIDTH_OF_PIPES = 200  # a table that goes into a file is not cut at the width of a terminal


def console(*, errors: bool = False) -> Console:
    """Where tables go; what users wrote is shown as it is, whatever it means to rich."""
    stream = sys.stderr if errors else sys.stdout
    width = None if stream.isatty() else _WIDTH_OF_PIPES
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def print_json(value: Any) -> None:
    """One line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()  # a program that reads along need not wait for the last


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """A table; numbers stand to the right."""
    rows = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for place, name in enumerate(columns):
        is_number = bool(rows) and all(isinstance(row[place], (int, float)) for row in rows)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row])
    _print(table)


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Names and values, a line each."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, str(value))
    _print(table)


def _print(table: Table) -> None:
    screen = console()
    with screen.capture() as text:
        screen.print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in text.get().splitlines()))


def with_progress(entries: Iterable[Entry], what: str, *, total: int, shown: bool) -> Iterator[Entry]:
    """Go through entries beside a progress bar on standard error, where that is a terminal.

    Args:
        entries: What is gone through.
        what: In a word.
        total: How many there are.
        shown: Whether anybody wants to see it.
    """
    if not (shown and total > 1 and sys.stderr.isatty()):
        yield from entries
        return
    with Progress(console=console(errors=True), transient=True) as progress:
        yield from progress.track(entries, total=total, description=what)


def bar(share: float, width: int = 20) -> str:
    """A score from 0 to 1 as a bar.

    Example:
        >>> bar(0.5, width=4)
        '██'
    """
    return "█" * round(width * min(max(share, 0.0), 1.0))


def span(start: float, end: float) -> str:
    """A moment of a video.

    Example:
        >>> span(61.25, 63)
        '61.2–63.0 s'
    """
    return f"{start:.1f}–{end:.1f} s"


def plural(entries: Sized | int, what: str) -> str:
    """A number of things.

    Example:
        >>> plural(1, "video"), plural([], "video")
        ('1 video', '0 videos')
    """
    number = entries if isinstance(entries, int) else len(entries)
    return f"{number:,} {what}{'' if number == 1 else 's'}"
