"""The command on real files: loaders take its folder, it goes on after a kill, and it refuses what does not fit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from miniature_files import load_rows, write_jsonl, write_media
from PIL import Image
from prepared_comparison import assert_same_to_the_reader
from video_files import write_video

import datasets_scripts
from clipbert_hf.training.data.loaders import VideoDataset, create_loader
from clipbert_hf.training.data.prepared import check_prepared_size
from clipbert_hf.training.recipe import RecipeError
from clipbert_hf.video.reading import probe_video
from datasets_scripts import DatasetError, prepare
from datasets_scripts.annotations.media import MediaFolder
from datasets_scripts.execution import record
from datasets_scripts.preparation.all_videos import prepare_videos
from datasets_scripts.preparation.encoding import EncodingSettings

ROOT = Path(datasets_scripts.__file__).parents[1]
ACCENTED = unicodedata.normalize("NFC", "Möwen über Öland 海")


def write_annotations(folder: Path, names: list[str]) -> None:
    rows = [{"video": name, "question": "what ?", "answer": "a"} for name in names]
    write_jsonl(folder / "train.jsonl", rows)


def arguments(folder: Path, *more: str) -> list[str]:
    places = ["--annotation_dir", str(folder), "--video_dir", str(folder / "videos"), "--output", str(folder / "out")]
    return ["custom", "qa", *places, "--no_progress", *more]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Videos with folders, the same stem twice, an accent, and a folder of frames."""
    videos = tmp_path / "videos"
    write_media(videos, "train/a.avi", "b.mp4", "b.gif", "b.mov", f"{ACCENTED}.webm", "v_1.5.mkv")
    (videos / "frames").mkdir()
    for number in range(3):
        Image.fromarray(np.full((64, 64, 3), 80 * number, np.uint8)).save(videos / "frames" / f"{number}.png")
    decomposed = unicodedata.normalize("NFD", ACCENTED)
    absolute = str(videos / "v_1.5.mkv")
    write_annotations(tmp_path, ["a", "b", "b.gif", "b.mov", decomposed, absolute, "frames", "train/a.avi"])
    return tmp_path


def video_of(row: dict[str, object]) -> Path:
    return Path(str(row["video"]))


def test_loaders_take_the_prepared_folder_in_place_of_the_videos(folder: Path, capsys: pytest.CaptureFixture) -> None:
    before = {path: path.read_bytes() for path in (folder / "videos").rglob("*") if path.is_file()}
    assert prepare.main(arguments(folder, "--workers", "2")) == 0
    assert "out: 7 videos prepared, 7 of them by this run" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in (folder / "videos").rglob("*") if path.is_file()} == before
    originals, prepared = (
        load_rows("custom", "qa", annotation_dir=folder, video_dir=folder / name, quiet=True)["train"]
        for name in ("videos", "out")
    )
    assert [row | {"video": ""} for row in prepared] == [row | {"video": ""} for row in originals]
    for one, other in zip(originals, prepared, strict=True):
        name = video_of(one).relative_to(folder / "videos").as_posix()
        expected = name if name.endswith(".mp4") else f"{name}.mp4"
        assert video_of(other).relative_to(folder / "out").as_posix() == expected
        assert_same_to_the_reader(video_of(one), video_of(other))
    report = json.loads((folder / "out" / "prepared_report.json").read_text())
    assert (report["prepared"], report["failed"], report["missing"]) == (7, {}, {})
    assert report["lowest_psnr"] > 30


def test_what_cannot_be_prepared_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torn = folder / "videos" / "b.mov"
    torn.write_bytes(torn.read_bytes()[:-200])
    write_annotations(folder, ["a", "b.mov", "nowhere"])
    other = folder / "report.json"
    assert prepare.main(arguments(folder, "--report", str(other))) == 1
    printed = capsys.readouterr().out
    assert "1 missing, 1 not prepared\n  missing       nowhere (" in printed
    assert f"not prepared  {torn}: " in printed
    report = json.loads((folder / "out" / "prepared_report.json").read_text())
    assert report == json.loads(other.read_text())
    assert (report["prepared"], list(report["failed"])) == (1, [str(torn)])
    names = sorted(path.name for path in (folder / "out").rglob("*") if path.is_file())
    assert names == ["a.avi.mp4", "prepared.json", "prepared.jsonl", "prepared_report.json"]


def test_a_second_run_does_what_is_new_or_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(arguments(folder)) == 0
    kept, lost, changed = (folder / "out" / name for name in ("b.gif.mp4", "b.mp4", "b.mov.mp4"))
    times = {path: path.stat().st_mtime_ns for path in (kept, lost, changed)}
    lost.unlink()
    write_video(folder / "videos" / "b.mov", [np.full((48, 64, 3), 200, np.uint8)] * 7)
    (folder / "out" / "train" / ".a.avi.mp4.77.part").write_text("half of it")
    with (folder / "out" / "prepared.jsonl").open("a") as lines:
        lines.write('{"name": "b.mp4", "torn')
    capsys.readouterr()
    assert prepare.main(arguments(folder)) == 0
    assert "7 videos prepared, 2 of them by this run" in capsys.readouterr().out
    assert kept.stat().st_mtime_ns == times[kept]
    assert lost.exists()
    assert probe_video(changed).frames == 7
    assert not list((folder / "out").rglob("*.part"))
    assert prepare.main(arguments(folder)) == 0
    assert "7 videos prepared, 0 of them by this run" in capsys.readouterr().out


