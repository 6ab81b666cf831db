"""TGIF-QA: questions about animated GIFs (Jang et al., 2017).

==============  ==================================================================================================
``action``      what happens a given number of times; multiple choice of five
``transition``  what happens before or after something; multiple choice of five
``frameqa``     open-ended; types ``object``, ``number``, ``color``, ``location``
``count``       how many times; an integer from 0 to 10, reported as mean squared error of the rounded prediction
==============  ==================================================================================================

Official files: ``Train_action_question.csv``, ``Test_action_question.csv`` and so on, tab-separated. They have no
validation split, so one is held out of the training split by video: the same videos in all four configurations,
decided by a hash of the name, so that it depends neither on the order of the file nor on the machine. The released
jsonl files are ``tgif_qa/action_train.jsonl``, ``action_val.jsonl``, ``action_test.jsonl`` and so on; where there is
one for validation, nothing is held out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datasets_scripts.annotations.builder import AnnotationBuilder, AnnotationConfig
from datasets_scripts.annotations.files import jsonl_records, table_records
from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.held_out import hold_out
from datasets_scripts.annotations.media import media_stem
from datasets_scripts.annotations.plan import Item, Numbering, Plan, Published, Reader
from datasets_scripts.annotations.records import Record
from datasets_scripts.annotations.released_files import choices, choose_form
from datasets_scripts.schemas import SchemaName

FRAMEQA_TYPES = ("object", "number", "color", "location")
LARGEST_COUNT = 10
_CHOICES = ("gif_name", "question", "a1", "a2", "a3", "a4", "a5", "answer", "vid_id", "key")
_COLUMNS = {
    "action": _CHOICES,
    "transition": _CHOICES,
    "frameqa": ("gif_name", "question", "answer", "type", "vid_id", "key", "description"),
    "count": ("gif_name", "question", "answer", "vid_id", "key"),
}
_SCHEMAS: dict[str, SchemaName] = {
    "action": "multiple_choice",
    "transition": "multiple_choice",
    "frameqa": "qa",
    "count": "count",
}
_ROWS = {
    "action": (20_471, 2_274),
    "transition": (52_704, 6_232),
    "frameqa": (39_392, 13_691),
    "count": (26_839, 3_554),
}


@dataclass
class TgifQAConfig(AnnotationConfig):
    """Options of TGIF-QA.

    Args:
        validation_fraction: The share of the training videos to hold out, where no validation file is there.
        validation_seed: Another seed holds out other videos.
    """

    validation_fraction: float = 0.1
    validation_seed: int = 0


class TgifQA(AnnotationBuilder):
    """See the module; arguments as in :class:`AnnotationBuilder`."""

    NAME = "tgif_qa"
    CONFIGS = ("action", "transition", "frameqa", "count")
    BUILDER_CONFIG_CLASS = TgifQAConfig
    BUILDER_CONFIGS = [TgifQAConfig(name=name) for name in CONFIGS]  # noqa: RUF012 (datasets' own form)

    @classmethod
    def make_plan(cls, config: TgifQAConfig, folder: AnnotationFolder) -> Plan:
        """See the base."""
        task = config.name
        official = folder.find_all({split: (f"{split}_{task}_question.csv",) for split in ("train", "test")})
        shorts = {"train": "train", "validation": "val", "test": "test"}
        released = folder.find_all({split: (f"{task}_{short}.jsonl",) for split, short in shorts.items()})
        form, notes = choose_form(config.form, official=bool(official), released=bool(released))
        files = official if form == "official" else released
        if not files:
            raise folder.missing([f"Train_{task}_question.csv", f"tgif_qa/{task}_train.jsonl"], f"tgif_qa {task}")
        read = read_table if form == "official" else read_released
        readers: dict[str, Reader] = {s: partial(read, path, task) for s, path in files.items()}
        readers = hold_out(readers, config.validation_fraction, config.validation_seed)
        if set(readers) != set(files):
            share = f"{config.validation_fraction:.0%} of the training videos"
            notes.append(f"validation is {share}, held out with seed {config.validation_seed}")
        train, test = _ROWS[task]
        whole_name = "train+validation" if "validation" in readers else "train"
        published: Published = {whole_name: {"rows": train}, "test": {"rows": test}}
        return Plan(_SCHEMAS[task], form, readers, list(files.values()), notes, published)


def read_table(path: Path, task: str) -> Iterator[Item]:
    """The rows of an official file."""
    number = Numbering()
    for record in table_records(path, _COLUMNS[task], delimiter="\t"):
        if task == "frameqa":
            kind = FRAMEQA_TYPES[record.integer("type", low=0, high=len(FRAMEQA_TYPES) - 1)]
            rest: dict[str, Any] = {"answer": record.text("answer"), "answer_type": kind}
        elif task == "count":
            rest = _count(record)
        else:
            options = [record.text(f"a{n}") for n in range(1, 6)]
            rest = {"options": options, "answer": record.integer("answer", low=0, high=4)}
        yield _item(record, number, rest)


def read_released(path: Path, task: str) -> Iterator[Item]:
    """The rows of a jsonl file."""
    number = Numbering()
    for record in jsonl_records(path):
        if task == "frameqa":
            kind = record.text("answer_type")
            if kind not in FRAMEQA_TYPES:
                raise record.error(f"'answer_type' must be one of {', '.join(FRAMEQA_TYPES)}, not {kind!r}")
            rest: dict[str, Any] = {"answer": record.text("answer"), "answer_type": kind}
        else:
            rest = _count(record) if task == "count" else choices(record)
        yield _item(record, number, rest)


def _item(record: Record, number: Numbering, rest: dict[str, Any]) -> Item:
    name = record.text("gif_name")
    return Item(record, name, {"id": number(media_stem(name)), "question": record.text("question"), **rest})


def _count(record: Record) -> dict[str, Any]:
    return {"answer": record.integer("answer", low=0, high=LARGEST_COUNT), "answer_type": "count"}
