"""Writing a page about training runs."""

from __future__ import annotations

import sys
from pathlib import Path

from clipbert_hf.explanation.report import write_report


def report(runs: list[Path], output: Path, *, title: str | None, examples: int, clips: bool) -> None:
    """Write the page, and say where.

    Args:
        runs: See :func:`~clipbert_hf.explanation.report.write_report`.
        output: See there.
        title: See there.
        examples: See there.
        clips: Whether models are loaded, to show what each clip says.
    """
    write_report(runs, output, title=title, examples=examples, explains=clips)
    sys.stdout.write(f"{output}\n")
