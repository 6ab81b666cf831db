"""VQA v2: open-ended questions about COCO images, ten answers each (Goyal et al., 2017): config ``qa``.

Official files: ``v2_OpenEnded_mscoco_train2014_questions.json`` and ``v2_mscoco_train2014_annotations.json``, likewise
``val2014``; the questions of ``test2015`` (split ``test``) and ``test-dev2015`` (split ``test_dev``), whose answers are
not published. ``answers`` has the soft score of each answer, min(count / 3, 1) after the official normalisation, and
``people_answers`` what each of the ten people said, which the official score needs: it leaves out one at a time.
The released jsonl files are ``vqa/vqa_k_train.jsonl`` or ``vqa_k_trainval.jsonl``, ``vqa_k_val.jsonl``,
``vqa_k_test.jsonl``; they hold scores alone, from which the official score cannot be had.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from datasets_scripts.annotations.builder import AnnotationBuilder, AnnotationConfig
from datasets_scripts.annotations.coco_images import coco_names, image_names
from datasets_scripts.annotations.files import json_records, jsonl_records
from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.plan import Item, Plan, Published, Reader
from datasets_scripts.annotations.records import Record, is_number, shown
from datasets_scripts.annotations.released_files import choose_form
from datasets_scripts.annotations.vqa_answers import soft_scores
from datasets_scripts.errors import DatasetError
from datasets_scripts.schemas import sort_answers

_FOLDERS = {"train": "train2014", "validation": "val2014", "test": "test2015", "test_dev": "test-dev2015"}
_RELEASED = {
    "train": ("vqa_k_train.jsonl", "vqa_k_trainval.jsonl"),
    "validation": ("vqa_k_val.jsonl",),
    "test": ("vqa_k_test.jsonl",),
}
_PUBLISHED: Published = {
    "train": {"rows": 443_757},
    "validation": {"rows": 214_354},
    "test": {"rows": 447_793},
}


class VqaV2(AnnotationBuilder):
    """See the module; arguments as in :class:`AnnotationBuilder`."""

    NAME = "vqa_v2"
    CONFIGS = ("qa",)
    BUILDER_CONFIGS = [AnnotationConfig(name=name) for name in CONFIGS]  # noqa: RUF012 (datasets' own form)

    @classmethod
    def make_plan(cls, config: AnnotationConfig, folder: AnnotationFolder) -> Plan:
        """See the base."""
        names = {split: f"v2_OpenEnded_mscoco_{name}_questions.json" for split, name in _FOLDERS.items()}
        official = folder.find_all({split: (name,) for split, name in names.items()})
        released = folder.find_all(_RELEASED)
        form, notes = choose_form(config.form, official=bool(official), released=bool(released))
        if form == "jsonl":
            readers: dict[str, Reader] = {s: partial(read_released, p) for s, p in released.items()}
            trainval = "trainval" in released.get("train", Path()).name
            published = {} if trainval else _PUBLISHED
            return Plan("image_qa", form, readers, list(released.values()), notes, published)
        if not official:
            raise folder.missing([names["train"], "vqa/vqa_k_train.jsonl"], "vqa_v2")
        readers, files = {}, []
        for split, questions in official.items():
            answers = None
            if split in ("train", "validation"):
                name = f"v2_mscoco_{_FOLDERS[split]}_annotations.json"
                answers = folder.require(name, purpose=f"vqa_v2 {split}")
            readers[split] = partial(read_questions, questions, answers, _FOLDERS[split].replace("test-dev", "test"))
            files += [path for path in (questions, answers) if path is not None]
        return Plan("image_qa", form, readers, files, notes, _PUBLISHED)


def sorted_scores(answers: list[str]) -> list[dict[str, Any]]:
    """The score of each answer to a question, best first; nothing is no answer.

    >>> sorted_scores(["Yes", "yes.", "the", "no", "yes", "Yes"])
    [{'answer': 'yes', 'score': 1.0}, {'answer': 'no', 'score': 0.3333333333333333}]
    """
    return sort_answers({answer: score for answer, score in soft_scores(answers).items() if answer})


def read_questions(questions: Path, annotations: Path | None, images: str) -> Iterator[Item]:
    """The questions of an official file.

    Args:
        questions: The file.
        annotations: The file of the answers, if they are published.
        images: The name of the images' folder, a part of their file names.
    """
    answers = {} if annotations is None else dict(_read_answers(annotations))
    for record in json_records(questions, "questions"):
        key = record.name("question_id")
        names = coco_names(record.integer("image_id", low=0), [images])
        if annotations is not None and key not in answers:
            raise record.error(f"question {key} has no answer in {annotations}")
        given, kind = answers.pop(key, ([], ""))
        row = {
            "id": key,
            "question": record.text("question"),
            "answers": sorted_scores(given),
            "people_answers": given,
            "answer_type": kind,
        }
        yield Item(record, names, row)
    if answers:
        raise DatasetError(f"{annotations}: question {next(iter(answers))} is not in {questions}")


def _read_answers(path: Path) -> Iterator[tuple[str, tuple[list[str], str]]]:
    """For each question what people said, and the type of the answer."""
    seen = set()
    for record in json_records(path, "annotations"):
        key = record.name("question_id")
        if key in seen:
            raise record.error(f"question {key} is there twice")
        seen.add(key)
        given = [sys.intern(answer.text("answer", blank=True)) for answer in record.records("answers")]
        yield key, (given, _answer_type(record))


def _answer_type(record: Record) -> str:
    return record.text("answer_type", blank=True) if "answer_type" in record else ""


def read_released(path: Path) -> Iterator[Item]:
    """The questions of a jsonl file; those of the test split have no labels."""
    for record in jsonl_records(path):
        folders = [folder for split, folder in _FOLDERS.items() if split != "test_dev"]
        _, names = image_names(record, "image_id", folders)
        row = {
            "id": record.name("question_id"),
            "question": record.text("question"),
            "answers": _labels(record),
            "people_answers": [],
            "answer_type": _answer_type(record),
        }
        yield Item(record, names, row)


def _labels(record: Record) -> list[dict[str, Any]]:
    labels = record.values.get("labels") or {}
    if not isinstance(labels, dict):
        raise record.error(f"'labels' must be an object, not {shown(labels)}")
    for answer, score in labels.items():
        if not is_number(score) or not 0 < score <= 1:
            raise record.error(f"the score of {answer!r} in 'labels' must be above 0 and up to 1, not {shown(score)}")
    return sort_answers({record.clean(answer, "labels"): score for answer, score in labels.items()})
