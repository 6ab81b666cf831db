"""Write a report of training runs.

python -m clipbert_hf.explanation.report runs/qa runs/blind --output report.html
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from datasets_scripts.annotations.command_line import Parser

from ...errors import ClipBertError
from . import write_report


def main(arguments: Sequence[str] | None = None, program: str = "python -m clipbert_hf.explanation.report") -> None:
    """Run the command line, under the name that its help gives it."""
    parser = Parser(prog=program, description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="output folders of runs")
    parser.add_argument("--output", type=Path, help="the HTML file; by default report.html in the first folder")
    parser.add_argument("--title", help="by default the names of the runs")
    parser.add_argument("--examples", type=int, default=3, help="most right and most wrong answers with pictures")
    parser.add_argument("--no_clips", action="store_true", help="do not load models to show what each clip says")
    given = parser.parse_args(arguments)
    output = given.output or given.runs[0] / "report.html"
    write_report(given.runs, output, title=given.title, examples=given.examples, explains=not given.no_clips)
    sys.stdout.write(f"{output}\n")


if __name__ == "__main__":
    try:
        main()
    except (ClipBertError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from error
