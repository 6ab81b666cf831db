"""Making MovingShapes videos: resumed, never over other data, and by the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from shapes import COUNTS, videos

import datasets_scripts
from datasets_scripts.errors import DatasetError
from datasets_scripts.moving_shapes import MovingShapes, generate, load_moving_shapes, read_plans
from datasets_scripts.moving_shapes.__main__ import main


def test_another_seed_gives_other_videos(folder: Path, tmp_path: Path) -> None:
    generate(tmp_path, seed=4, train=0, validation=0, test=10, progress=False)
    assert not set(videos(tmp_path).values()) & set(videos(folder).values())
    assert [plan.scenes for plan in read_plans(tmp_path, "test")] != [
        plan.scenes for plan in read_plans(folder, "test")[:10]
    ]


def test_resume_writes_only_what_is_missing_or_torn(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    gone, torn, empty = (copy / plan.file for plan in read_plans(copy, "train")[:3])
    gone.unlink()
    torn.write_bytes(torn.read_bytes()[:-500])
    empty.write_bytes(b"")
    done = generate(copy, seed=3, **COUNTS, progress=False)
    assert (done.written, done.kept) == (3, sum(COUNTS.values()) - 3)
    assert videos(copy) == videos(folder)


def test_other_parameters_are_refused_and_nothing_is_overwritten(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts}
    with pytest.raises(DatasetError, match=r"seed 3, but seed 5 was asked for"):
        generate(folder, seed=5, **COUNTS, progress=False)
    with pytest.raises(DatasetError, match=r"scenes \[2, 3\], but scenes \[3, 4\]"):
        load_moving_shapes("retrieval", folder, scenes=(3, 4), progress=False)
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"train": -1}, "train must be a number of videos from 0 to 99999, not -1"),
        ({"train": 0, "validation": 0, "test": 0}, "nothing to generate"),
        ({"scenes": (1, 3)}, r"within 2 to 5, not \(1, 3\)"),
        ({"scenes": (4, 3)}, r"within 2 to 5, not \(4, 3\)"),
        ({"workers": 0}, "workers must be at least 1, not 0"),
    ],
)
def test_options_out_of_range(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        generate(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "must hold a JSON object, not list"), ("{}", "is not a manifest")],
)
def test_damaged_manifest(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "moving_shapes.json").write_text(content)
    with pytest.raises(DatasetError, match=message) as caught:
        generate(tmp_path, test=1)
    assert isinstance(caught.value, ValueError)


# --- Command line ---


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_command_is_resumed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--output", str(tmp_path / "data"), "--seed", "3", "--workers", "2"]
    arguments += [f"--{split}={count}" for split, count in {**COUNTS, "train": 2000}.items()]
    root = Path(datasets_scripts.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "datasets_scripts.moving_shapes", *arguments],
        stderr=subprocess.DEVNULL,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("data/videos/train/*.mp4"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert process.wait() == -9
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, workers))
    there = {path.name for path in tmp_path.glob("data/videos/*/*.mp4")}
    assert 20 <= len(there) < 2000
    with pytest.raises(DatasetError, match="lists 0 videos instead of 2000"):
        MovingShapes(config_name="qa", data_dir=tmp_path / "data")

    smaller = [argument.replace("train=2000", f"train={COUNTS['train']}") for argument in arguments]
    assert main([*smaller, "--no-progress"]) == 0
    summary = capsys.readouterr().out
    kept = len(there & set(videos(folder)))
    assert f"{sum(COUNTS.values()) - kept} videos written, {kept} kept" in summary
    assert "train             80" in summary
    assert {name: videos(tmp_path / "data")[name] for name in videos(folder)} == videos(folder)


def test_command_line_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(folder), "--seed", "9"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {folder} holds videos made with seed 3")
