"""Readers of annotation files: JSON, JSON lines, tables and Parquet, one typed record at a time.

Whatever is wrong with a file is a :class:`DatasetError` that names the file and the line or key. Long lists and tables
are never in memory as a whole.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from datasets_scripts.annotations.json_files import decode_json, list_elements
from datasets_scripts.annotations.records import Record, as_record, shown
from datasets_scripts.annotations.text_files import read_lines, read_text
from datasets_scripts.errors import DatasetError

_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon"}
_WHOLE_QUOTE = re.compile(r'"(?:[^"]|"")*"')
_OPEN_QUOTE = re.compile(r'"(?:[^"]|"")*')


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


def json_list_records(path: Path) -> Iterator[Record]:
    """The objects of the one list of a JSON file: the whole file, or the only list in the object at its top.

    Such an object is in memory as a whole.

    Raises:
        DatasetError: The file is not of that form, or the list is empty.
    """
    start = next((line.lstrip()[:1] for _, line in read_lines(path) if line.strip()), "")
    if start != "{":
        yield from json_records(path)
        return
    content = decode_json(read_text(path), path, unique=True)
    lists = [key for key, value in content.items() if isinstance(value, list)]
    if len(lists) != 1:
        found = f"there are {', '.join(map(repr, lists))}" if lists else "there is none"
        raise DatasetError(f"{path}, line 1: a list of objects expected, or an object with one such list; {found}")
    if not content[lists[0]]:
        raise DatasetError(f"{path}: the list under {lists[0]!r} is empty")
    for number, value in enumerate(content[lists[0]]):
        yield as_record(value, path, f"{lists[0]}[{number}]")


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

    Rows that are empty, and columns at the end that have no name and hold nothing, are passed over: spreadsheet
    programs write them.

    Args:
        path: The file.
        columns: What the header must hold at least.
        delimiter: ``","``, which may also turn out to be semicolons (see :func:`separator`), or ``"\t"``.

    Raises:
        DatasetError: The header lacks a column or repeats one, a row has more or fewer fields, or there is no row.
    """
    if delimiter == ",":
        delimiter = separator(path, columns)
    rows = (_tab_separated if delimiter == "\t" else _quoted)(path, delimiter)
    header = _without_empty_end([column.strip() for column in next(rows)[1]])
    _check_header(path, header, columns, delimiter)
    empty = True
    for line, fields in rows:
        if not any(map(str.strip, fields)):
            continue
        empty = False
        if len(fields) > len(header):
            fields = [*fields[: len(header)], *_without_empty_end(fields[len(header) :])]
        if len(fields) != len(header):
            raise DatasetError(f"{path}, line {line}: {len(fields)} fields, but the header has {len(header)}")
        yield Record(dict(zip(header, fields, strict=True)), path, f"line {line}")
    if empty:
        raise DatasetError(f"{path}, line 2: there is no row under the header")


def separator(path: Path, columns: Sequence[str] = ()) -> Literal[",", ";"]:
    """What separates the columns of a table, by its header: commas, or semicolons as where a comma is in numbers.

    It is the one with which the header has all of ``columns``, or else the one that gives more of them; of equals the
    comma.
    """
    commas, semicolons = (_header(path, mark) for mark in (",", ";"))
    has = [{column.strip() for column in header} >= set(columns) for header in (commas, semicolons)]
    if columns and has[0] != has[1]:
        return "," if has[0] else ";"
    return ";" if len(semicolons) > len(commas) else ","


def _header(path: Path, delimiter: str) -> list[str]:
    try:
        return next(_quoted(path, delimiter))[1]
    except DatasetError:  # which reading it again will raise
        return []


def separator_notes(paths: Iterable[Path], columns: Sequence[str] = ()) -> list[str]:
    """For the report: which of these tables, if they are of the kind that has commas, are read by semicolons."""
    found = [path.name for path in paths if path.suffix.lower() == ".csv" and separator(path, columns) == ";"]
    return [f"read as separated by semicolons: {', '.join(found)}"] if found else []


def _without_empty_end(fields: list[str]) -> list[str]:
    kept = len(fields)
    while kept and not fields[kept - 1].strip():
        kept -= 1
    return fields[:kept]


def _quoted(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file with the quoting of CSV, each with its first line; the header, which may be empty, first."""
    reader = csv.reader((line for _, line in read_lines(path)), delimiter=delimiter, strict=True)
    line = 1
    try:
        for fields in reader:
            yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(f"{path}, line {line}: {error}") from error


def _tab_separated(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a tab-separated file, each with its first line.

    Such files are published without quoting, so a quotation mark may stand anywhere. A field that is in quotation marks
    as a whole, those within doubled, is one that a spreadsheet program quoted; it may hold tabs, or else line ends.
    """
    lines = read_lines(path)
    for number, line in lines:
        pieces = line.rstrip("\r\n").split(delimiter)
        fields = []
        while pieces:
            field = pieces.pop(0)
            while _OPEN_QUOTE.fullmatch(field):
                if pieces:
                    field += delimiter + pieces.pop(0)
                    continue
                following = next(lines, None)
                pieces = following[1].rstrip("\r\n").split(delimiter) if following else []
                field += "\n" + (pieces.pop(0) if pieces else "")
                # Over several lines and with tabs it is rather a mark that stands alone, and rows would become one.
                if following is None or delimiter in field or (pieces and _OPEN_QUOTE.fullmatch(field)):
                    raise DatasetError(f"{path}, line {number}: a quotation mark is not closed")
            fields.append(field[1:-1].replace('""', '"') if _WHOLE_QUOTE.fullmatch(field) else field)
        yield number, fields


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
