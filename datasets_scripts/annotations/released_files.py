"""The jsonl files that were released with the paper, whose rows are alike in all data sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from datasets_scripts.annotations.files import jsonl_records
from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.media import media_stem
from datasets_scripts.annotations.plan import FormName, Item, Numbering
from datasets_scripts.annotations.records import Record
from datasets_scripts.errors import DatasetError


def choose_form(
    wanted: Literal["auto", "official", "jsonl"], *, official: bool, released: bool
) -> tuple[FormName, list[str]]:
    """Which form to read, and what to say about it.

    Args:
        wanted: What the user asks for.
        official: Whether official files are there.
        released: Whether jsonl files are there.

    Raises:
        DatasetError: What was asked for is not there.
    """
    if wanted == "official" and not official:
        raise DatasetError("form='official', but there are no official files")
    if wanted == "jsonl" and not released:
        raise DatasetError("form='jsonl', but there are no jsonl files")
    if wanted == "auto" and official and released:
        return "official", ["there are jsonl files too, which form='jsonl' reads"]
    if wanted == "auto":
        return ("jsonl" if released else "official"), []
    return wanted, []


def released_splits(folder: AnnotationFolder, home: str) -> dict[str, Path]:
    """The files ``train.jsonl``, ``val.jsonl`` and ``test.jsonl``, preferably in their own folder."""
    names = {"train": "train", "validation": "val", "test": "test"}
    return folder.find_all({split: (f"{home}/{name}.jsonl", f"{name}.jsonl") for split, name in names.items()})


def released_captions(path: Path, *, numbered: bool = True) -> Iterator[Item]:
    """Rows of ``clip_name, caption, sen_id``.

    Args:
        path: The file.
        numbered: Whether ``sen_id`` is part of the id; False where a video has one caption.
    """
    for record in jsonl_records(path):
        clip = media_stem(record.name("clip_name"))
        name = f"{clip}_{record.name('sen_id')}" if numbered else clip
        yield Item(record, record.name("clip_name"), {"id": name, "caption": record.text("caption")})


def released_questions(path: Path, video_key: str) -> Iterator[Item]:
    """Rows of a video, ``question, answer, answer_type``."""
    number = Numbering()
    for record in jsonl_records(path):
        video = record.name(video_key)
        row = {
            "id": number(media_stem(video)),
            "question": record.text("question"),
            "answer": record.text("answer"),
            "answer_type": record.text("answer_type"),
        }
        yield Item(record, video, row)


def released_choices(path: Path) -> Iterator[Item]:
    """Rows of ``qid, clip_name, options, answer``."""
    number = Numbering()
    for record in jsonl_records(path):
        video = record.name("clip_name")
        row = {"id": number(media_stem(video)), "question": "", **choices(record)}
        yield Item(record, video, row, record.name("qid"))


def choices(record: Record) -> dict[str, object]:
    """The five options and the index of the right one."""
    options = record.texts("options", length=5)
    return {"options": options, "answer": record.integer("answer", low=0, high=len(options) - 1)}
