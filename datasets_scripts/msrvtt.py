"""MSR-VTT: 10,000 clips with 20 captions each, and the questions made from them (Xu et al., 2016 and 2017).

===================  ===========================================================================================
``retrieval``        captions. The training split depends on ``scheme``; see :class:`MsrvttConfig`
``qa``               MSRVTT-QA: open-ended questions; the type of an answer is the first word of the question
``multiple_choice``  MSR-VTT multiple choice: which of five captions fits; only a test split exists
===================  ===========================================================================================

Official files: ``train_val_videodatainfo.json`` and ``test_videodatainfo.json``, their merge ``MSRVTT_data.json``,
or ``MSR_VTT.json``; ``MSRVTT_JSFusion_test.csv`` for the 1k-A test; ``train_qa.json``, ``val_qa.json``,
``test_qa.json``; a tab-separated table with columns ``vid_key, a1, …, a5, answer``. The released jsonl files are
found by the names that they were published under, such as ``msrvtt_retrieval/train.jsonl``. Where neither is there the
files of the Hub are read, ``msrvtt_train_7k.json`` (or ``9k``) and ``msrvtt_test_1k.json``, also called ``train.json``
and ``test.json``: lists of ``{video_id, caption}`` with one caption or a list of them.

The 1k-A test holds captions that come twice; they are kept, since published figures count them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from datasets_scripts.annotations.builder import AnnotationBuilder, AnnotationConfig
from datasets_scripts.annotations.files import json_records, separator_notes, table_records
from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.plan import Item, Numbering, Plan, Published, Reader
from datasets_scripts.annotations.records import Record
from datasets_scripts.annotations.released_files import (
    choose_form,
    released_captions,
    released_choices,
    released_questions,
    released_splits,
)
from datasets_scripts.errors import DatasetError

Scheme = Literal["7k", "9k", "official"]
OFFICIAL_SPLITS = {"train": "train", "validate": "validation", "test": "test"}
_TEST_TABLE = "MSRVTT_JSFusion_test.csv"
_TEST_COLUMNS = ("key", "vid_key", "video_id", "sentence")
_CHOICES = ("vid_key", "a1", "a2", "a3", "a4", "a5", "answer")
_PUBLISHED: dict[str, Published] = {
    "7k": {"train": {"rows": 140_200, "videos": 7_010}, "test": {"rows": 1_000, "videos": 1_000}},
    "9k": {"train": {"rows": 180_000, "videos": 9_000}, "test": {"rows": 1_000, "videos": 1_000}},
    "official": {
        "train": {"rows": 130_260, "videos": 6_513},
        "validation": {"rows": 9_940, "videos": 497},
        "test": {"rows": 59_800, "videos": 2_990},
        # Words were counted by another tokeniser, so small differences there mean nothing.
        "train+validation+test": {"rows": 200_000, "videos": 10_000, "words": 1_856_523, "vocabulary": 29_316},
    },
    "qa": {"train": {"rows": 158_581}, "validation": {"rows": 12_278}, "test": {"rows": 72_821}},
    "multiple_choice": {"test": {"rows": 2_990, "videos": 2_990}},
}


@dataclass
class MsrvttConfig(AnnotationConfig):
    """Options of MSR-VTT.

    Args:
        scheme: ``retrieval``: ``7k`` (the paper's) trains on the official train and validate splits and tests on 1k-A;
            ``9k`` trains on every official video outside the 1k-A test; ``official`` has the official three splits.
    """

    scheme: Scheme = "7k"


class Msrvtt(AnnotationBuilder):
    """See the module; arguments as in :class:`AnnotationBuilder`."""

    NAME = "msrvtt"
    CONFIGS = ("retrieval", "qa", "multiple_choice")
    BUILDER_CONFIG_CLASS = MsrvttConfig
    BUILDER_CONFIGS = [MsrvttConfig(name=name) for name in CONFIGS]  # noqa: RUF012 (datasets' own form)

    @classmethod
    def make_plan(cls, config: MsrvttConfig, folder: AnnotationFolder) -> Plan:
        """See the base."""
        if config.scheme not in get_args(Scheme):
            raise DatasetError(f"scheme must be one of {', '.join(get_args(Scheme))}, not {config.scheme!r}")
        plans = {"retrieval": _plan_retrieval, "qa": _plan_qa, "multiple_choice": _plan_choices}
        plan = plans[config.name](config, folder)
        plan.published = _PUBLISHED[config.scheme if config.name == "retrieval" else config.name]
        return plan


# --- Retrieval ---


def _plan_retrieval(config: MsrvttConfig, folder: AnnotationFolder) -> Plan:
    merged = folder.find("MSRVTT_data.json")
    parts = [folder.find("train_val_videodatainfo.json"), folder.find("test_videodatainfo.json")]
    plain = folder.find("MSR_VTT.json")
    captions = [merged] if merged else [path for path in parts if path] or ([plain] if plain else [])
    released = released_splits(folder, "msrvtt_retrieval")
    hub = _hub_files(config.scheme, folder)
    if hub and not captions and not released and config.form == "auto":
        return _hub_retrieval(config.scheme, hub, folder)
    form, notes = choose_form(config.form, official=bool(captions), released=bool(released))
    notes += [f"there is {path.name} too, which is not read" for path in hub.values()]
    if form == "jsonl":
        if config.scheme != "7k":
            raise DatasetError(f"scheme {config.scheme} needs the official files: the jsonl files hold scheme 7k")
        readers = {split: partial(released_captions, path) for split, path in released.items()}
        return Plan("retrieval", form, readers, list(released.values()), notes)
    if not captions:
        names = ["train_val_videodatainfo.json", "MSRVTT_data.json", "MSR_VTT.json", "msrvtt_retrieval/train.jsonl"]
        raise folder.missing(names, "msrvtt retrieval")
    return _official_retrieval(config.scheme, captions, folder, notes)


def _hub_files(scheme: Scheme, folder: AnnotationFolder) -> dict[str, Path]:
    train = (f"msrvtt_train_{scheme}.json", f"train_{scheme}.json", "train.json")
    return folder.find_all({"train": train, "test": ("msrvtt_test_1k.json", "test_1k.json", "test.json")})


def _hub_retrieval(scheme: Scheme, files: dict[str, Path], folder: AnnotationFolder) -> Plan:
    if scheme == "official":
        raise DatasetError("scheme official needs the official files: those of the Hub hold schemes 7k and 9k")
    readers: dict[str, Reader] = {split: partial(read_hub_captions, path) for split, path in files.items()}
    notes = [
        f"{path.name} is taken for {what} as it is"
        for split, what in (("train", f"the training split of scheme {scheme}"), ("test", "the 1k-A test"))
        if (path := files.get(split)) is not None and path.name.lower() == f"{split}.json"
    ]
    other = "9k" if scheme == "7k" else "7k"
    if "train" not in files and folder.find(f"msrvtt_train_{other}.json"):
        notes.append(f"there is msrvtt_train_{other}.json too, which scheme={other!r} reads")
    table = folder.find(_TEST_TABLE)
    if "test" not in files and table:
        readers["test"], files = partial(read_test_table, table), {**files, "test": table}
        notes += separator_notes([table], _TEST_COLUMNS)
    return Plan("retrieval", "custom", readers, list(files.values()), notes)


def read_hub_captions(path: Path) -> Iterator[Item]:
    """The captions of a file of the Hub."""
    number = Numbering()
    for record in json_records(path):
        video = _video_name(record)
        several = isinstance(record.value("caption"), list)
        captions = record.texts("caption") if several else [record.text("caption")]
        if not captions:
            raise record.error("'caption' is empty")
        for caption in captions:
            yield Item(record, video, {"id": number(video), "caption": caption})


def _video_name(record: Record) -> str:
    """The name of a video that is given by name, such as ``"video0"``, or by number."""
    value = record.value("video_id")
    if isinstance(value, str) and re.fullmatch(r"video\d+", value.strip()):
        return value.strip()
    return f"video{record.integer('video_id', low=0)}"


def _official_retrieval(scheme: Scheme, captions: list[Path], folder: AnnotationFolder, notes: list[str]) -> Plan:
    needs_test = scheme != "7k"
    names = {path.name.lower() for path in captions}
    if "train_val_videodatainfo.json" not in names and "test_videodatainfo.json" in names:
        raise folder.missing(["train_val_videodatainfo.json"], "msrvtt retrieval")
    if needs_test and names == {"train_val_videodatainfo.json"}:
        raise folder.missing(["test_videodatainfo.json"], f"scheme {scheme}")
    if not needs_test and len(captions) == 2:
        captions = captions[:1]  # the official test captions are of no use in scheme 7k
    if scheme == "official":
        readers: dict[str, Reader] = {
            split: partial(read_captions, captions, {split}) for split in OFFICIAL_SPLITS.values()
        }
        return Plan("retrieval", "official", readers, captions, notes)
    table = folder.require(_TEST_TABLE, purpose=f"scheme {scheme}")
    notes = [*notes, *separator_notes([table], _TEST_COLUMNS)]
    kept = set(OFFICIAL_SPLITS.values()) if scheme == "9k" else {"train", "validation"}
    readers = {"train": partial(read_captions, captions, kept, table), "test": partial(read_test_table, table)}
    return Plan("retrieval", "official", readers, [*captions, table], notes)


def read_captions(paths: list[Path], splits: set[str], test_table: Path | None = None) -> Iterator[Item]:
    """The captions of the official files.

    Args:
        paths: The files.
        splits: Of which splits.
        test_table: The 1k-A test, whose videos are left out.
    """
    excluded = {item.media for item in read_test_table(test_table)} if test_table else set()
    for path in paths:
        plain = path.name.lower() == "msr_vtt.json"
        official = None if plain else _official_splits(path)
        for number, record in enumerate(json_records(path, "annotations" if plain else "sentences")):
            video = record.name("image_id" if plain else "video_id")
            split = _split_by_number(video, record) if official is None else official.get(video)
            if split is None:
                raise record.error(f"video {video!r} is not among the videos of this file")
            if split in splits and video not in excluded:
                key = "id" if plain else "sen_id"
                name = str(number) if plain and key not in record else record.name(key)
                yield Item(record, video, {"id": f"{video}_{name}", "caption": record.text("caption")})


def _official_splits(path: Path) -> dict[str, str]:
    splits: dict[str, str] = {}
    for record in json_records(path, "videos"):
        video, split = record.name("video_id"), record.text("split")
        if video in splits:
            raise record.error(f"video {video!r} is there twice")
        if split not in OFFICIAL_SPLITS:
            raise record.error(f"'split' must be one of {', '.join(OFFICIAL_SPLITS)}, not {split!r}")
        splits[video] = OFFICIAL_SPLITS[split]
    return splits


def _split_by_number(video: str, record: Record) -> str:
    """MSR_VTT.json does not say the split, but the official ones are ranges of numbers."""
    match = re.fullmatch(r"video(\d{1,4})", video)
    if match is None:
        raise record.error(f"'image_id' must be video0 to video9999, not {video!r}")
    number = int(match[1])
    return "train" if number < 6513 else "validation" if number < 7010 else "test"


def read_test_table(path: Path) -> Iterator[Item]:
    """The 1k-A test."""
    for record in table_records(path, _TEST_COLUMNS):
        video, key = record.text("video_id"), record.text("key")
        yield Item(record, video, {"id": f"{video}_{key}", "caption": record.text("sentence")}, key)


# --- Questions ---


def _plan_qa(config: MsrvttConfig, folder: AnnotationFolder) -> Plan:
    names = {split: (f"{short}_qa.json",) for split, short in (("train", "train"), ("validation", "val"))}
    official = folder.find_all({**names, "test": ("test_qa.json",)})
    released = released_splits(folder, "msrvtt_qa")
    form, notes = choose_form(config.form, official=bool(official), released=bool(released))
    if form == "official" and official:
        readers = {split: partial(read_questions, path) for split, path in official.items()}
        return Plan("qa", form, readers, list(official.values()), notes)
    if not released:
        raise folder.missing(["train_qa.json", "msrvtt_qa/train.jsonl"], "msrvtt qa")
    readers = {split: partial(released_questions, path, "video_id") for split, path in released.items()}
    return Plan("qa", form, readers, list(released.values()), notes)


def read_questions(path: Path) -> Iterator[Item]:
    """The questions of an official file; some copies have the names of videos, not their numbers."""
    number = Numbering()
    for record in json_records(path):
        video = _video_name(record)
        question = record.text("question")
        row = {
            "id": number(video),
            "question": question,
            "answer": record.text("answer"),
            "answer_type": question.split()[0].lower(),
        }
        yield Item(record, video, row, record.name("id"))


# --- Multiple choice ---


def _plan_choices(config: MsrvttConfig, folder: AnnotationFolder) -> Plan:
    tables = folder.find_tables(_CHOICES, "\t")
    released = folder.find("msrvtt_retrieval_mc_test.jsonl", "msrvtt_mc_test.jsonl", "mc_test.jsonl")
    form, notes = choose_form(config.form, official=bool(tables), released=bool(released))
    if form == "jsonl" and released:
        return Plan("multiple_choice", form, {"test": partial(released_choices, released)}, [released], notes)
    if len(tables) != 1:
        found = f"there are {len(tables)}" if tables else "there is none"
        raise DatasetError(
            f"msrvtt multiple_choice needs one tab-separated table (.csv, .tsv, .txt) with the columns "
            f"{', '.join(_CHOICES)}, or msrvtt_retrieval_mc_test.jsonl, in {folder.folder}; {found}"
        )
    return Plan("multiple_choice", form, {"test": partial(read_choices, tables[0])}, tables, notes)


def read_choices(path: Path) -> Iterator[Item]:
    """The rows of the official table."""
    number = Numbering()
    for record in table_records(path, _CHOICES, delimiter="\t"):
        match = re.fullmatch(r"(?:msr|video)(\d+)", record.text("vid_key"))
        if match is None:
            raise record.error(f"'vid_key' must be such as msr7010, not {record.text('vid_key')!r}")
        video = f"video{match[1]}"
        options = [record.text(f"a{n}") for n in range(1, 6)]
        answer = record.integer("answer", low=0, high=4)
        yield Item(record, video, {"id": number(video), "question": "", "options": options, "answer": answer})
