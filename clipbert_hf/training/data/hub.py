"""Any data set that ``datasets.load_dataset`` reads, as rows of our schemas: ``--dataset hub``.

A repository of the Hub or a folder: Parquet, JSON or CSV with embedded videos or with paths, ``videofolder`` and
``imagefolder`` with metadata, tar shards of WebDataset, what ``datasets_scripts.export`` writes; with a format and
files also what fsspec opens. ``columns`` says what our columns are called there; nothing of a repository is executed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import (
    ClassLabel,
    Dataset,
    Features,
    Value,
    get_dataset_config_names,
    load_dataset,
    load_dataset_builder,
)
from datasets.exceptions import DatasetGenerationError

from ..recipe import RecipeError, Settings, setting
from .media_stream import MediaStream
from .row_tables import Embedded, RowTable, below, column_of
from .rows import Rows
from .shards import is_media, shards_of
from .streams import keep_texts

# What rows may have, beside the video or image.
_COLUMNS = (
    *("id", "caption", "question", "options", "answer", "answers", "people_answers", "answer_type"),
    *("start", "end", "times", "hard_negatives", "key_words"),
)
FORMATS = ("parquet", "json", "csv", "webdataset", "videofolder", "imagefolder")
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_HUB = "hf://datasets/"


@dataclass(kw_only=True)
class HubOptions(Settings):
    """``dataset_options`` of ``--dataset hub``."""

    columns: dict[str, str] = setting(
        {},
        "what our columns are called there, such as {caption: text}; a dot reaches into a structure, as json.text of "
        "WebDataset; video_name is the column that tells which rows are of one video",
    )
    splits: dict[str, str] = setting({}, "what our splits are called there, such as {test: validation_2}")
    video_dir: str | None = setting(None, "folder or address of videos that it only names; null: its own")
    revision: str | None = setting(None, "of a repository")
    format: str | None = setting(None, "how to read files at an address, as load_dataset calls it")
    data_files: dict[str, Any] = setting({}, "files of each split below data_dir; a star stands for anything")
    cache_dir: str | None = setting(None, "where prepared rows are kept; null: in the cache of datasets")

    def check(self) -> None:
        """See the base."""
        super().check()
        if self.format is not None and self.format not in FORMATS:
            raise RecipeError(f"dataset_options.format must be one of {', '.join(FORMATS)}; got {self.format!r}")


def load_hub(
    data_dir: str,
    config: str | None,
    options: HubOptions,
    *,
    wish: str,
    column: str | None = None,
    streaming: bool = False,
) -> dict[str, Rows]:
    """Load a data set.

    Args:
        data_dir: A folder, the name of a repository, ``hf://datasets/…``, or the address of a folder of files.
        config: The configuration; None: that of the wish, else the only one.
        options: How to read it.
        wish: The configuration that is taken if there is one of that name.
        column: What rows cannot do without, such as ``caption``.
        streaming: Whether videos stay where they are until they are read, shard by shard.

    Returns:
        The rows of each split, with ``id`` and ``video`` and what our schemas have.

    Raises:
        RecipeError: If there is no such data set or configuration, or its columns are not those of a task; the message
            tells which there are.
    """
    place = find_place(data_dir, options)
    with _named_errors(place):
        given = _arguments(place, config, wish, options)
        builder = load_dataset_builder(place.path, **given)
        loaded = builder.as_streaming_dataset() if streaming else load_dataset(place.path, **given)
        here = _split_names(list(loaded), place, options)
        rows: dict[str, Rows] = {}
        for new, old in here.items():
            if streaming:
                rows[new] = streamed_rows(loaded[old], builder, old, new, place, column, options)
            else:
                rows[new] = rows_of(loaded[old], place, new, column, options)
    return {split: some for split, some in rows.items() if len(some)}


@dataclass(frozen=True)
class Place:
    """Where a data set is.

    Args:
        shown: What the user calls it.
        path: For ``load_dataset``: a folder, a repository, or a format.
        root: The folder or address that paths in it are below.
        data_files: For ``load_dataset``.
    """

    shown: str
    path: str
    root: str
    data_files: dict[str, list[str]] | None = None


def find_place(data_dir: str, options: HubOptions) -> Place:
    """Find out what ``data_dir`` is: a folder, a repository or an address.

    Raises:
        RecipeError: If it is none of these.
    """
    folder = Path(data_dir).expanduser()
    local = str(folder.resolve()) if folder.is_dir() else None
    files = {
        split: [below(local or data_dir, each) for each in ([given] if isinstance(given, str) else given)]
        for split, given in options.data_files.items()
    }
    if files and options.format is not None:
        return Place(data_dir, options.format, local or data_dir, files)
    if local is not None:
        return Place(data_dir, options.format or local, local, files or None)
    name = data_dir.removeprefix(_HUB).rstrip("/")
    if _REPOSITORY.fullmatch(name):
        revision = "" if options.revision is None else f"@{options.revision}"
        return Place(data_dir, name, f"{_HUB}{name}{revision}", dict(options.data_files) or None)
    if "://" in data_dir:
        raise RecipeError(
            f"data_dir={data_dir} is an address: say how to read it with --dataset_options.format FORMAT and "
            f"--dataset_options.data_files '{{train: \"train-*.parquet\"}}'; formats are {', '.join(FORMATS)}"
        )
    raise RecipeError(f"data_dir={data_dir} is neither a folder nor the name of a repository, such as my-team/msrvtt")


@contextmanager
def _named_errors(place: Place) -> Iterator[None]:
    try:
        yield
    except RecipeError:
        raise
    except DatasetGenerationError as error:
        raise RecipeError(f"data_dir={place.shown} cannot be read: {error.__cause__ or error}") from error
    except (OSError, ValueError) as error:  # pyarrow's are among the latter
        raise RecipeError(f"data_dir={place.shown} cannot be loaded: {error}") from error


def _arguments(place: Place, config: str | None, wish: str, options: HubOptions) -> dict[str, Any]:
    """Of ``load_dataset``, beside the path."""
    given: dict[str, Any] = {"data_files": place.data_files, "cache_dir": options.cache_dir}
    if place.path not in FORMATS:
        return {**given, "name": choose_config(place, config, wish, options), "revision": options.revision}
    return given if place.data_files is not None else {**given, "data_dir": place.root}


def _split_names(there: list[str], place: Place, options: HubOptions) -> dict[str, str]:
    """What each split is called there."""
    if missing := sorted(set(options.splits.values()).difference(there)):
        raise RecipeError(
            f"dataset_options.splits: {place.shown} has no split {missing[0]!r}; there is {', '.join(there)}"
        )
    return {**{name: name for name in there if name not in options.splits.values()}, **options.splits}


def choose_config(place: Place, config: str | None, wish: str, options: HubOptions) -> str | None:
    """The configuration to load.

    Raises:
        RecipeError: If there is none of that name, or several, none of which is wished for.
    """
    if place.data_files is not None:
        return None
    names = get_dataset_config_names(place.path, revision=options.revision)
    wanted = config or (wish if wish in names else names[0] if len(names) == 1 else None)
    if wanted not in names:
        asked = "dataset_config must be given" if config is None else f"there is no dataset_config={config}"
        raise RecipeError(f"{asked}: {place.shown} has {', '.join(names)}")
    return wanted


# --- Columns ---


def rows_of(dataset: Dataset, place: Place, split: str, needed: str | None, options: HubOptions) -> Rows:
    """The rows of a split, under our names.

    Raises:
        RecipeError: If a column that is asked for is not there or is of another kind, or a video is missing.
    """
    found = ColumnFinder(dataset.features, place.shown, options.columns)
    columns, data = found.texts(needed), dataset.data
    embedded, video = found.media()
    labels = {name: old for name, old in columns.items() if isinstance(found.kinds[old], ClassLabel)}
    replaced = {name: _label_names(column_of(data, old), found.kinds[old]) for name, old in labels.items()}
    if "id" not in columns:
        replaced["id"] = _numbered(split, len(dataset))
    if embedded is not None:
        content = column_of(data, f"{embedded.column}.bytes")
        if content.null_count == len(content):  # it only has paths
            video, embedded = f"{embedded.column}.path", None
        elif embedded.names is None and column_of(data, f"{embedded.column}.path").null_count:
            replaced["video"] = _content_names(content)
    if video is not None:
        columns["video"] = video
    root = None if embedded else options.video_dir or place.root
    rows = Rows([RowTable(data, columns=columns, replaced=replaced, embedded=embedded, root=root)])
    if embedded is None:
        _check_paths(rows, place, options)
    else:
        _check_embedded(rows, column_of(data, f"{embedded.column}.bytes"), place, embedded)
    return rows


def streamed_rows(
    stream: Any, builder: Any, split: str, called: str, place: Place, needed: str | None, options: HubOptions
) -> Rows:
    """The rows of a split whose videos are read from its shards when they are needed.

    Args:
        stream: The split.
        builder: That it is of.
        split: Its name there.
        called: Its name here.
        place: Where it is.
        needed: A column that rows cannot do without.
        options: How to read it.

    Raises:
        RecipeError: As :func:`rows_of` does.
    """
    files = builder.config.data_files[split]
    shards = shards_of(stream, builder.name, files)
    found = ColumnFinder(shards.features, place.shown, options.columns)
    columns = found.texts(needed)
    embedded, video = found.media()
    if embedded is not None and builder.name in ("videofolder", "imagefolder"):
        video, embedded = f"{embedded.column}.path", None
    columns["video"] = video or embedded.names or f"{embedded.column}.path"  # type: ignore[union-attr]
    reads = {name: partial(_read_column, column=old, kind=found.kinds.get(old)) for name, old in columns.items()}
    key = f"{builder.name} {sorted(columns.items())} {list(map(str, files))} {files.origin_metadata}"
    texts, lengths = keep_texts(shards, None if embedded is None else embedded.column, reads, key=key)
    replaced = {} if "id" in columns else {"id": _numbered(called, len(texts))}
    if embedded is None:
        rows = Rows([RowTable(texts.data, replaced=replaced, root=options.video_dir or place.root)])
        _check_paths(rows, place, options)
        return rows
    media = MediaStream(shards, embedded.column, lengths)
    table = RowTable(texts.data, replaced=replaced, embedded=Embedded(embedded.column, "video", media))
    if None in table.codes("video")[1]:
        raise RecipeError(
            f"{place.shown} has videos without names: a stream needs a column that tells which rows are of one video, "
            "--dataset_options.columns.video_name NAME"
        )
    return Rows([table])


def _read_column(table: pa.Table, *, column: str, kind: Any) -> pa.ChunkedArray:
    found = column_of(table, column)
    return _label_names(found, kind) if isinstance(kind, ClassLabel) else found


def _numbered(split: str, count: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([f"{split}_{number}" for number in range(count)], pa.string())])


class ColumnFinder:
    """Finds our columns among those of a data set.

    Args:
        features: Of the data set.
        shown: What it is called in messages.
        names: What the user says, ours to theirs.
    """

    def __init__(self, features: Features, shown: str, names: Mapping[str, str]) -> None:
        self.shown, self.names = shown, names
        self.kinds = dict(_leaves(features))
        allowed = ("video", "image", "video_name", *_COLUMNS)
        for ours, theirs in names.items():
            if ours not in allowed:
                raise RecipeError(f"dataset_options.columns: unknown column {ours!r}; ours are {', '.join(allowed)}")
            if theirs not in self.kinds:
                raise RecipeError(f"dataset_options.columns.{ours}: {self._has(theirs)}")

    def media(self) -> tuple[Embedded | None, str | None]:
        """Where the videos are embedded, or the column of their paths."""
        given = self.names.get("video") or self.names.get("image")
        candidates = [name for name, kind in self.kinds.items() if is_media(kind) and "." not in name]
        column = given or next((name for name in ("video", "image") if name in candidates), None)
        if column is None and len(candidates) > 1:
            raise RecipeError(
                f"dataset_options.columns.video must say which column has the videos: {self.shown} has "
                f"{', '.join(candidates)}"
            )
        column = column or (candidates[0] if candidates else self._ours("video") or self._ours("image"))
        if column is None:
            raise RecipeError(f"dataset_options.columns.video must say which column has the videos: {self._has()}")
        kind = self.kinds[column]
        if is_media(kind):
            named = self.names.get("video_name") or next(
                (name for name in ("json.video", "json.image") if name in self.kinds), None
            )
            return Embedded(column, named), None
        if not _is_text(kind):
            raise RecipeError(
                f"the column {column!r} of {self.shown} must have videos, images, or their paths as text; it is {kind}"
            )
        return None, column

    def texts(self, needed: str | None) -> dict[str, str]:
        """Our columns and where they are, the needed one among them."""
        found = {name: there for name in _COLUMNS if (there := self._ours(name)) is not None}
        if needed is not None and needed not in found:
            raise RecipeError(
                f"rows need {needed!r}: {self._has()}; --dataset_options.columns.{needed} NAME says which it is"
            )
        for name in ("caption", "question"):
            if name in found and not _is_text(self.kinds[found[name]]):
                raise RecipeError(
                    f"the column {found[name]!r} of {self.shown} must be texts; it is {self.kinds[found[name]]}"
                )
        return found

    def _ours(self, name: str) -> str | None:
        return self.names.get(name) or next((each for each in (name, f"json.{name}") if each in self.kinds), None)

    def _has(self, missing: str | None = None) -> str:
        lacks = "" if missing is None else f"there is no column {missing!r}; "
        return f"{lacks}{self.shown} has {', '.join(self.kinds)}"


def _leaves(features: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """All columns, and those inside of structures by their path."""
    for name, kind in features.items():
        yield f"{before}{name}", kind
        if isinstance(kind, Mapping) and not is_media(kind):
            yield from _leaves(kind, f"{before}{name}.")


def _is_text(kind: Any) -> bool:
    return isinstance(kind, Value) and kind.dtype in ("string", "large_string")


def _label_names(labels: pa.ChunkedArray, kind: ClassLabel) -> pa.ChunkedArray:
    names = pa.array(kind.names, pa.string())
    return pa.chunked_array([names.take(piece) for piece in labels.chunks], type=pa.string())


def _content_names(content: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names for videos that have none: a hash of their bytes."""
    named = (None if value is None else hashlib.sha256(value.as_buffer()).hexdigest()[:32] for value in _each(content))
    return pa.chunked_array([pa.array(named, pa.string())])


