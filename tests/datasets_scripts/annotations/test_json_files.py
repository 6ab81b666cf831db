"""Lists out of JSON files are what the json module reads, whatever the file holds and however long it is."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_values import JSON_VALUES
from miniature_files import write_json

from datasets_scripts.annotations import json_files
from datasets_scripts.annotations.json_files import list_elements
from datasets_scripts.errors import DatasetError


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("json") / "file.json"


@given(st.lists(JSON_VALUES, max_size=5), st.integers(1, 9), st.sampled_from([None, 2]))
def test_a_list_read_in_pieces_of_any_size(path: Path, values: list[Any], size: int, indent: int | None) -> None:
    path.write_text(json.dumps(values, indent=indent))
    with patch.object(json_files, "_BUFFER", size):
        # Their texts tell integers from floats, and 0.0 from -0.0.
        assert repr(list(list_elements(path))) == repr(json.loads(path.read_text()))


@given(st.lists(st.text(), max_size=5))
def test_texts_that_are_not_escaped(path: Path, values: list[str]) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    assert list(list_elements(path)) == values


@given(
    st.dictionaries(st.text(max_size=3), JSON_VALUES, max_size=4), st.lists(JSON_VALUES, max_size=4), st.integers(1, 9)
)
def test_a_list_under_a_key_in_pieces(path: Path, others: dict[str, Any], values: list[Any], size: int) -> None:
    others.pop("key", None)
    path.write_text(json.dumps({"first": 1.25, "key": values, **others}, indent=1))
    with patch.object(json_files, "_BUFFER", size):
        assert repr(list(list_elements(path, "key"))) == repr(json.loads(path.read_text())["key"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": {"key": [1]}, "key": [2]}', [2]),
        ('{"key": [{"key": [1]}, "\\"key\\": ["], "b": {"key.item": 3}}', [{"key": [1]}, '"key": [']),
        ('{"k\\u0065y": [4]}', [4]),
        ('{"key": [18446744073709551616, 1e400]}', [2**64, float("inf")]),
        ('{"key": ["\\ud800", "\\\\ud800", "\\ud83d\\ude00"]}', ["\ud800", "\\ud800", "\U0001f600"]),
        ('{"key": [{"a": 1, "a": 2}], "a": 3, "a": 4}', [{"a": 2}]),
        ('{"key": ["a}", "}" ]}', ["a}", "}"]),
    ],
)
def test_keys_and_values_that_could_mislead(path: Path, text: str, expected: list[Any]) -> None:
    path.write_text(text)
    assert list(list_elements(path, "key")) == expected


def test_what_was_read_before_an_error_is_given_once(path: Path) -> None:
    path.write_text(json.dumps([*range(100_000), 2**70, 7]))
    assert list(list_elements(path)) == [*range(100_000), 2**70, 7]
    path.write_text(json.dumps([*range(100_000), float("nan"), 7]))
    elements = list_elements(path)
    assert [next(elements) for _ in range(100_000)] == list(range(100_000))
    with pytest.raises(DatasetError, match="line 1: not JSON: NaN is not a JSON number"):
        next(elements)


@pytest.mark.parametrize("key", [None, "key"])
def test_a_long_list_is_never_in_memory_as_a_whole(tmp_path: Path, key: str | None) -> None:
    values = [{"text": "x" * 1000, "n": n} for n in range(5000)]
    path = write_json(tmp_path / "long.json", {"a": {"b": []}, "key": values} if key else values)
    del values
    tracemalloc.start()
    try:
        assert [value["n"] for value in list_elements(path, key)] == list(range(5000))
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert largest < 0.5 * path.stat().st_size


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for read in (list_elements, json_files.read_text):
        with pytest.raises(DatasetError, match=r"nothing\.json cannot be read: No such file"):
            list(read(tmp_path / "nothing.json"))