def test_what_is_no_longer_good_enough_does_not_stay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(arguments(folder)) == 0
    lines = [json.loads(line) for line in (folder / "out" / "prepared.jsonl").read_text().splitlines()]
    lines.sort(key=lambda line: line["lowest_psnr"])
    worst, best = lines[0], lines[-1]
    assert worst["lowest_psnr"] < best["lowest_psnr"]
    torn = Path(best["source"])
    assert prepare.main(arguments(folder, "--lowest_psnr", str(worst["lowest_psnr"]))) == 0
    torn.write_bytes(torn.read_bytes()[:-200])
    bound = (worst["lowest_psnr"] + best["lowest_psnr"]) / 2
    capsys.readouterr()
    assert prepare.main(arguments(folder, "--lowest_psnr", str(bound))) == 1
    assert "a frame is too unlike its original" in capsys.readouterr().out
    failed = json.loads((folder / "out" / "prepared_report.json").read_text())["failed"]
    assert {worst["source"], str(torn)} <= {*failed}
    for line in lines:
        assert (folder / "out" / line["name"]).exists() == (line["source"] not in failed)


def test_a_killed_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"clip{number}" for number in range(24)]
    pictures = np.random.default_rng(0).integers(0, 256, (40, 12, 16, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "clip0.mkv", list(pictures))
    for name in names[1:]:
        os.link(tmp_path / "videos" / "clip0.mkv", tmp_path / "videos" / f"{name}.mkv")
    write_annotations(tmp_path, names)
    command = [sys.executable, "-m", "datasets_scripts.prepare", *arguments(tmp_path, "--workers", "2")]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = tmp_path / "out" / "prepared.jsonl"
    deadline = time.monotonic() + 60
    while not (lines.exists() and lines.read_bytes().count(b"\n") >= 3):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.wait()
    for path in (tmp_path / "out").glob("clip*.mp4"):  # a name means a whole file
        assert probe_video(path).frames == 40
    assert prepare.main(arguments(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "24 videos prepared" in printed
    assert "24 of them by this run" not in printed
    assert sorted(path.name for path in (tmp_path / "out").glob("*.mp4")) == sorted(f"{name}.mkv.mp4" for name in names)
    assert not list((tmp_path / "out").rglob(".*.part"))


def test_one_run_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "_PAUSE", 0.001)
    assert prepare.main(arguments(folder)) == 0
    other = record.RecordWriter(folder / "out" / "prepared.jsonl", "busy")
    try:
        with pytest.raises(DatasetError, match="another run is preparing videos into"):
            prepare_videos([str(folder / "videos" / "b.mp4")], folder / "videos", folder / "out")
    finally:
        other.close()


REFUSED = [
    (["--longest_edge", "768"], "prepared with longest_edge 448, but longest_edge 768 was asked for"),
    (["--quality", "30"], "prepared with quality 23.0, but quality 30.0 was asked for"),
    (["--longest_edge", "447"], "longest_edge must be an even number from 16 to 8192, not 447"),
    (["--keyframe_every", "0"], "keyframe_every must be at least 1, not 0"),
    (["--quality", "-1"], "quality must be from 0 (lossless) to 51, not -1"),
    (["--lowest_psnr", "nan"], "lowest_psnr must be a number of decibels of at least 0, not nan"),
    (["--lowest_psnr", "inf"], "lowest_psnr must be a number of decibels of at least 0, not inf"),
    (["--workers", "0"], "workers must be at least 1, not 0"),
]


def test_what_does_not_fit_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(arguments(folder)) == 0
    before = sorted(path.stat().st_mtime_ns for path in (folder / "out").rglob("*"))
    capsys.readouterr()
    for more, message in REFUSED:
        assert prepare.main(arguments(folder, *more)) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert message in error
    for output in (folder, folder / "videos", folder / "videos" / "prepared", folder / "train.jsonl"):
        assert prepare.main([*arguments(folder), "--output", str(output)]) == 2
        assert str(output) in capsys.readouterr().err
    assert sorted(path.stat().st_mtime_ns for path in (folder / "out").rglob("*")) == before
    (folder / "out" / "prepared.json").write_text("{")
    assert prepare.main(arguments(folder)) == 2
    assert "is no record of prepared videos" in capsys.readouterr().err


def test_data_sets_of_images_have_nothing_to_prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_media(tmp_path, "a.jpg")
    write_jsonl(tmp_path / "train.jsonl", [{"image": "a", "caption": "c"}])
    options = ["custom", "image_captions", "--annotation_dir", str(tmp_path), "--output", str(tmp_path / "out")]
    assert prepare.main(options) == 2
    assert "custom image_captions has images, which are read as they are" in capsys.readouterr().err


def test_names_that_would_become_one_are_refused(tmp_path: Path) -> None:
    write_media(tmp_path / "videos", "a.avi", "a.avi.mp4")
    paths = [str(tmp_path / "videos" / name) for name in ("a.avi", "a.avi.mp4")]
    with pytest.raises(DatasetError, match=r"a\.avi and .*a\.avi\.mp4 would both be prepared as a\.avi\.mp4"):
        prepare_videos(paths, tmp_path / "videos", tmp_path / "out")


def test_paths_may_be_relative_but_not_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_media(tmp_path / "videos", "a.avi")
    write_media(tmp_path, "b.avi")
    monkeypatch.chdir(tmp_path)
    (video,) = prepare_videos(["videos/a.avi"], "videos", "out").videos
    assert (video.name, video.source) == ("a.avi.mp4", str(tmp_path / "videos" / "a.avi"))
    with pytest.raises(DatasetError, match=r"b\.avi is not in media_dir, .*videos"):
        prepare_videos(["b.avi"], "videos", "other")


def test_of_one_stem_with_several_endings_the_same_is_taken_as_before(tmp_path: Path) -> None:
    endings = (".gif", ".mov", ".avi", ".mp4", ".webm")
    for number in range(1, len(endings) + 1):
        home = tmp_path / str(number)
        write_media(home / "originals", *(f"b{ending}" for ending in endings[:number]))
        write_media(home / "prepared", *(f"b{ending}.mp4".replace(".mp4.mp4", ".mp4") for ending in endings[:number]))
        originals, prepared = MediaFolder(home / "originals", "video"), MediaFolder(home / "prepared", "video")
        for wanted in ("b", *(f"b{ending}" for ending in endings[:number])):
            before, after = originals.find(wanted), prepared.find(wanted)
            assert before is not None
            assert after is not None
            assert Path(after).name.removesuffix(".mp4") == Path(before).name.removesuffix(".mp4")


# --- The size that a run wants ---


def test_videos_prepared_too_small_are_an_error_before_training(tmp_path: Path) -> None:
    for name, width in (("large", 320), ("small", 96)):
        (tmp_path / "videos").mkdir(exist_ok=True)
        write_video(tmp_path / "videos" / f"{name}.mkv", [np.zeros((64, width, 3), np.uint8)] * 2)
    paths = [str(path) for path in sorted((tmp_path / "videos").iterdir())]
    output = tmp_path / "out"
    assert not prepare_videos(paths, tmp_path / "videos", output, EncodingSettings(longest_edge=160)).failed
    large, small = (str(output / f"{name}.mkv.mp4") for name in ("large", "small"))
    check_prepared_size([large, small], 160)
    check_prepared_size([small], 768)  # its original is no larger
    check_prepared_size(paths, 768)  # these are the originals
    with pytest.raises(RecipeError) as caught:
        check_prepared_size([large, small], 768)
    message = str(caught.value)
    for part in ("longest_edge 160", "resizes to 768", "1 of 2", "320x64 became 160x32", "--longest_edge 768"):
        assert part in message
    (output / "prepared.jsonl").unlink()
    with pytest.raises(RecipeError, match="nothing is recorded of it"):
        check_prepared_size([small], 768)


def test_a_loader_of_a_run_refuses_them(tmp_path: Path) -> None:
    from clipbert_hf import ClipBertVideoProcessor
    from clipbert_hf.training.recipe import ScriptSettings

    class Read:
        processor = ClipBertVideoProcessor(size={"longest_edge": 128})

        def __call__(self, rows: object, generator: object) -> None:
            raise AssertionError

    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", [np.zeros((64, 320, 3), np.uint8)] * 2)
    path, output = str(tmp_path / "videos" / "a.mp4"), tmp_path / "out"
    prepare_videos([path], tmp_path / "videos", output, EncodingSettings(longest_edge=64))
    settings = ScriptSettings(output_dir=str(tmp_path), dataset="custom", data_dir=str(tmp_path), num_workers=0)
    with pytest.raises(RecipeError, match="prepared with longest_edge 64, and this run resizes to 128"):
        create_loader([[{"video": str(output / "a.mp4")}]], Read(), list, settings, training=True)


def test_a_run_on_originals_does_not_go_on_with_prepared_videos(tmp_path: Path) -> None:
    write_media(tmp_path / "videos", "a.mp4")
    path = str(tmp_path / "videos" / "a.mp4")
    for name, longest_edge in (("one", 64), ("moved", 64), ("smaller", 32)):
        prepare_videos([path], tmp_path / "videos", tmp_path / name, EncodingSettings(longest_edge=longest_edge))

    def fingerprint(folder: str) -> str:
        groups = [[{"id": "1", "video": str(tmp_path / folder / "a.mp4")}]]
        return VideoDataset(groups, lambda rows, generator: None, seed=0).fingerprint()

    assert fingerprint("one") == fingerprint("moved")
    assert len({fingerprint(folder) for folder in ("videos", "one", "smaller")}) == 3
