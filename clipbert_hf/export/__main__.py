"""Export a model: ``python -m clipbert_hf.export MODEL --format onnx --output DIR``.

Writes the vision part (pixels of clips to visual tokens) and the pair scorer (texts and visual tokens to scores), the
processor, and ``clipbert_export.json``, which names inputs, outputs and axes. Compares both with PyTorch first, on
videos of the embedded data set, in several sizes: an fp32 export that differs by more than 1e-4 is an error.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from datasets_scripts.annotations.command_line import Parser

from ..errors import ClipBertError
from .exporting import PARTS, export_model
from .writing import SUFFIXES


def main(arguments: Sequence[str] | None = None, program: str = "python -m clipbert_hf.export") -> None:
    """Run the command line, under the name that its help gives it."""
    parser = Parser(prog=program, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="a saved folder, or a repository of the Hub")
    parser.add_argument("--format", required=True, choices=tuple(SUFFIXES), dest="file_format")
    parser.add_argument("--output", required=True, type=Path, help="folder to write, new or empty")
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all")
    parser.add_argument(
        "--precision", choices=("fp32", "int8"), default="fp32", help="int8: of the pair scorer, with the format onnx"
    )
    options = vars(parser.parse_args(arguments))
    try:
        reports = export_model(options.pop("model"), options.pop("output"), **options)
    except ClipBertError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"{'part':8}{'precision':>10}{'seconds':>9}{'MB':>9}{'largest difference':>20}{'times faster':>14}")  # noqa: T201
    for each in reports:
        print(  # noqa: T201
            f"{each.part:8}{each.precision:>10}{each.seconds:>9.1f}{each.megabytes:>9.1f}"
            f"{each.largest_difference:>20.1e}{each.ratio:>14.2f}"
        )


if __name__ == "__main__":
    main()
