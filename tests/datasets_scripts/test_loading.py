"""What all loaders share: policies, notices, streaming, and caches that are never stale."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import IterableDataset
from miniature_files import load_rows, video_bytes, write_json, write_jsonl, write_media, write_table

import datasets_scripts
from datasets_scripts import loading
from datasets_scripts.annotations import survey_cache
from datasets_scripts.annotations.builder import _own_code
from datasets_scripts.annotations.plan import survey
from datasets_scripts.errors import DatasetError

ROOT = Path(datasets_scripts.__file__).parents[1]


def lines(*clips: str) -> list[dict[str, Any]]:
    return [{"caption": f"caption {n}", "clip_name": clip, "sen_id": n} for n, clip in enumerate(clips)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Annotations and videos in one folder."""
    write_jsonl(tmp_path / "train.jsonl", lines("video0", "video1", "video0", "video2"))
    write_jsonl(tmp_path / "test.jsonl", lines("video3"))
    write_media(tmp_path / "videos", *(f"video{n}.mp4" for n in range(4)))
    return tmp_path


def captions(folder: Path, **options: Any) -> dict[str, list[str]]:
    rows = load_rows("msrvtt", "retrieval", annotation_dir=folder, **options)
    return {split: [row["caption"] for row in found] for split, found in rows.items()}


# --- Missing videos ---


def test_missing_videos_are_an_error(folder: Path) -> None:
    (folder / "videos" / "video0.mp4").unlink()
    (folder / "videos" / "video2.mp4").unlink()
    named = r"video0 \(.*train\.jsonl, line 1\), video2 \(.*train\.jsonl, line 4\)"
    with pytest.raises(DatasetError, match=rf"files are missing in .*\. train: 2 missing, such as {named}\. missing="):
        captions(folder)


def test_dropped_rows_are_printed_and_stored_whenever_they_are_loaded(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "videos" / "video0.mp4").unlink()
    notice = f"dropped, because their files are missing or unreadable in {folder}: train 2 rows (1 files), test 0 rows"
    for quiet in (False, False, True):  # the second and third come from the cache
        splits = datasets_scripts.load("msrvtt", annotation_dir=folder, missing="drop", quiet=quiet)
        assert list(splits["train"]["caption"]) == ["caption 1", "caption 3"]
        assert notice in capsys.readouterr().err
        assert notice in splits["train"].info.description
        assert notice in splits["test"].info.description
    builder = datasets_scripts.create_builder("msrvtt", annotation_dir=folder, missing="drop")
    assert builder.report.dropped_rows == 2
    assert builder.report.splits["train"].missing == {"video0": f"{folder / 'train.jsonl'}, line 1"}
    assert json.loads(json.dumps(builder.report.to_json()))["splits"]["train"]["dropped_rows"] == 2
    datasets_scripts.load("msrvtt", annotation_dir=write_media_again(folder), quiet=True)
    assert capsys.readouterr().err == ""


def write_media_again(folder: Path) -> Path:
    write_media(folder / "videos", "video0.mp4")
    return folder


def test_a_split_without_any_video_is_an_error_even_when_dropping(folder: Path) -> None:
    (folder / "videos" / "video3.mp4").unlink()
    with pytest.raises(DatasetError, match=r"nothing is left of test, looking in .*\. test: 1 missing, such as video3"):
        captions(folder, missing="drop")


def test_unreadable_videos_count_as_missing_when_checked(folder: Path) -> None:
    (folder / "videos" / "video1.mp4").write_bytes(video_bytes(".mp4")[:200])
    assert len(captions(folder)["train"]) == 4
    with pytest.raises(DatasetError, match=r"train: 1 unreadable, such as .*video1\.mp4 \(.+\)"):
        captions(folder, check=True, progress=False)
    kept = captions(folder, check=True, missing="drop", progress=False)
    assert kept["train"] == ["caption 0", "caption 2", "caption 3"]


def test_no_other_file_is_ever_substituted(folder: Path) -> None:
    (folder / "videos" / "video0.mp4").rename(folder / "videos" / "video00.mp4")
    write_media(folder / "videos", "video10.mp4", "video0_small.mp4")
    with pytest.raises(DatasetError, match="train: 1 missing, such as video0"):
        captions(folder)


