"""The example videos that visitors may pick, with what may be asked of them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from clipbert_hf import InvalidInputError
from clipbert_hf.retrieval.collection import list_items

QUESTIONS = "examples.csv"
_MOST = 12


@dataclass(frozen=True)
class Sample:
    """An example.

    Args:
        video: A file.
        question: About it; may be empty.
        options: To choose among, a line each; may be empty.
    """

    video: str
    question: str = ""
    options: str = ""


def find_samples(folder: Path | None) -> list[Sample]:
    """The examples of a folder: the rows of its ``examples.csv``, or else its first videos.

    Args:
        folder: With videos, and perhaps ``examples.csv`` with the columns ``video``, ``question`` and ``options``, with
            ``|`` between them; the last two may be missing.

    Raises:
        InvalidInputError: If there are no videos, or a row names none.
    """
    if folder is None:
        return []
    if not folder.is_dir():
        raise InvalidInputError(f"--examples {folder}: there is no such folder")
    table = folder / QUESTIONS
    if not table.is_file():
        return [Sample(item.name) for item in list_items(folder)[:_MOST]]
    with table.open(newline="", encoding="utf-8") as file:
        return [_sample(folder, row, f"{table}, line {number}") for number, row in enumerate(csv.DictReader(file), 2)]


def _sample(folder: Path, row: dict[str, str | None], where: str) -> Sample:
    name = row.get("video") or ""
    if not name or not (folder / name).is_file():
        raise InvalidInputError(f"{where}: video must be a file in {folder}; got {name!r}")
    return Sample(str(folder / name), row.get("question") or "", (row.get("options") or "").replace("|", "\n"))
