"""The user's own tables, jsonl and Parquet files, for each task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from miniature_files import load_rows, write_json, write_jsonl, write_media, write_table
from pyarrow import parquet

from datasets_scripts import create_builder
from datasets_scripts.errors import DatasetError
from datasets_scripts.export import export


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_media(tmp_path_factory.mktemp("videos"), "a.mp4", "day/b.gif", "c.jpg")


def load(config: str, folder: Path, videos: Path, **options: Any) -> dict[str, list[dict[str, Any]]]:
    return load_rows("custom", config, annotation_dir=folder, video_dir=videos, **options)


ROWS: dict[str, list[dict[str, Any]]] = {
    "retrieval": [
        {"id": "x", "video": "a.mp4", "caption": 'he says "no", then\u2026'},
        {"id": "y", "video": "day/b", "caption": "a, b"},
    ],
    "qa": [{"id": "7", "video": "a", "question": "what ?", "answer": "a dog", "answer_type": "what"}],
    "count": [{"id": "7", "video": "a", "question": "how often ?", "answer": 3, "answer_type": "count"}],
    "multiple_choice": [{"id": "7", "video": "b", "question": "which ?", "options": ["x, y", "z"], "answer": 1}],
    "image_captions": [{"id": "7", "image": "c.jpg", "caption": "red"}],
    "image_qa": [
        {
            "id": "7",
            "image": "c",
            "question": "what ?",
            "answers": [{"answer": "red", "score": 1.0}, {"answer": "blue", "score": 0.3}],
            "people_answers": ["Red", "red", ""],
            "answer_type": "other",
        }
    ],
}
PATHS = {"a.mp4": "a.mp4", "a": "a.mp4", "day/b": "day/b.gif", "b": "day/b.gif", "c.jpg": "c.jpg", "c": "c.jpg"}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        write_jsonl(path, rows)
    elif path.suffix == ".json":
        write_json(path, rows)
    elif path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        mark = "," if path.suffix == ".csv" else "\t"
        cells = [
            [json.dumps(value) if isinstance(value, list) else str(value) for value in row.values()] for row in rows
        ]
        quoted = [['"' + cell.replace('"', '""') + '"' for cell in row] for row in cells]
        write_table(path, [list(rows[0]), *quoted], delimiter=mark)


@pytest.mark.parametrize("extension", ["csv", "tsv", "json", "jsonl", "parquet"])
@pytest.mark.parametrize("config", list(ROWS))
def test_every_task_from_every_format(config: str, extension: str, videos: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / f"train.{extension}", ROWS[config])
    write_rows(tmp_path / f"val.{extension}", ROWS[config][:1])
    column = "image" if config.startswith("image") else "video"
    expected = [row | {column: str(videos / PATHS[row[column]])} for row in ROWS[config]]
    assert load(config, tmp_path, videos) == {"train": expected, "validation": expected[:1]}


def test_columns_by_name(videos: Path, tmp_path: Path) -> None:
    table = [("clip", "text", "o1", "o2", "gold"), ("a", "which ?", "left", "right", 1), ("a", "who ?", "he", "she", 0)]
    write_table(tmp_path / "my.csv", table, delimiter=",")
    columns = {"video": "clip", "question": "text", "options": ["o1", "o2"], "answer": "gold"}
    rows = load("multiple_choice", tmp_path, videos, columns=columns, files={"test": "my.csv"})
    video = str(videos / "a.mp4")
    assert rows == {
        "test": [
            {"id": "a_0", "video": video, "question": "which ?", "options": ["left", "right"], "answer": 1},
            {"id": "a_1", "video": video, "question": "who ?", "options": ["he", "she"], "answer": 0},
        ]
    }
    columns = {"video": "clip", "question": "text", "answer": "gold"}
    rows = load("qa", tmp_path, videos, columns=columns, files={"test": ["my.csv"]})
    assert rows["test"][0] == {"id": "a_0", "video": video, "question": "which ?", "answer": "1", "answer_type": ""}


def test_single_answers_of_images_and_objects_of_scores(videos: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", [{"image": "c", "question": "q", "answer": "red"}])
    write_jsonl(tmp_path / "test.jsonl", [{"image": "c", "question": "q", "answers": {"blue": 0.5, "red": 1}}])
    rows = load("image_qa", tmp_path, videos)
    assert rows["train"][0]["answers"] == [{"answer": "red", "score": 1.0}]
    assert rows["test"][0]["answers"] == [{"answer": "red", "score": 1.0}, {"answer": "blue", "score": 0.5}]
    # Scores alone are no answers of people.
    assert [rows[split][0]["people_answers"] for split in rows] == [[], []]


def test_what_people_answered_in_a_list_or_in_columns(videos: Path, tmp_path: Path) -> None:
    said = ["Red", "red.", "", "blue"]
    write_jsonl(tmp_path / "train.jsonl", [{"image": "c", "question": "q", "people_answers": said}])
    table = [("image", "question", "p1", "p2", "p3", "p4"), ("c", "q", *said)]
    write_table(tmp_path / "my.csv", table, delimiter=",")
    rows = load("image_qa", tmp_path, videos)["train"]
    columns = {"people_answers": ["p1", "p2", "p3", "p4"]}
    assert load("image_qa", tmp_path, videos, columns=columns, files={"train": "my.csv"})["train"] == rows
    # Two of four say "red": min(2 / 3, 1); the blank one is no label.
    labels = [{"answer": "red", "score": 2 / 3}, {"answer": "blue", "score": 1 / 3}]
    assert [(row["people_answers"], row["answers"], row["answer_type"]) for row in rows] == [(said, labels, "")]
    # Where nobody was asked it is the single answer that counts, and there may be none.
    nobody = {"image": "c", "question": "q", "people_answers": []}
    write_jsonl(tmp_path / "train.jsonl", [nobody | {"answer": "red"}, nobody])
    assert [row["answers"] for row in load("image_qa", tmp_path, videos)["train"]] == [
        [{"answer": "red", "score": 1.0}],
        [],
    ]
    # Scores that are given stay.
    scored = {"image": "c", "question": "q", "people_answers": said, "answers": {"red": 1.0}}
    write_jsonl(tmp_path / "train.jsonl", [scored])
    row = load("image_qa", tmp_path, videos)["train"][0]
    assert (row["people_answers"], row["answers"]) == (said, [{"answer": "red", "score": 1.0}])


def test_shards_are_read_in_order(videos: Path, tmp_path: Path) -> None:
    for number in range(2):
        rows = [{"id": f"{number}", "video": "a", "caption": f"caption {number}"}]
        write_rows(tmp_path / f"train-0000{number}-of-00002.parquet", rows)
    assert [row["id"] for row in load("retrieval", tmp_path, videos)["train"]] == ["0", "1"]


@pytest.mark.parametrize(
    ("config", "row", "message"),
    [
        ("retrieval", {"video": "a"}, "'caption' is missing; there is 'video'"),
        ("retrieval", {"video": "../a.mp4", "caption": "c"}, "points outside of the folder"),
        ("retrieval", {"video": "day/../../a.mp4", "caption": "c"}, "points outside of the folder"),
        ("retrieval", {"video": "C:\\a.mp4", "caption": "c"}, "points outside of the folder"),
        ("retrieval", {"video": "a", "caption": "\ud800"}, "holds half of a surrogate pair"),
        ("multiple_choice", {"video": "a", "question": "", "options": ["x", "y"], "answer": 2}, "from 0 to 1, not 2"),
        (
            "multiple_choice",
            {"video": "a", "question": "", "options": [], "answer": 0},
            "'options' is empty",
        ),
        ("multiple_choice", {"video": "a", "question": "", "options": "x", "answer": 0}, "'options' must be JSON"),
        ("count", {"video": "a", "question": "q", "answer": 2**63}, "'answer' must be from"),
        ("count", {"video": "a", "question": "q", "answer": 1.5}, "'answer' must be an integer, not 1.5"),
        ("image_qa", {"image": "c", "question": "q", "answers": {"a": 2}}, "the score of 'a' must be above 0"),
        ("image_qa", {"image": "c", "question": "q", "answers": 3}, "must be a list or an object, not 3"),
        ("image_qa", {"image": "c", "question": "q", "people_answers": "red"}, "'people_answers' must be JSON"),
        (
            "image_qa",
            {"image": "c", "question": "q", "people_answers": [["red", 1]]},
            r"'people_answers\[0\]' must be a",
        ),
        ("image_qa", {"image": "c", "question": "q"}, "'answer' is missing"),
    ],
)
def test_malformed_rows(config: str, row: dict[str, Any], message: str, videos: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", [row])
    with pytest.raises(DatasetError, match=message) as caught:
        load(config, tmp_path, videos)
    assert f"{tmp_path / 'train.jsonl'}, line 1" in str(caught.value)


def test_files_that_are_not_as_expected(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"custom needs train\.csv or train\.jsonl or train\.parquet"):
        load("retrieval", tmp_path, videos)
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DatasetError, match=r"train\.parquet, row 0: "):
        load("retrieval", tmp_path, videos)
    write_jsonl(tmp_path / "train.jsonl", [{"video": "a", "caption": "c"}])
    with pytest.raises(DatasetError, match=r"both are split train; choose with files=\{'train': \.\.\.\}"):
        load("retrieval", tmp_path, videos)
    rows = load("retrieval", tmp_path, videos, files={"train": "train.jsonl"})
    assert len(rows["train"]) == 1
    with pytest.raises(DatasetError, match="columns has 'text', but the columns of retrieval are caption, id, video"):
        load("retrieval", tmp_path, videos, files={"train": "train.jsonl"}, columns={"text": "caption"})
    with pytest.raises(DatasetError, match=r"columns\['caption'\] must be one name"):
        load("retrieval", tmp_path, videos, files={"train": "train.jsonl"}, columns={"caption": ["a", "b"]})
    with pytest.raises(DatasetError, match=r"columns\['video'\] must be one name, not \['a', 'b'\]"):
        load("retrieval", tmp_path, videos, files={"train": "train.jsonl"}, columns={"video": ["a", "b"]})
    with pytest.raises(DatasetError, match=r"train\.xml must be one of \.csv, \.tsv, \.json, \.jsonl, \.parquet"):
        load("retrieval", tmp_path, videos, files={"train": "train.xml"})
    with pytest.raises(DatasetError, match=r"none\.csv cannot be read: No such file"):
        load("retrieval", tmp_path, videos, files={"train": "none.csv"})


# --- Tables as people save them ---


def test_a_table_that_a_spreadsheet_program_saved(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = "video,question,answer,,\r\na.mp4,who says hello ?,he,,\r\n,,,,\r\n"
    (tmp_path / "train.csv").write_bytes(plain.replace(",", ";").encode("utf-8-sig"))
    (tmp_path / "test.csv").write_bytes(plain.encode("utf-16"))
    splits = load("qa", tmp_path, videos)
    assert [[row["question"] for row in rows] for rows in splits.values()] == [["who says hello ?"]] * 2
    assert "\nread as separated by semicolons: train.csv\n" in capsys.readouterr().err


QUESTIONS = "video,question,answer\na,what ?,x\na,why ?, \n,who ?,x\nb,when ?,y\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_rows_that_lack_a_value_are_left_out_if_asked_for_and_counted(
    quiet: bool, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.csv").write_text(QUESTIONS)
    with pytest.raises(DatasetError, match=r"train\.csv, line 3: 'answer' is empty; on_empty='drop' leaves such rows"):
        load("qa", tmp_path, videos)
    rows = load("qa", tmp_path, videos, on_empty="drop", quiet=quiet)["train"]
    assert [row["question"] for row in rows] == ["what ?", "when ?"]
    assert "left out, because the text is blank: train 2 rows" in capsys.readouterr().err
    builder = create_builder("custom", "qa", annotation_dir=tmp_path, video_dir=videos, on_empty="drop")
    found = builder.report.splits["train"]
    assert (found.rows, found.blank_rows, found.dropped_rows) == (2, 2, 0)
    with pytest.raises(DatasetError, match="on_empty must be one of error, drop, not 'keep'"):
        load("qa", tmp_path, videos, on_empty="keep")


@pytest.mark.parametrize(
    ("config", "row"),
    [
        ("count", {"video": "a", "question": "q", "answer": None}),
        ("qa", {"video": None, "question": "q", "answer": "x"}),
        ("multiple_choice", {"video": "a", "question": "q", "options": [], "answer": 0}),
        ("multiple_choice", {"video": "a", "question": "q", "options": "", "answer": 0}),
        ("multiple_choice", {"video": "a", "question": "q", "options": ["x", ""], "answer": 0}),
        ("multiple_choice", {"video": "a", "question": "q", "options": ["x", "y"], "answer": " "}),
    ],
)
def test_what_counts_as_empty(config: str, row: dict[str, Any], videos: Path, tmp_path: Path) -> None:
    whole = {
        "count": {"answer": 1},
        "qa": {"video": "b"},
        "multiple_choice": {"options": ["x", "y"], "answer": 1},
    }
    write_jsonl(tmp_path / "train.jsonl", [row, row | whole[config]])
    with pytest.raises(DatasetError, match="line 1: "):
        load(config, tmp_path, videos)
    assert len(load(config, tmp_path, videos, on_empty="drop")["train"]) == 1


# --- Names as people write them ---


def test_videos_by_absolute_path_and_as_folders_of_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = write_media(tmp_path / "v", "a.mp4", "below/a.mp4", "clip1/1.jpg", "clip1/2.jpg")
    annotations = tmp_path / "a"
    names = [str(videos / "a.mp4"), str(videos / "below" / "a.mp4"), "clip1"]
    write_jsonl(annotations / "train.jsonl", [{"video": name, "caption": "c"} for name in names])
    rows = load("retrieval", annotations, videos)["train"]
    assert [row["video"] for row in rows] == [names[0], names[1], str(videos / "clip1")]
    assert [row["id"] for row in rows] == ["a_0", "a_1", "clip1_0"]  # the same wherever the folder lies
    assert "\nfolders of images, taken as the frames of a video each: 1\n" in capsys.readouterr().err
    given = {"annotation_dir": annotations, "video_dir": videos}
    output = tmp_path / "hub"
    export(create_builder("custom", "retrieval", **given), output, media="files")
    assert sorted(path.name for path in (output / "media" / "clip1").iterdir()) == ["1.jpg", "2.jpg"]
    with pytest.raises(DatasetError, match="clip1 is a folder of frames, which cannot be embedded"):
        export(create_builder("custom", "retrieval", **given), tmp_path / "other", media="embed")


# --- JSON ---


def test_json_lists(videos: Path, tmp_path: Path) -> None:
    rows = [{"id": "1", "video": "a", "caption": "x"}, {"id": "2", "video": "a", "caption": "y"}]
    write_json(tmp_path / "train.json", rows)
    write_json(tmp_path / "val.json", {"info": {"version": 1}, "annotations": rows})
    expected = [row | {"video": str(videos / "a.mp4")} for row in rows]
    assert load("retrieval", tmp_path, videos) == {"train": expected, "validation": expected}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"a": [{}], "b": []},
            "line 1: a list of objects expected, or an object with one such list; there are 'a', 'b'",
        ),
        ({"a": 1}, "line 1: a list of objects expected, or an object with one such list; there is none"),
        ({"a": []}, "the list under 'a' is empty"),
        ({"a": [{"video": "a", "caption": "c"}, 3]}, r"a\[1\]: must be an object, not 3"),
        ([], "the list is empty"),
        (3, "line 1: a list expected, but '3'"),
    ],
)
def test_json_of_another_form(content: Any, message: str, videos: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "train.json", content)
    with pytest.raises(DatasetError, match=r"train\.json.*" + message):
        load("retrieval", tmp_path, videos)
