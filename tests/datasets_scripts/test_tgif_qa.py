"""TGIF-QA on miniature files in the published form: tabs, CRLF, real GIFs."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest
from datasets import Value
from miniature_files import load_rows, write_jsonl, write_media, write_table

import datasets_scripts
from datasets_scripts.errors import DatasetError

CHOICES = ("gif_name", "question", "a1", "a2", "a3", "a4", "a5", "answer", "vid_id", "key")
FRAMEQA = ("gif_name", "question", "answer", "type", "vid_id", "key", "description")
COUNT = ("gif_name", "question", "answer", "vid_id", "key")
FIRST, SECOND = "tumblr_nk172bbdPI1u1lr18o1_250", "tumblr_no73q2fm0I1uuf348o1_250"
OPTIONS = ("stuff marshmallow", "holds a phone", "fall over", "talk", "flap wings")


@pytest.fixture(scope="module")
def gifs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_media(tmp_path_factory.mktemp("gifs"), f"{FIRST}.gif", f"{SECOND}.mp4")


def load(task: str, folder: Path, gifs: Path, **options: Any) -> dict[str, list[dict[str, Any]]]:
    return load_rows("tgif_qa", task, annotation_dir=folder, video_dir=gifs, **options)


@pytest.mark.parametrize("task", ["action", "transition"])
def test_multiple_choice_in_both_forms(task: str, gifs: Path, tmp_path: Path) -> None:
    question = "What does the butterfly do 10 or more than 10 times ?"
    table = [
        CHOICES,
        (FIRST, question, *OPTIONS, 4, "ACTION1", 62578),
        (SECOND, "what ?", *OPTIONS, 0, "ACTION2", 19),
        (FIRST, "what then ?", *OPTIONS, 2, "ACTION3", 62578),
    ]
    write_table(tmp_path / "official" / f"Train_{task}_question.csv", table)
    write_table(tmp_path / "official" / f"Test_{task}_question.csv", table[:2])
    rows = load(task, tmp_path / "official", gifs, validation_fraction=0)
    first, second = str(gifs / f"{FIRST}.gif"), str(gifs / f"{SECOND}.mp4")
    assert rows["train"] == [
        {"id": f"{FIRST}_0", "video": first, "question": question, "options": list(OPTIONS), "answer": 4},
        {"id": f"{SECOND}_0", "video": second, "question": "what ?", "options": list(OPTIONS), "answer": 0},
        {"id": f"{FIRST}_1", "video": first, "question": "what then ?", "options": list(OPTIONS), "answer": 2},
    ]
    assert rows == {"train": rows["train"], "test": rows["train"][:1]}
    for split, lines in (("train", table[1:]), ("test", table[1:2])):
        write_jsonl(
            tmp_path / "released" / "tgif_qa" / f"{task}_{split}.jsonl",
            [{"gif_name": r[0], "question": r[1], "options": list(r[2:7]), "answer": r[7]} for r in lines],
        )
    assert load(task, tmp_path / "released", gifs, validation_fraction=0) == rows


def test_frameqa_in_both_forms(gifs: Path, tmp_path: Path) -> None:
    kinds = ("object", "number", "color", "location")
    table = [
        FRAMEQA,
        *((FIRST, f"question {n} ?", f"answer {n}", n, f"FRAMEQA{n}", 27138, '"it" is 5\' .') for n in range(4)),
    ]
    write_table(tmp_path / "official" / "Train_frameqa_question.csv", table)
    write_table(tmp_path / "official" / "Test_frameqa_question.csv", table[:2])
    rows = load("frameqa", tmp_path / "official", gifs, validation_fraction=0)
    assert rows["train"] == [
        {
            "id": f"{FIRST}_{n}",
            "video": str(gifs / f"{FIRST}.gif"),
            "question": f"question {n} ?",
            "answer": f"answer {n}",
            "answer_type": kind,
        }
        for n, kind in enumerate(kinds)
    ]
    for split, lines in (("train", table[1:]), ("test", table[1:2])):
        write_jsonl(
            tmp_path / "released" / f"frameqa_{split}.jsonl",
            [{"gif_name": r[0], "question": r[1], "answer": r[2], "answer_type": kinds[int(r[3])]} for r in lines],
        )
    assert load("frameqa", tmp_path / "released", gifs, validation_fraction=0) == rows


def test_count_in_both_forms(gifs: Path, tmp_path: Path) -> None:
    table = [COUNT, (FIRST, "How many times ?", 5, "COUNT2", 16), (SECOND, "How often ?", 0, "COUNT3", 17)]
    write_table(tmp_path / "official" / "Train_count_question.csv", table)
    splits = datasets_scripts.load(
        "tgif_qa", "count", annotation_dir=tmp_path / "official", video_dir=gifs, validation_fraction=0
    )
    assert splits["train"].features["answer"] == Value("int64")
    assert list(splits["train"]) == [
        {
            "id": f"{FIRST}_0",
            "video": str(gifs / f"{FIRST}.gif"),
            "question": "How many times ?",
            "answer": 5,
            "answer_type": "count",
        },
        {
            "id": f"{SECOND}_0",
            "video": str(gifs / f"{SECOND}.mp4"),
            "question": "How often ?",
            "answer": 0,
            "answer_type": "count",
        },
    ]
    write_jsonl(
        tmp_path / "released" / "count_train.jsonl",
        [{"gif_name": r[0], "question": r[1], "answer": r[2]} for r in table[1:]],
    )
    assert load("count", tmp_path / "released", gifs, validation_fraction=0)["train"] == list(splits["train"])


# --- The validation split ---


def held_out(names: list[str], fraction: float, seed: int) -> set[str]:
    """Written down again: the first 8 bytes of a hash of seed and name, as a number from 0 to 1."""
    shares = {name: int(hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()[:16], 16) / 16**16 for name in names}
    return {name for name, share in shares.items() if share < fraction}


def test_validation_is_held_out_by_video_whatever_the_order_and_the_task(tmp_path: Path) -> None:
    names = [f"tumblr_{number}" for number in range(100)]
    gifs = write_media(tmp_path / "gifs", "tumblr_0.gif")
    for name in names[1:]:
        (gifs / f"{name}.gif").write_bytes((gifs / "tumblr_0.gif").read_bytes())
    lines = [(name, f"question {n} ?", 3, "COUNT", 1) for name in names for n in range(3)]
    write_table(tmp_path / "a" / "Train_count_question.csv", [COUNT, *lines])
    random.Random(0).shuffle(lines)
    write_table(tmp_path / "b" / "Train_count_question.csv", [COUNT, *lines])
    choices = [(name, "what ?", *OPTIONS, 0, "ACTION", 1) for name in names]
    write_table(tmp_path / "a" / "Train_action_question.csv", [CHOICES, *choices])
    expected = held_out(names, 0.1, 0)
    assert 5 <= len(expected) <= 17
    for folder, task in (("a", "count"), ("b", "count"), ("a", "action")):
        rows = load(task, tmp_path / folder, gifs)
        assert list(rows) == ["train", "validation"]
        videos = {split: {Path(row["video"]).stem for row in rows[split]} for split in rows}
        assert videos == {"train": set(names) - expected, "validation": expected}
        if task == "count":
            assert len(rows["validation"]) == 3 * len(expected)
            assert len({row["id"] for split in rows.values() for row in split}) == 300
    other = load("count", tmp_path / "a", gifs, validation_seed=1, validation_fraction=0.3)
    assert {Path(row["video"]).stem for row in other["validation"]} == held_out(names, 0.3, 1)
    with pytest.raises(DatasetError, match="validation_fraction must be from 0 to below 1, not 1"):
        load("count", tmp_path / "a", gifs, validation_fraction=1)


def test_a_released_validation_file_is_used(gifs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, name in (("train", FIRST), ("val", SECOND)):
        write_jsonl(tmp_path / f"count_{split}.jsonl", [{"gif_name": name, "question": "how often ?", "answer": 1}])
    rows = load("count", tmp_path, gifs)
    assert {split: [row["id"] for row in rows[split]] for split in rows} == {
        "train": [f"{FIRST}_0"],
        "validation": [f"{SECOND}_0"],
    }
    assert "held out" not in capsys.readouterr().err


# --- What is refused ---


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        ("action", [CHOICES, (FIRST, "q", *OPTIONS, 5, "A", 1)], "line 2: 'answer' must be from 0 to 4, not 5"),
        ("action", [CHOICES, (FIRST, "q", *OPTIONS, -1, "A", 1)], "line 2: 'answer' must be from 0 to 4, not -1"),
        ("action", [CHOICES[:-3], (FIRST, "q", *OPTIONS)], "line 1: no column 'answer', 'vid_id', 'key'"),
        ("count", [COUNT, (FIRST, "q", 11, "A", 1)], "line 2: 'answer' must be from 0 to 10, not 11"),
        ("count", [COUNT, (FIRST, "q", "three", "A", 1)], "line 2: 'answer' must be an integer, not 'three'"),
        ("count", [COUNT, (FIRST, "q", 1, "A", 1), (FIRST, "q")], "line 3: 2 fields, but the header has 5"),
        ("count", [COUNT, (FIRST, " ", 1, "A", 1)], "line 2: 'question' is empty"),
        ("count", [COUNT, (f"../{FIRST}", "q", 1, "A", 1)], r"line 2: '\.\./tumblr.*' points outside of the folder"),
        ("count", [COUNT], "line 2: there is no row under the header"),
        ("frameqa", [FRAMEQA, (FIRST, "q", "a", 4, "A", 1, "d")], "line 2: 'type' must be from 0 to 3, not 4"),
        ("frameqa", [(*FRAMEQA, "type")], "line 1: column 'type' stands there twice"),
    ],
)
def test_malformed_tables(task: str, content: list[Any], message: str, gifs: Path, tmp_path: Path) -> None:
    path = write_table(tmp_path / f"Train_{task}_question.csv", content)
    with pytest.raises(DatasetError, match=message) as caught:
        load(task, tmp_path, gifs)
    assert str(path) in str(caught.value)


def test_a_comma_separated_table(gifs: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "Train_count_question.csv", [COUNT, (FIRST, "q", 1, "A", 1)], delimiter=",")
    with pytest.raises(DatasetError, match=r"line 1: no column 'gif_name', .* is the file comma-separated\?"):
        load("count", tmp_path, gifs)