# --- Caches ---


def test_an_edited_source_is_read_anew(folder: Path) -> None:
    assert captions(folder)["test"] == ["caption 0"]
    path = folder / "test.jsonl"
    before = path.stat()
    path.write_text(path.read_text().replace("caption 0", "caption X"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time
    assert captions(folder)["test"] == ["caption X"]


def test_a_changed_video_folder_is_read_anew(folder: Path) -> None:
    assert len(captions(folder, missing="drop")["train"]) == 4
    (folder / "videos" / "video0.mp4").unlink()
    assert len(captions(folder, missing="drop")["train"]) == 2
    write_media(folder / "videos", "video0.webm")
    rows = load_rows("msrvtt", "retrieval", annotation_dir=folder, missing="drop")
    assert rows["train"][0]["video"] == str(folder / "videos" / "video0.webm")
    moved = folder.rename(folder.with_name("moved"))
    rows = load_rows("msrvtt", "retrieval", annotation_dir=moved)
    assert rows["train"][0]["video"] == str(moved / "videos" / "video0.webm")


def test_unchanged_files_come_from_the_cache(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "own cache"
    captions(folder, cache_dir=cache)
    arrow = {path: path.stat().st_mtime_ns for path in cache.rglob("*.arrow")}
    assert len(arrow) == 2
    time.sleep(0.01)
    captions(folder, cache_dir=cache)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.arrow")} == arrow


def test_options_do_not_share_a_cache(folder: Path) -> None:
    videos = {"videos": [{"video_id": f"video{n}", "split": "train" if n else "validate"} for n in range(4)]}
    sentences = [{"sen_id": n, "video_id": f"video{n}", "caption": f"official {n}"} for n in range(3)]
    write_json(folder / "MSRVTT_data.json", videos | {"sentences": sentences})
    write_table(
        folder / "MSRVTT_JSFusion_test.csv",
        [("key", "vid_key", "video_id", "sentence"), ("r", "m", "video3", "t")],
        delimiter=",",
    )
    assert captions(folder)["train"] == ["official 0", "official 1", "official 2"]
    assert captions(folder, scheme="official")["train"] == ["official 1", "official 2"]
    assert captions(folder, form="jsonl")["train"] == [f"caption {n}" for n in range(4)]


# --- Streaming ---


def test_streaming_gives_the_same_rows(folder: Path) -> None:
    (folder / "videos" / "video0.mp4").unlink()
    loaded = load_rows("msrvtt", "retrieval", annotation_dir=folder, missing="drop")
    streamed = datasets_scripts.load("msrvtt", annotation_dir=folder, missing="drop", streaming=True)
    assert all(isinstance(rows, IterableDataset) for rows in streamed.values())
    assert {split: list(rows) for split, rows in streamed.items()} == loaded
    assert [row["id"] for row in streamed["train"].skip(1).take(1)] == ["video2_3"]
    again = pickle.loads(pickle.dumps(streamed["train"]))  # noqa: S301 (made here; workers of a loader do the same)
    assert list(again) == loaded["train"]


def test_streaming_refuses_before_the_first_row(folder: Path) -> None:
    (folder / "videos" / "video2.mp4").unlink()
    with pytest.raises(DatasetError, match="train: 1 missing, such as video2"):
        datasets_scripts.load("msrvtt", annotation_dir=folder, streaming=True)


# --- Arguments ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "msvd"}, "the data set must be one of activitynet_captions, .*, not 'msvd'"),
        ({"config": "caption"}, "msrvtt: config must be one of retrieval, qa, multiple_choice, not 'caption'"),
        ({"missing": "ignore"}, "missing must be one of error, drop, not 'ignore'"),
        ({"form": "csv"}, "form must be one of auto, official, jsonl, not 'csv'"),
        ({"form": "official"}, "form='official', but there are no official files"),
        ({"schema": "7k"}, "msrvtt has no option 'schema'; there is form, scheme"),
        ({"annotation_dir": "nowhere"}, "the annotation folder .*nowhere does not exist"),
        ({"video_dir": "nowhere"}, "the video folder .*nowhere does not exist"),
        ({"video_dir": ".", "image_dir": "."}, "give video_dir or image_dir, not both"),
    ],
)
def test_arguments_out_of_range(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        datasets_scripts.load(**{"name": "msrvtt", "annotation_dir": folder} | arguments)
    assert isinstance(caught.value, ValueError)


def test_rows_are_kept_under_a_hash_of_all_code_that_makes_them() -> None:
    code = {path.relative_to(ROOT / "datasets_scripts").as_posix() for path in _own_code()}
    assert {f"{name}.py" for name in loading.LOADERS} | {"schemas.py"} <= code
    assert {"annotations/builder.py", "annotations/records.py", "annotations/vqa_answers.py"} <= code
    modules = {path.name for path in (ROOT / "datasets_scripts" / "annotations").glob("*.py")}
    assert {name.removeprefix("annotations/") for name in code if name.startswith("annotations/")} == modules


def test_files_of_the_same_name_in_two_folders(folder: Path) -> None:
    for home in ("msrvtt_qa", "other"):
        write_jsonl(folder / "deeper" / home / "dev.jsonl", lines("video0"))
    with pytest.raises(DatasetError, match=r"dev\.jsonl is ambiguous: .*; make annotation_dir the folder of one"):
        load_rows("activitynet_captions", "retrieval", annotation_dir=folder / "deeper")
    write_jsonl(folder / "deeper" / "anet_retrieval" / "dev.jsonl", lines("video1"))  # the published folder wins
    rows = load_rows("activitynet_captions", "retrieval", annotation_dir=folder / "deeper", video_dir=folder)
    assert [row["id"] for row in rows["val1"]] == ["video1"]


def test_every_loader_is_a_builder_with_a_name_and_configurations() -> None:
    for name in loading.LOADERS:
        builder = loading.builder_class(name)
        assert name == builder.NAME
        assert list(builder.builder_configs) == list(builder.CONFIGS)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, datasets_scripts; print(sorted({'torch', 'datasets', 'transformers', 'av'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        datasets_scripts.nothing  # noqa: B018


# --- What was found in long annotation files is kept ---


@pytest.fixture
def surveys(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Those that were made, with short files kept too."""
    made: list[Any] = []

    def counted(*arguments: Any) -> Any:
        made.append(survey(*arguments))
        return made[-1]

    monkeypatch.setattr(survey_cache, "WORTH_KEEPING", 3)
    monkeypatch.setattr(survey_cache, "survey", counted)
    return made


def test_annotations_that_did_not_change_are_surveyed_once(folder: Path, surveys: list[Any]) -> None:
    first = datasets_scripts.create_builder("msrvtt", "retrieval", annotation_dir=folder)
    again = datasets_scripts.create_builder("msrvtt", "retrieval", annotation_dir=folder)
    assert len(surveys) == 1
    assert again.report == first.report
    assert again._paths == first._paths
    assert again.cache_dir == first.cache_dir
    moved = folder / "elsewhere"
    (folder / "videos").rename(moved)
    other = datasets_scripts.create_builder("msrvtt", "retrieval", annotation_dir=folder)
    assert len(surveys) == 1
    assert {Path(path).parent for path in other._paths.values()} == {moved}
    assert other.cache_dir != first.cache_dir
    write_jsonl(folder / "test.jsonl", lines("video1"))
    assert captions(folder)["test"] == ["caption 0"]
    assert len(surveys) == 2


def test_a_file_that_went_is_missed_although_the_survey_is_kept(folder: Path, surveys: list[Any]) -> None:
    captions(folder)
    (folder / "videos" / "video2.mp4").unlink()
    for number in (2, 3):  # what misses something is not kept
        with pytest.raises(DatasetError, match=r"train: 1 missing, such as video2 \(.*train\.jsonl, line 4\)"):
            captions(folder)
        assert len(surveys) == number


def test_short_files_keep_nothing(folder: Path, surveys: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_cache, "WORTH_KEEPING", 6)
    captions(folder)
    captions(folder)
    assert len(surveys) == 2
