"""The command lines: check, statistics and export, run on real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from miniature_files import video_bytes, write_json, write_jsonl, write_media, write_table

from datasets_scripts import check, export, statistics

COUNT = ("gif_name", "question", "answer", "vid_id", "key")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, pairs in {
        "train": [("video0", "dog"), ("video1", "dog"), ("video1", "cat")],
        "test": [("video2", "dog"), ("video2", "bird")],
    }.items():
        rows = [{"video_id": v, "question": "What is it ?", "answer": a, "answer_type": "what"} for v, a in pairs]
        write_jsonl(tmp_path / "msrvtt_qa" / f"{split}.jsonl", rows)
    write_media(tmp_path / "videos", "video0.mp4", "video1.gif", "video2.webm")
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return [
        "msrvtt",
        "qa",
        "--annotation_dir",
        str(folder),
        "--video_dir",
        str(folder / "videos"),
        "--no_progress",
        *more,
    ]


# --- Check ---


def test_check_of_a_complete_data_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, looked in (((), "\nlooked quickly: at the structure"), (("--full",), "\nlooked at every frame\n")):
        assert check.main(arguments(folder, *more)) == 0
        printed = capsys.readouterr().out
        assert "train: 0 missing, 0 unreadable\ntest: 0 missing, 0 unreadable\n" in printed
        assert looked in printed


def test_check_lists_what_is_missing_and_unreadable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "videos" / "video0.mp4").unlink()
    torn = folder / "videos" / "video2.webm"
    torn.write_bytes(video_bytes(".webm")[:100])
    report = folder / "report.json"
    assert check.main(arguments(folder, "--report", str(report), "--workers", "1")) == 1
    printed = capsys.readouterr().out
    source = folder / "msrvtt_qa" / "train.jsonl"
    assert f"train: 1 missing, 0 unreadable\n  missing     video0 ({source}, line 1)\n" in printed
    assert f"test: 0 missing, 1 unreadable\n  unreadable  {torn}: " in printed
    splits = json.loads(report.read_text())["splits"]
    assert splits["train"]["missing"] == {"video0": f"{source}, line 1"}
    assert (splits["train"]["rows"], splits["train"]["dropped_rows"], splits["train"]["media"]) == (2, 1, 1)
    assert list(splits["test"]["unreadable"]) == [str(torn)]
    assert (splits["test"]["rows"], splits["test"]["dropped_rows"]) == (0, 2)


def test_check_shows_a_progress_bar(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([argument for argument in arguments(folder) if argument != "--no_progress"]) == 0
    printed = capsys.readouterr().err
    assert "check: 100%" in printed
    assert "3/3" in printed


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--option", "scheme"], "--option must be NAME=VALUE, not 'scheme'"),
        (["--option", "scheme=3k"], "scheme must be one of 7k, 9k, official, not '3k'"),
        (["--annotation_dir", "/nowhere"], "the annotation folder /nowhere does not exist"),
    ],
)
def test_errors_of_the_user_are_one_line(
    folder: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (check, statistics):
        assert command.main(arguments(folder, *more)) == 2
        assert capsys.readouterr().err == f"error: {message}\n"


# --- Statistics ---


def test_statistics_count_and_mark_differences(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert statistics.main(arguments(folder, "--output", str(folder / "counts.json"))) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train", "rows", "3", "158,581", "DIFFERS", "by", "-158,578"] in lines
    for line in (
        ["train", "videos", "2"],
        ["train", "distinct", "questions", "1"],
        ["train", "words", "9"],
        ["train", "vocabulary", "3"],
        ["train", "distinct", "answers", "2"],
        ["test", "distinct", "answers", "2"],
    ):
        assert line in lines
    counts = json.loads((folder / "counts.json").read_text())["counts"]
    assert counts["test"] == {
        "rows": 2,
        "videos": 1,
        "distinct questions": 1,
        "words": 6,
        "vocabulary": 3,
        "distinct answers": 2,
    }


def test_equal_counts_are_not_marked() -> None:
    table = statistics.table({"train": {"rows": 1500, "words": 9}}, {"train": {"rows": 1500}})
    assert [line.split() for line in table.splitlines()[1:]] == [
        ["train", "rows", "1,500", "1,500"],
        ["train", "words", "9"],
    ]


def test_answers_of_people_are_counted_as_the_labels_that_they_are() -> None:
    row = {"image": "a.jpg", "question": "what ?", "answers": [{"answer": "2", "score": 1.0}], "answer_type": "number"}
    rows = [row | {"id": str(number), "people_answers": ["2", "two", "Two."]} for number in range(2)]
    expected = {"rows": 2, "images": 1, "distinct questions": 1, "words": 2, "vocabulary": 1, "distinct answers": 1}
    assert statistics.count({"train": rows}) == {"train": expected}


def test_splits_that_were_published_as_one_are_counted_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"gif{number}" for number in range(40)]
    write_table(tmp_path / "Train_count_question.csv", [COUNT, *((name, "how often ?", 1, "C", 1) for name in names)])
    write_media(tmp_path, *(f"{name}.gif" for name in names))
    assert (
        statistics.main(["tgif_qa", "count", "--annotation_dir", str(tmp_path), "--option", "validation_fraction=0.5"])
        == 0
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train+validation", "rows", "40", "26,839", "DIFFERS", "by", "-26,799"] in lines


def test_the_vocabulary_is_saved_and_its_upper_bound_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = folder / "ans2label.json"
    assert statistics.main(arguments(folder, "--answers", "1", "--save_answers", str(labels))) == 0
    assert "1 answers; reachable upper bound: train 66.67 %, test 50.00 %" in capsys.readouterr().out
    assert json.loads(labels.read_text()) == {"dog": 0}


def test_a_vocabulary_needs_open_ended_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "train.json", {"v_a": {"timestamps": [[0, 1]], "sentences": ["b"]}})
    write_media(tmp_path, "v_a.mp4")
    options = ["activitynet_captions", "--annotation_dir", str(tmp_path), "--answers", "5"]
    assert statistics.main(options) == 2
    assert "--answers needs open-ended questions" in capsys.readouterr().err


def test_missing_files_stop_a_command_unless_they_are_dropped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "videos" / "video1.gif").write_bytes(b"GIF89a")
    assert statistics.main(arguments(folder, "--check")) == 2
    assert "train: 1 unreadable, such as " in capsys.readouterr().err
    assert statistics.main(arguments(folder, "--check", "--missing", "drop")) == 0
    assert "train 2 rows (1 files), test 0 rows (0 files)" in capsys.readouterr().out


# --- Export ---


def test_export_says_how_to_read_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = folder / "hub"
    assert export.main(arguments(folder, "--output", str(output), "--media", "files")) == 0
    assert f'load_dataset("{output}", "qa")' in capsys.readouterr().out
    assert sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()) == [
        "README.md",
        "export.json",
        "media/video0.mp4",
        "media/video1.gif",
        "media/video2.webm",
        "qa/test-00000-of-00001.parquet",
        "qa/train-00000-of-00001.parquet",
    ]
    assert export.main(arguments(folder, "--output", str(folder))) == 2
    assert "exists and was not exported" in capsys.readouterr().err
