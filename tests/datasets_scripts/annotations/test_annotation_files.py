"""The readers: whatever is wrong with a file is an error that names file and line or key."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_values import JSON_VALUES
from miniature_files import write_media

import datasets_scripts
from datasets_scripts.annotations.files import json_records, jsonl_records, read_names, separator_notes, table_records
from datasets_scripts.annotations.records import Record
from datasets_scripts.errors import DatasetError

TSV = ("gif_name", "question")


def read_tsv(path: Path) -> Iterator[Record]:
    return table_records(path, TSV, delimiter="\t")


def read_key(path: Path) -> Iterator[Record]:
    return json_records(path, "sentences")


READERS: dict[str, tuple[Callable[[Path], Iterator[Record]], bytes]] = {
    "table": (read_tsv, "gif_name\tquestion\r\na\twhat ?\r\nb\twh\u00e4t ?\r\n".encode()),
    "jsonl": (
        jsonl_records,
        '{"gif_name": "a", "question": "what ?"}\n{"gif_name": "b", "question": "wh\u00e4t ?"}\n'.encode(),
    ),
    "json": (
        json_records,
        '[{"gif_name": "a", "question": "what ?"},\n {"gif_name": "b", "question": "wh\u00e4t ?"}]'.encode(),
    ),
    "json key": (
        read_key,
        '{"info": {"n": [1, 2]},\n"sentences": [{"gif_name": "a", "question": "what ?"},\n'
        '{"gif_name": "b", "question": "wh\u00e4t ?"}], "last": -1.5e3}'.encode(),
    ),
}


@pytest.mark.parametrize("kind", READERS)
def test_good_files(kind: str, tmp_path: Path) -> None:
    read, content = READERS[kind]
    (tmp_path / "file").write_bytes(content)
    rows = [dict(record.values) for record in read(tmp_path / "file")]
    assert rows == [{"gif_name": "a", "question": "what ?"}, {"gif_name": "b", "question": "wh\u00e4t ?"}]


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"", "is empty: line 1 is missing"),
        (lambda content: b" \n", r"line \d"),
        (lambda content: b"\xef\xbb\xbf", "is empty: line 1 is missing"),
        (lambda content: content.decode().encode("utf-32"), "line 1: begins with the byte order mark of UTF-32"),
        (lambda content: content.decode().encode("utf-16") + b"\x00\xd8", r"line [234]: byte 0x00 is not UTF-16"),
        (lambda content: content.decode().encode("latin-1"), r"line [23]: byte 0xe4 is not UTF-8"),
    ],
    ids=["empty", "blank", "only a byte order mark", "UTF-32", "torn UTF-16", "Latin-1"],
)
def test_encodings_and_empty_files(kind: str, change: Callable[[bytes], bytes], message: str, tmp_path: Path) -> None:
    read, content = READERS[kind]
    path = tmp_path / "file"
    path.write_bytes(change(content))
    with pytest.raises(DatasetError, match=re.escape(str(path)) + ".*" + message):
        list(read(path))


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_part_of_the_text(kind: str, encoding: str, tmp_path: Path) -> None:
    read, content = READERS[kind]
    (tmp_path / "file").write_bytes(content.decode().encode(encoding))
    rows = [dict(record.values) for record in read(tmp_path / "file")]
    assert rows == [{"gif_name": "a", "question": "what ?"}, {"gif_name": "b", "question": "wh\u00e4t ?"}]
    (tmp_path / "names").write_bytes("a\r\nb\r\n".encode(encoding))
    assert read_names(tmp_path / "names") == ["a", "b"]


@pytest.mark.parametrize(
    ("written", "question"),
    [
        ('"stop" is said when ?', '"stop" is said when ?'),
        ('who says "stop" ?', 'who says "stop" ?'),
        ('5" or 6"', '5" or 6"'),
        ('"a" or "b"', '"a" or "b"'),
        ('"what ?"', "what ?"),
        ('"""stop"" is said when ?"', '"stop" is said when ?'),
        ('"left\tright"', "left\tright"),
        ('"one line\nand another\n\nlast"', "one line\nand another\n\nlast"),
        ('""', ""),
    ],
)
def test_quotation_marks_in_tab_separated_fields(written: str, question: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(f"gif_name\tquestion\tx\r\na\t{written}\t1\r\nb\twhy ?\t2\r\n".encode())
    rows = [(*record.values.values(), record.where) for record in read_tsv(path)]
    after = 3 + written.count("\n")
    assert rows == [("a", question, "1", "line 2"), ("b", "why ?", "2", f"line {after}")]


def test_rows_never_become_one_because_of_quotation_marks(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text('gif_name\tquestion\na\t"who\nb\tc"\n')
    with pytest.raises(DatasetError, match="line 2: a quotation mark is not closed"):
        list(read_tsv(path))


def test_what_spreadsheet_programs_add_to_a_table(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a,b,,\n1,2,,\n,,,\n3,,,\n5,6\n , ,\n,,,,,\n")
    assert [(dict(record.values), record.where) for record in table_records(path)] == [
        ({"a": "1", "b": "2"}, "line 2"),
        ({"a": "3", "b": ""}, "line 4"),
        ({"a": "5", "b": "6"}, "line 5"),
    ]
    path.write_text("a,b,,\n1,2,,3\n")  # nothing that a cell holds may vanish
    with pytest.raises(DatasetError, match="line 2: 4 fields, but the header has 2"):
        list(table_records(path))
    path.write_text("a,b\n,\n")
    with pytest.raises(DatasetError, match="there is no row under the header"):
        list(table_records(path))


@pytest.mark.parametrize(
    ("text", "columns", "noted", "expected"),
    [
        ("a;b\n1,5;2\n", (), True, {"a": "1,5", "b": "2"}),
        ('"a";"b"\n"1;5";2\n', (), True, {"a": "1;5", "b": "2"}),
        ("a,b;c,d\n1,2,3\n", (), False, {"a": "1", "b;c": "2", "d": "3"}),
        ("a,b\n1;5,2\n", (), False, {"a": "1;5", "b": "2"}),
        ("a,x;b;c\n1;2;3\n", ("b",), True, {"a,x": "1", "b": "2", "c": "3"}),
        ("a,b;c;d;e\n1,2\n", ("a",), False, {"a": "1", "b;c;d;e": "2"}),
    ],
)
def test_semicolons_by_the_header(
    text: str, columns: tuple[str, ...], noted: bool, expected: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "file.csv"
    path.write_text(text)
    assert [dict(record.values) for record in table_records(path, columns)] == [expected]
    assert separator_notes([path], columns) == (["read as separated by semicolons: file.csv"] if noted else [])


@pytest.mark.parametrize("kind", ["json", "json key"])
def test_json_cut_off_anywhere(kind: str, tmp_path: Path) -> None:
    read, content = READERS[kind]
    path = tmp_path / "file"
    for length in range(1, len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DatasetError, match=re.escape(str(path)) + r", line \d"):
            list(read(path))


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (json_records, '[{"a": 1},\n {"b": }]', r"line 2, column 8: not JSON: Expecting value"),
        (json_records, '[{"a": 1},\n {"b": 2}]\n x', "line 3, column 2: not JSON: Extra data"),
        (read_key, '{"sentences": [{}]} tru', "line 1, column 21: not JSON: Extra data"),
        (json_records, '[{"a": 1}\n {"b": 2}]', "line 2, column 2: not JSON: Expecting ',' delimiter"),
        (json_records, '[{"a": 1}, 3]', r"\[1\]: must be an object, not 3"),
        (json_records, '{"a": 1}', "line 1: .*a list expected, but '{'"),
        (json_records, '[{"a": Infinity}]', "line 1: .*Infinity is not a JSON number"),
        (json_records, '[{"a": "NaN"},\n {"a": -Infinity}]', "line 2: .*-Infinity is not a JSON number"),
        (json_records, '[{"a": 1},\n {"a": %s}]' % ("9" * 5000), "line 2: .*integer string conversion"),
        (json_records, "3", "line 1: a list expected, but '3'"),
        (json_records, "[]", "the list is empty"),
        (read_key, '{"other": []}', "line 1: there is no key 'sentences'"),
        (read_key, '{"other": {"sentences": [{}]}}', "line 1: there is no key 'sentences'"),
        (read_key, '{"sentences": {"item": {}}}', "line 1: a list under 'sentences' expected, but '{'"),
        (read_key, '{"sentences.item": {}, "sentences": 3}', "line 1: a list under 'sentences' expected, but '3'"),
        (read_key, '[{"sentences": []}]', r"line 1: an object expected, but '\['"),
        (read_key, '{"sentences": []}', "the list under 'sentences' is empty"),
        (read_key, '{"sentences": [{}],\n"sentences": [{}]}', "line 2: .*key 'sentences' stands there twice"),
        (read_key, '{1: 2, "sentences": [{}]}', "line 1, column 2: not JSON: Expecting property name"),
        (jsonl_records, '{"a": 1}\n\n{"a": \n', "line 3, column 7: not JSON: Expecting value"),
        (jsonl_records, '{"a": 1}\n[1]\n', r"line 2: must be an object, not \[1\]"),
        (read_tsv, "gif_name\tquestion\n\na\tb\tc\n", "line 3: 3 fields, but the header has 2"),
        (read_tsv, 'gif_name\tquestion\na\tb\nc\t"d\n', "line 3: a quotation mark is not closed"),
        (table_records, 'a,b\nc,"d\n', "line 2: .*unexpected end of data"),
        (table_records, 'a,b\n"c"d,e\n', "line 2: "),
        (read_tsv, "gif_name\n", "line 1: no column 'question' among the tab-separated 'gif_name'$"),
    ],
)
def test_what_is_wrong_and_where(read: Callable[..., Any], text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(DatasetError, match=re.escape(str(path)) + ".*" + message):
        list(read(path))


def test_lists_of_names(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(b"a.mp4\r\n\r\n b \r\n")
    assert read_names(path) == ["a.mp4", "b"]
    path.write_text("\n\n")
    with pytest.raises(DatasetError, match="there is no name"):
        read_names(path)


# --- Records ---


def outcome(work: Callable[[], Any]) -> tuple[Any, str]:
    """What comes of it, and the message of the error if it is one of ours."""
    try:
        return work(), ""
    except DatasetError as error:
        return None, str(error)


@given(st.dictionaries(st.sampled_from(["k"]), JSON_VALUES))
def test_typed_values_are_returned_or_refused_with_their_place(values: dict[str, Any]) -> None:
    record = Record(values, Path("file.json"), "line 3")
    kinds: list[tuple[Callable[[str], Any], type]] = [
        (record.text, str),
        (record.name, str),
        (record.integer, int),
        (record.texts, list),
        (record.spans, list),
    ]
    for read, kind in kinds:
        found, message = outcome(lambda read=read: read("k"))
        if message:
            assert message.startswith("file.json, line 3: ")
            assert "'k" in message
        else:
            assert type(found) is kind


# --- Any damage to published files: rows, or an error that says where ---

SENTENCES = [{"sen_id": n, "video_id": f"video{n % 2}", "caption": f"caption {n}"} for n in range(3)]
OFFICIAL = {"videos": [{"video_id": f"video{n}", "split": "train"} for n in range(2)], "sentences": SENTENCES}
PUBLISHED: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "msrvtt": (
        "msrvtt",
        "retrieval",
        "train_val_videodatainfo.json",
        {
            "train_val_videodatainfo.json": json.dumps(OFFICIAL, indent=1),
            "MSRVTT_JSFusion_test.csv": "key,vid_key,video_id,sentence\nret0,msr2,video2,x\n",
        },
    ),
    "released": (
        "msrvtt",
        "qa",
        "train.jsonl",
        {"train.jsonl": '{"video_id": "video0", "question": "q ?", "answer": "a", "answer_type": "q"}\n' * 3},
    ),
    "tgif": (
        "tgif_qa",
        "action",
        "Train_action_question.csv",
        {
            "Train_action_question.csv": "gif_name\tquestion\ta1\ta2\ta3\ta4\ta5\tanswer\tvid_id\tkey\r\n"
            + "video0\tq ?\ta\tb\tc\td\te\t3\tA1\t4\r\n" * 3
        },
    ),
    "activitynet": (
        "activitynet_captions",
        "sentences",
        "train.json",
        {"train.json": json.dumps({"video0": {"timestamps": [[0, 1.5]], "sentences": ["Text."]}})},
    ),
}


@pytest.fixture(scope="module")
def small_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_media(tmp_path_factory.mktemp("videos"), "video0.mp4", "video1.mp4", "video2.mp4")


@pytest.mark.parametrize("name", PUBLISHED)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(name: str, small_videos: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Bytes replaced, removed, repeated or inserted at any place; only DatasetError may come of it."""
    loader, config, victim, files = PUBLISHED[name]
    content = files[victim].encode()
    start = data.draw(st.integers(0, len(content)), label="start")
    end = data.draw(st.integers(start, min(len(content), start + 60)), label="end")
    new = data.draw(
        st.binary(max_size=4)
        | st.sampled_from(
            [b"", b"\n", b"\t", b'"', b"}", b"]", b"null", b"-1", b"9" * 30, b"9" * 5000, b"\\ud800", b"../"]
        )
        | st.just(content[start:end] * 2),
        label="new",
    )
    for file, text in files.items():
        (tmp_path / file).write_bytes(text.encode())
    (tmp_path / victim).write_bytes(content[:start] + new + content[end:])

    def load() -> list[dict[str, Any]]:
        builder = datasets_scripts.create_builder(
            loader, config, annotation_dir=tmp_path, video_dir=small_videos, missing="drop"
        )
        return [row for split in builder.report.splits for row in builder.rows(split)]

    rows, message = outcome(load)
    if message:
        assert str(tmp_path) in message
        assert re.search(r"line \d|key|\[\d|column|list under|nothing is left|needs|hold no", message), message
    else:
        assert rows
        for row in rows:
            assert Path(row["video"]).parent == small_videos
            assert all(value.encode() for value in row.values() if isinstance(value, str) and value)
            assert 0 <= row.get("answer", 0) < 5 if config == "action" else True
            assert all(math.isfinite(number) for span in row.get("times", ()) for number in span)
