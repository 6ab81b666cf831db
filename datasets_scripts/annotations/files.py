"""Readers of annotation files: JSON, JSON lines, tables and Parquet, one typed record at a time.

Whatever is wrong with a file is a :class:`DatasetError` that names the file and the line or key. Long lists and tables
are never in memory as a whole.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets_scripts.annotations.json_files import decode_json, list_elements
from datasets_scripts.annotations.records import Record, as_record, shown
from datasets_scripts.annotations.text_files import read_lines, read_text
from datasets_scripts.errors import DatasetError

_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon"}


def json_records(path: Path, key: str | None = None) -> Iterator[Record]:
    """The objects of a JSON list, which is the whole file or what stands under a key at its top.

    Raises:
        DatasetError: The file is not of that form, or the list is empty.
    """
    count = 0
    for value in list_elements(path, key):
        yield as_record(value, path, f"{key or ''}[{count}]")
        count += 1
    if not count:
        raise DatasetError(f"{path}: {f'the list under {key!r}' if key else 'the list'} is empty")


def json_members(path: Path) -> Iterator[tuple[str, Record]]:
    """The members of a JSON object of objects; a name that stands there twice is an error.

    Raises:
        DatasetError: The file is not of that form, or the object is empty.
    """
    content = decode_json(read_text(path), path, unique=True)
    if not isinstance(content, dict):
        raise DatasetError(f"{path}, line 1: must hold an object, not {shown(content)}")
    if not content:
        raise DatasetError(f"{path}, line 1: the object is empty")
    for name, value in content.items():
        yield name, as_record(value, path, f"key {name!r}")


def jsonl_records(path: Path) -> Iterator[Record]:
    """The objects of a JSON lines file; blank lines are passed over.

    Raises:
        DatasetError: A line is not an object, or there is none.
    """
    empty = True
    for number, line in read_lines(path):
        if line.strip():
            empty = False
            yield as_record(decode_json(line.rstrip("\r\n"), path, line=number), path, f"line {number}")
    if empty:
        raise DatasetError(f"{path}, line 1: there is no annotation")


def table_records(path: Path, columns: Sequence[str] = (), *, delimiter: str = ",") -> Iterator[Record]:
    r"""The rows of a table with a header, LF or CRLF.

    Args:
        path: The file.
        columns: What the header must hold at least.
        delimiter: ``","`` or ``"\t"``.

    Raises:
        DatasetError: The header lacks a column or repeats one, a row has more or fewer fields, or there is no row.
    """
    # Tab-separated files are published without quoting, so that a quotation mark may stand anywhere.
    tabs = delimiter == "\t"
    reader = csv.reader((line for _, line in read_lines(path)), delimiter=delimiter, strict=not tabs)
    line = 1
    try:
        header = [column.strip() for column in next(reader)]
        _check_header(path, header, columns, delimiter)
        empty = True
        line = reader.line_num + 1
        for fields in reader:
            if fields:
                empty = False
                if len(fields) != len(header):
                    raise DatasetError(f"{path}, line {line}: {len(fields)} fields, but the header has {len(header)}")
                if tabs and any("\n" in field for field in fields):
                    raise DatasetError(f"{path}, line {line}: a quotation mark is not closed")
                yield Record(dict(zip(header, fields, strict=True)), path, f"line {line}")
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(f"{path}, line {line}: {error}") from error
    if empty:
        raise DatasetError(f"{path}, line 2: there is no row under the header")


def _check_header(path: Path, header: list[str], columns: Sequence[str], delimiter: str) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        others = [name for mark, name in _DELIMITERS.items() if mark != delimiter and any(mark in c for c in header)]
        hint = f"; is the file {others[0]}-separated?" if others else ""
        raise DatasetError(
            f"{path}, line 1: no column {', '.join(map(repr, missing))} among the {_DELIMITERS.get(delimiter, 'given')}"
            f"-separated {', '.join(map(repr, header[:12]))}{hint}"
        )
    twice = {column for column in header if header.count(column) > 1}
    if twice:
        raise DatasetError(f"{path}, line 1: column {min(twice)!r} stands there twice")


def parquet_records(path: Path) -> Iterator[Record]:
    """The rows of a Parquet file.

    Raises:
        DatasetError: It is not one, or has no row.
    """
    import pyarrow as pa
    from pyarrow import parquet

    row = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    yield Record(values, path, f"row {row}")
                    row += 1
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path}, row {row}: {error}") from error
    if not row:
        raise DatasetError(f"{path}, row 0: there is no row")


def read_names(path: Path) -> list[str]:
    """The names in a text file, one a line.

    Raises:
        DatasetError: There is none, or one stands there twice.
    """
    names: dict[str, int] = {}
    for number, line in read_lines(path):
        name = line.strip()
        if name in names:
            raise DatasetError(f"{path}, line {number}: {name!r} stands on line {names[name]} too")
        if name:
            names[name] = number
    if not names:
        raise DatasetError(f"{path}, line 1: there is no name")
    return list(names)