def _each(values: pa.ChunkedArray) -> Iterator[Any]:
    return (value if value.is_valid else None for piece in values.chunks for value in piece)


def _check_paths(rows: Rows, place: Place, options: HubOptions) -> None:
    for video in rows.unique("video"):
        if not isinstance(video, str):
            raise RecipeError(f"a row of {place.shown} has no video")
        if "://" not in video and not os.path.exists(video):
            where = "" if options.video_dir else "; --dataset_options.video_dir DIR says where the videos are"
            raise RecipeError(f"{place.shown} names the video {video}, which does not exist{where}")


def _check_embedded(rows: Rows, content: pa.ChunkedArray, place: Place, embedded: Embedded) -> None:
    """Check that all rows have a video, and that those of one name are of one size: others would be mixed up."""
    codes, names = rows.codes("video")
    sizes = pc.binary_length(content).combine_chunks()
    lacking = np.flatnonzero(sizes.is_null().to_numpy(zero_copy_only=False))
    if len(lacking):
        named = rows.value(int(lacking[0]), "id")
        raise RecipeError(f"row {named} of {place.shown} has no video in the column {embedded.column!r}")
    first = np.full(len(names), -1, dtype=np.int64)
    numbers = sizes.to_numpy()
    first[codes[::-1]] = numbers[::-1]
    other = np.flatnonzero(first[codes] != numbers)
    if len(other):
        name = names[codes[other[0]]]
        raise RecipeError(
            f"{place.shown} has several videos called {name!r}: dataset_options.columns.video_name must be a column "
            "that tells them apart"
        )
