"""Your own data: tables, JSON, jsonl or Parquet files plus a folder of videos or images, for each task.

Configurations are the schemas of :mod:`datasets_scripts.schemas`: ``retrieval``, ``qa``, ``count``,
``multiple_choice``, ``image_captions``, ``image_qa``. Files are ``train.csv``, ``validation.csv`` (or ``val``, ``dev``)
and ``test.csv`` in the annotation folder, likewise ``.tsv``, ``.json`` (a list of objects, or an object that
holds one list), ``.jsonl`` and ``.parquet`` (also in shards such as ``train-00000-of-00002.parquet``), or those that
``files`` names. ``columns`` says what a column is called in them::

    load("custom", "qa", annotation_dir="my/annotations", video_dir="my/videos",
         columns={"video": "clip", "question": "text", "answer": "label"})

A ``.csv`` may be separated by semicolons, which its header shows and the report says. A row with an empty cell where a
value is needed is an error that names it; ``on_empty="drop"`` leaves such rows out and counts them.

- ``video`` or ``image`` is a name or stem, with or without folders, or an absolute path inside of the folder of the
  videos or images. A folder of images may be a video: they are its frames.
- ``id`` may be missing: rows are then ``<video>_<n>``. ``answer_type`` may be missing: it is then ``""``.
- ``options`` is a list, or in a table several columns, ``columns={"options": ["a", "b", "c"]}``, or a JSON list.
- ``people_answers`` of ``image_qa``, what each person said, is a list or several columns as ``options`` are. It may be
  missing: there is no official score of VQA v2 then.
- ``answers`` of ``image_qa`` is a list of ``{"answer", "score"}`` or an object ``{answer: score}``, in a table as
  JSON. It may be missing: the scores are then those of ``people_answers``, min(count / 3, 1) after the official
  normalisation of VQA v2; or else ``answer`` is there, with score 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from datasets_scripts.annotations.builder import AnnotationBuilder, AnnotationConfig
from datasets_scripts.annotations.files import (
    json_list_records,
    jsonl_records,
    parquet_records,
    separator_notes,
    table_records,
)
from datasets_scripts.annotations.folder import AnnotationFolder
from datasets_scripts.annotations.json_files import decode_json
from datasets_scripts.annotations.media import media_stem
from datasets_scripts.annotations.plan import Item, Numbering, Plan
from datasets_scripts.annotations.records import EmptyValueError, Record, is_number, shown
from datasets_scripts.errors import DatasetError
from datasets_scripts.schemas import SchemaName, features, media_column, sort_answers
from datasets_scripts.vqa_v2 import sorted_scores

OnEmpty = Literal["error", "drop"]
Columns = Mapping[str, str | Sequence[str]]
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "dev": "validation", "test": "test"}
_FILE = re.compile(r"(train|validation|val|dev|test)(-\d+-of-\d+)?\.(csv|tsv|json|jsonl|parquet)", re.IGNORECASE)


@dataclass
class CustomConfig(AnnotationConfig):
    """Options of custom data.

    Args:
        columns: For a column of the schema the name that it has in the files.
        files: For each split its file or files, relative to the annotation folder, instead of the usual names.
        on_empty: What to do about a row that lacks a value, such as one whose answer is an empty cell: refuse, or leave
            it out and count it.
    """

    columns: Columns = field(default_factory=dict)
    files: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    on_empty: OnEmpty = "error"


class Custom(AnnotationBuilder):
    """See the module; arguments as in :class:`AnnotationBuilder`."""

    NAME = "custom"
    CONFIGS = ("retrieval", "qa", "count", "multiple_choice", "image_captions", "image_qa")
    BUILDER_CONFIG_CLASS = CustomConfig
    BUILDER_CONFIGS = [CustomConfig(name=name) for name in CONFIGS]  # noqa: RUF012 (datasets' own form)

    @classmethod
    def make_plan(cls, config: CustomConfig, folder: AnnotationFolder) -> Plan:
        """See the base."""
        schema: SchemaName = config.name
        known = {*features(schema), *({"answer"} if schema == "image_qa" else ())}
        unknown = sorted(set(config.columns) - known)
        if unknown:
            raise DatasetError(
                f"columns has {unknown[0]!r}, but the columns of {schema} are {', '.join(sorted(known))}"
            )
        if config.on_empty not in get_args(OnEmpty):
            raise DatasetError(f"on_empty must be one of {', '.join(get_args(OnEmpty))}, not {config.on_empty!r}")
        files = _given_files(config, folder) if config.files else _usual_files(folder)
        readers = {
            split: partial(read_files, paths, schema, dict(config.columns), config.on_empty)
            for split, paths in files.items()
        }
        every = [path for paths in files.values() for path in paths]
        return Plan(schema, "custom", readers, every, separator_notes(every))


def _given_files(config: CustomConfig, folder: AnnotationFolder) -> dict[str, list[Path]]:
    return {
        split: [folder.folder / path for path in ([given] if isinstance(given, str) else given)]
        for split, given in config.files.items()
    }


def _usual_files(folder: AnnotationFolder) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in folder.files:
        match = _FILE.fullmatch(path.name) if path.parent == folder.folder else None
        if match:
            found.setdefault(_SPLITS[match[1].lower()], []).append(path)
    for split, paths in found.items():
        shards = all("-of-" in path.name for path in paths) and len({path.name.split("-")[0] for path in paths}) == 1
        if len(paths) > 1 and not shards:
            raise DatasetError(
                f"{paths[0]} and {paths[1]} both are split {split}; choose with files={{{split!r}: ...}}"
            )
    if not found:
        raise folder.missing(["train.csv", "train.jsonl", "train.parquet"], "custom")
    return {split: found[split] for split in ("train", "validation", "test") if split in found}


def _open(path: Path) -> Iterator[Record]:
    readers: dict[str, Callable[[Path], Iterator[Record]]] = {
        ".csv": table_records,
        ".tsv": partial(table_records, delimiter="\t"),
        ".json": json_list_records,
        ".jsonl": jsonl_records,
        ".parquet": parquet_records,
    }
    if path.suffix.lower() not in readers:
        raise DatasetError(f"{path} must be one of {', '.join(readers)}")
    return readers[path.suffix.lower()](path)


def read_files(paths: list[Path], schema: SchemaName, columns: Columns, on_empty: OnEmpty = "error") -> Iterator[Item]:
    """The rows of the files of a split."""
    number = Numbering()
    for path in paths:
        for record in _open(path):
            try:
                yield _item(record, schema, columns, number)
            except EmptyValueError as error:
                if on_empty == "error":
                    message = f"{error}; on_empty='drop' leaves such rows out, and counts them"
                    raise EmptyValueError(message) from error
                yield Item(record, "", None)


def _item(record: Record, schema: SchemaName, columns: Columns, number: Numbering) -> Item:
    media = media_column(schema)
    name = record.name(_one_name(columns, media))
    row: dict[str, Any] = {}
    for column in features(schema):
        source = columns.get(column, column)
        absent = isinstance(source, str) and source not in record
        if column == "id" and absent:
            row["id"] = number(media_stem(re.split(r"[\\/]", name)[-1] if name[0] in "\\/" else name))
        elif column == "answer_type" and absent:
            row[column] = ""
        elif column == "people_answers" and absent:
            row[column] = []
        elif column == "answer" and schema == "multiple_choice":
            row[column] = record.integer(_one_name(columns, column), low=0, high=len(row["options"]) - 1)
        elif column == "answer" and schema == "count":
            row[column] = record.integer(_one_name(columns, column))
        elif column != media:
            row[column] = _value(record, column, columns)
    return Item(record, name, row)


def _one_name(columns: Columns, column: str) -> str:
    source = columns.get(column, column)
    if not isinstance(source, str):
        raise DatasetError(f"columns[{column!r}] must be one name, not {source!r}")
    return source


def _value(record: Record, column: str, columns: Columns) -> Any:
    if column == "options":
        return _options(record, columns.get(column, column))
    if column == "people_answers":
        return _texts(record, columns.get(column, column), blank=True)
    if column == "answers":
        return _answers(record, columns)
    source = _one_name(columns, column)
    if column in ("id", "answer"):
        return record.name(source)
    return record.text(source, blank=column in ("answer_type", "question"))


def _decoded(record: Record, source: str) -> Any:
    """A value that tables have as JSON."""
    value = record.value(source)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise record.empty(f"{source!r} is empty")
    if isinstance(value, str):
        try:
            return decode_json(value, record.path)
        except DatasetError:
            raise record.error(f"{source!r} must be JSON, not {shown(value)}") from None
    return value


def _texts(record: Record, source: str | Sequence[str], *, blank: bool = False) -> list[str]:
    """A list, or the texts of several columns."""
    if not isinstance(source, str):
        return [record.text(name, blank=blank) for name in source]
    return Record({source: _decoded(record, source)}, record.path, record.where).texts(source, blank=blank)


def _options(record: Record, source: str | Sequence[str]) -> list[str]:
    options = _texts(record, source)
    if not options:
        raise record.empty("'options' is empty")
    return options


def _answers(record: Record, columns: Columns) -> list[dict[str, Any]]:
    source = _one_name(columns, "answers")
    if source not in record:
        people, single = columns.get("people_answers", "people_answers"), _one_name(columns, "answer")
        if not isinstance(people, str) or people in record:
            said = _texts(record, people, blank=True)
            if said or single not in record:
                return sorted_scores(said)
        return sort_answers({record.text(single): 1.0})
    value = _decoded(record, source)
    if isinstance(value, list):
        whole = Record({source: value}, record.path, record.where)
        value = {pair.text("answer"): pair.value("score") for pair in whole.records(source)}
    if not isinstance(value, dict):
        raise record.error(f"{source!r} must be a list or an object, not {shown(value)}")
    for answer, score in value.items():
        if not is_number(score) or not 0 < score <= 1:
            raise record.error(f"the score of {answer!r} must be above 0 and up to 1, not {shown(score)}")
    return sort_answers({record.clean(answer, source): score for answer, score in value.items()})
