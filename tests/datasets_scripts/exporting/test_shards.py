"""Shards are read by load_dataset and by our reader, have the same bytes after a kill, and refuse what is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from datasets import Video, load_dataset
from miniature_files import write_jsonl, write_media
from pyarrow import parquet

import datasets_scripts
from clipbert_hf.video.reading import read_video_frames
from datasets_scripts import DatasetError, prepare
from datasets_scripts.execution.processes import Processes
from datasets_scripts.export import Export, export
from datasets_scripts.export import main as export_main
from datasets_scripts.exporting.one_shard import ShardJob, UnshardedError, _verify
from datasets_scripts.exporting.shard_files import Content, write_tar
from datasets_scripts.exporting.shard_plan import Source

ROOT = Path(datasets_scripts.__file__).parents[1]
NAMES = ["a.mp4", "below/b.mp4", "c.mp4", "d.mp4"]


def write_rows(folder: Path, names: list[str], count: int, split: str = "train") -> None:
    """Rows in turns: the first of each video, then the second of each."""
    rows = [
        {"id": f"{split}{number}", "video": names[number % len(names)], "caption": f"caption \u00e9 {number}"}
        for number in range(count)
    ]
    write_jsonl(folder / f"{split}.jsonl", rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten rows of four videos to train, two to test; each video has bytes of its own behind its end."""
    for name in NAMES:
        path = write_media(tmp_path / "videos", name) / name
        path.write_bytes(path.read_bytes() + b"\0\0\x10\x00free" + os.urandom(4088))
    write_rows(tmp_path, NAMES, 10)
    write_rows(tmp_path, NAMES[:2], 2, "test")
    return tmp_path


def shards_of(folder: Path, output: str = "hub", config: str = "retrieval", **options: Any) -> Export:
    builder = datasets_scripts.create_builder(
        "custom", config, annotation_dir=folder, video_dir=folder / "videos", progress=False
    )
    return export(builder, folder / output, media="shards", progress=False, **options)


def content_of(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def expected(folder: Path) -> list[tuple[str, str, str, bytes]]:
    """The rows of a video together, in the order of the videos' first rows."""
    return [
        (f"train{number}", f"caption \u00e9 {number}", name, (folder / "videos" / name).read_bytes())
        for first, name in enumerate(NAMES)
        for number in range(first, 10, 4)
    ]


def parquet_row(row: dict[str, Any]) -> tuple[str, str, str, bytes]:
    return row["id"], row["caption"], row["video"]["path"], row["video"]["bytes"]


def tar_row(row: dict[str, Any]) -> tuple[str, str, str, bytes]:
    return row["json"]["id"], row["json"]["caption"], row["json"]["video"], row["mp4"]["bytes"]


@pytest.mark.parametrize(("form", "as_row"), [("parquet", parquet_row), ("webdataset", tar_row)])
def test_load_dataset_reads_them(form: Any, as_row: Any, folder: Path) -> None:
    """By the folder and by the files, whole and streamed."""
    done = shards_of(folder, shard_format=form, shard_size=15_000, executor=Processes(2))
    assert (done.rows, done.media, done.shards) == ({"train": 10, "test": 2}, 4, (done.shards[0], done.shards[0]))
    assert done.shards[0] >= 3
    ending = {"parquet": "parquet", "webdataset": "tar"}[form]
    files = str(folder / "hub" / "retrieval" / f"train-*.{ending}")
    for rows in (
        load_dataset(str(folder / "hub"), "retrieval", split="train"),
        load_dataset(str(folder / "hub"), "retrieval", split="train", streaming=True),
        load_dataset(form, data_files=files, split="train").cast_column(
            {"parquet": "video", "webdataset": "mp4"}[form], Video(decode=False)
        ),
    ):
        assert [as_row(row) for row in rows] == expected(folder)
    card = yaml.safe_load((folder / "hub" / "README.md").read_text().split("---")[1])
    assert card["license"] == "unknown"
    assert [config["config_name"] for config in card["configs"]] == ["retrieval"]


def test_our_reader_takes_the_bytes(folder: Path) -> None:
    shards_of(folder)
    rows = load_dataset(str(folder / "hub"), "retrieval", split="train", streaming=True)
    row = next(iter(rows))
    found = read_video_frames(row["video"], [0, 1, 0])
    assert np.array_equal(found, read_video_frames(folder / "videos" / "a.mp4", [0, 1, 0]))


def test_the_record_says_which_rows_are_where(folder: Path) -> None:
    shards_of(folder, shard_size=20_000)
    home = folder / "hub" / "retrieval"
    lines = [json.loads(line) for line in (home / "shards.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == [
        *sorted(path.name for path in home.glob("train-*")),
        *sorted(path.name for path in home.glob("test-*")),
    ]
    ids = [row[0] for row in expected(folder)]
    for line in lines:
        content = (home / line["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (line["bytes"], line["sha256"])
        assert len(content) < 20_000 + 4_000
        found = [row["id"] for row in parquet.read_table(home / line["file"], columns=["id"]).to_pylist()]
        assert (found[0], found[-1], len(found)) == (*line["ids"], line["rows"])
        if line["split"] == "train":
            assert found == ids[line["first"] : line["first"] + line["rows"]]


def test_parquet_has_the_bytes_of_a_video_once(folder: Path) -> None:
    write_rows(folder, ["a.mp4"], 50)
    (folder / "test.jsonl").unlink()
    size = (folder / "videos" / "a.mp4").stat().st_size
    assert shards_of(folder).bytes < 2 * size
    tar = shards_of(folder, "tar", shard_format="webdataset")
    assert tar.bytes > 50 * size
    (note,) = tar.notes
    assert note == "tar files have each video again for each of its rows, here 50.0 times; Parquet has it about once"


def test_equal_files_are_stored_once_too(folder: Path) -> None:
    for name in NAMES[1:]:
        (folder / "videos" / name).write_bytes((folder / "videos" / "a.mp4").read_bytes())
    done = shards_of(folder)
    assert done.bytes < 2.7 * (folder / "videos" / "a.mp4").stat().st_size  # two splits, and their texts
    rows = load_dataset(str(folder / "hub"), "retrieval", split="train")
    assert [parquet_row(row) for row in rows] == expected(folder)


def test_large_videos_are_in_row_groups_of_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets_scripts.exporting import shard_files, shard_plan

    for module in (shard_files, shard_plan):
        monkeypatch.setattr(module, "GROUP_BYTES", 15_000)  # of two rows, at about 6,000 bytes a video
    shards_of(folder, executor=Processes(1))
    file = parquet.ParquetFile(folder / "hub" / "retrieval" / "train-00000-of-00001.parquet")
    counts = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert counts == [2, 1, 2, 1, 2, 2]
    assert [parquet_row(row) for row in file.read().to_pylist()] == expected(folder)


def test_videos_of_several_endings_in_tar_files(folder: Path) -> None:
    write_media(folder / "videos", "e.gif", "f.webm")
    write_rows(folder, [*NAMES, "e.gif", "f.webm"], 6)
    done = shards_of(folder, shard_format="webdataset")
    assert done.notes == ["the videos have several endings, so in the tar files all are called .video"]
    rows = list(load_dataset(str(folder / "hub"), "retrieval", split="train"))
    assert [row["json"]["video"] for row in rows] == [*NAMES, "e.gif", "f.webm"]
    assert rows[4]["video"]["bytes"] == (folder / "videos" / "e.gif").read_bytes()


def test_images_and_nested_columns(tmp_path: Path) -> None:
    write_media(tmp_path / "videos", "a.jpg")
    row = {"id": "1", "image": "a.jpg", "question": "q", "answers": [], "people_answers": ["x"], "answer_type": ""}
    write_jsonl(tmp_path / "train.jsonl", [row])
    content = (tmp_path / "videos" / "a.jpg").read_bytes()
    shards_of(tmp_path, "parquet", "image_qa")
    (found,) = load_dataset(str(tmp_path / "parquet"), "image_qa", split="train")
    assert found == {**row, "image": {"bytes": content, "path": "a.jpg"}}
    shards_of(tmp_path, "tar", "image_qa", shard_format="webdataset")
    (found,) = load_dataset(str(tmp_path / "tar"), "image_qa", split="train")
    assert found["json"] == row
    assert found["jpg"]["bytes"] == content


def test_prepared_videos_go_into_shards(folder: Path) -> None:
    command = ["custom", "retrieval", "--annotation_dir", str(folder), "--video_dir", str(folder / "videos")]
    assert prepare.main([*command, "--output", str(folder / "small"), "--longest_edge", "32", "--no_progress"]) == 0
    command[-1] = str(folder / "small")
    assert export_main([*command, "--output", str(folder / "hub"), "--media", "shards", "--no_progress"]) == 0
    row = next(iter(load_dataset(str(folder / "hub"), "retrieval", split="train", streaming=True)))
    assert row["video"]["bytes"] == (folder / "small" / "a.mp4").read_bytes()
    card = (folder / "hub" / "README.md").read_text()
    assert "the videos are not the originals but prepared once from them: longest_edge 32" in card


# --- Again ---


def test_a_second_export_keeps_what_is_the_same(folder: Path) -> None:
    first = shards_of(folder, shard_size=8_000)
    before = content_of(folder / "hub")
    again = shards_of(folder, shard_size=8_000)
    assert again.shards == (first.shards[0], 0)
    assert again.version == first.version
    assert content_of(folder / "hub") == before
    path = folder / "videos" / "below" / "b.mp4"
    path.write_bytes(path.read_bytes()[:-10] + b"0123456789")
    changed = shards_of(folder, shard_size=8_000)
    assert changed.shards[1] == 2  # one of each split
    assert changed.version != first.version
    rows = load_dataset(str(folder / "hub"), "retrieval", split="train")
    assert [parquet_row(row) for row in rows] == expected(folder)
    assert shards_of(folder, "fresh", shard_size=8_000).version == changed.version
    assert content_of(folder / "fresh") == content_of(folder / "hub")


def test_shards_that_are_no_longer_wanted_go(folder: Path) -> None:
    shards_of(folder, shard_size=8_000)
    shards_of(folder)
    names = sorted(path.name for path in (folder / "hub" / "retrieval").iterdir())
    assert names == ["shards.jsonl", "test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]
    hidden = [path for path in (folder / "hub").iterdir() if path.name.startswith(".")]
    assert hidden == []


@pytest.mark.parametrize("form", ["parquet", "webdataset"])
def test_a_killed_export_goes_on_to_the_same_bytes(form: str, folder: Path) -> None:
    for number in range(40):
        os.link(folder / "videos" / NAMES[number % 4], folder / "videos" / f"v{number}.mp4")
    write_rows(folder, [f"v{number}.mp4" for number in range(40)], 80)
    command = [sys.executable, "-m", "datasets_scripts.export", "custom", "retrieval", "--annotation_dir", str(folder)]
    command += ["--video_dir", str(folder / "videos"), "--media", "shards", "--shard_size", "8KB", "--no_progress"]
    command += ["--workers", "2", "--shard_format", form, "--output"]
    environment = os.environ | {"HF_DATASETS_CACHE": str(folder / "cache")}
    run = subprocess.Popen([*command, str(folder / "hub")], cwd=ROOT, stdout=subprocess.DEVNULL, env=environment)
    record = folder / "hub" / ".retrieval.shards" / "shards.jsonl"
    while not (record.exists() and record.read_bytes().count(b"\n") >= 3):
        assert run.poll() is None
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.wait()
    kept = record.read_bytes().count(b"\n")
    continued = shards_of(folder, shard_format=form, shard_size=8_000)
    whole = shards_of(folder, "whole", shard_format=form, shard_size=8_000)
    assert 0 < continued.shards[1] <= continued.shards[0] - kept + 2
    assert continued.version == whole.version
    assert content_of(folder / "hub") == content_of(folder / "whole")


# --- What does not fit ---


def test_videos_that_cannot_be_sharded_are_all_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = datasets_scripts.create_builder("custom", "retrieval", annotation_dir=folder, video_dir=folder / "videos")
    (folder / "videos" / "a.mp4").unlink()
    (folder / "videos" / "c.mp4").unlink()
    with pytest.raises(DatasetError, match=r"cannot be put into shards: .*a\.mp4: No such file.*c\.mp4: No such file"):
        export(builder, folder / "hub", media="shards", progress=False)
    command = ["custom", "retrieval", "--annotation_dir", str(folder), "--video_dir", str(folder / "videos")]
    command += ["--output", str(folder / "hub"), "--media", "shards", "--no_progress"]
    assert export_main(command) == 2
    assert "2 missing, such as a.mp4" in capsys.readouterr().err
    assert export_main([*command, "--missing", "drop"]) == 0
    assert "train: 5 rows of 2 missing or unreadable files are left out" in (folder / "hub" / "README.md").read_text()


def test_a_video_that_changes_while_it_is_written_is_an_error(folder: Path) -> None:
    class Late(Processes):
        def run(self, do: Any, todo: Any) -> Any:
            (folder / "videos" / "d.mp4").write_bytes(b"shorter")
            (folder / "videos" / "c.mp4").unlink()
            return super().run(do, todo)

    with pytest.raises(DatasetError, match=r"2 shards could not be written; the others are kept\. .*d\.mp4") as caught:
        shards_of(folder, shard_size=8_000, executor=Late(1))
    assert f"{folder}/videos/c.mp4: No such file or directory" in str(caught.value)
    assert f"{folder}/videos/d.mp4 was changed meanwhile" in str(caught.value)
    assert not (folder / "hub" / "retrieval").exists()


def test_a_shard_that_was_written_wrong_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"right")
    source = Source(str(tmp_path / "a"), "a", 5, 0)
    content = Content("retrieval", 0, [source], [(0, {"id": "1", "caption": "c"})], "mp4")
    path = tmp_path / "shard.tar"
    job = ShardJob(str(path), "train", "webdataset", content)
    digests = {0: hashlib.sha256(b"right").hexdigest()}
    write_tar(content, path, lambda _: b"right")
    _verify(job, path, digests)
    write_tar(content, path, lambda _: b"wrong")
    with pytest.raises(UnshardedError, match="the row '1' is not in the file as it was written"):
        _verify(job, path, digests)
    with tarfile.open(path, "w"):
        pass
    with pytest.raises(UnshardedError, match="the row '1' is not in the file"):
        _verify(job, path, digests)
    write_tar(Content("retrieval", 0, [source], content.rows * 2, "mp4"), path, lambda _: b"right")
    with pytest.raises(UnshardedError, match="the file has more rows than were written"):
        _verify(job, path, digests)


def test_options_that_do_not_fit_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards_of(folder)
    (folder / "videos" / "frames").mkdir()
    write_media(folder / "videos" / "frames", "0.jpg")
    command = ["custom", "--annotation_dir", str(folder), "--video_dir", str(folder / "videos"), "--no_progress"]
    command += ["--output", str(folder / "hub"), "--media", "shards"]
    for more, message in (
        (["--shard_size", "many"], "shard_size must be bytes, such as 500MB or 1GiB, not 'many'"),
        (["--shard_size", "0MB"], "shard_size must be at least 1 byte, not 0"),
        (["--workers", "0"], "workers must be at least 1, not 0"),
    ):
        assert export_main([*command, *more]) == 2
        assert message in capsys.readouterr().err
    write_jsonl(folder / "train.jsonl", [{"video": "frames", "question": "q", "answer": "a"}])
    (folder / "test.jsonl").unlink()
    command[1:1] = ["qa"]
    assert export_main([*command, "--shard_format", "webdataset"]) == 2
    assert "holds retrieval as parquet, so qa cannot be webdataset: choose another folder" in capsys.readouterr().err
    assert export_main(command) == 2
    assert "frames is a folder of frames; datasets_scripts.prepare makes a video of it" in capsys.readouterr().err
