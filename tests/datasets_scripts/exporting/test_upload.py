"""Exports are uploaded over real HTTP to a stand-in for the Hub, go on after a kill, and are read by name."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Repository, serve
from miniature_files import write_jsonl, write_media

import datasets_scripts
from datasets_scripts import DatasetError
from datasets_scripts.export import push_to_hub

ROOT = Path(datasets_scripts.__file__).parents[1]
OLD = {"retrieval/train-00000-of-00009.parquet": b"old", "own.txt": b"kept", "qa/train-00000-of-00001.parquet": b"kept"}
READ = """
import base64, json, sys
from datasets import load_dataset
rows = load_dataset("team/clips", "retrieval", split="train", streaming=sys.argv[1] == "streaming")
print(json.dumps([[row["id"], base64.b64encode(row["video"]["bytes"]).decode()] for row in rows]))
"""


@pytest.fixture
def hub() -> Iterator[Repository]:
    with serve(Repository("team/clips", dict(OLD))) as repository:
        yield repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = [f"video{number}.mp4" for number in range(6)]
    for number, path in enumerate(write_media(tmp_path / "videos", *names).iterdir()):
        path.write_bytes(path.read_bytes() + b"\0\0\x10\x00free" + bytes([number]) * 4088)
    write_jsonl(tmp_path / "train.jsonl", [{"id": name, "video": name, "caption": name} for name in names])
    return tmp_path


def command(folder: Path, media: str) -> list[str]:
    places = ["--annotation_dir", str(folder), "--video_dir", str(folder / "videos"), "--output", str(folder / "hub")]
    options = ["--media", media, "--shard_size", "8KB", "--push_to_hub", "team/clips", "--private", "--no_progress"]
    return [sys.executable, "-m", "datasets_scripts.export", "custom", "retrieval", *places, *options]


def export(folder: Path, hub: Repository, media: str) -> str:
    environment = hub.environment(folder / "home")
    done = subprocess.run(
        command(folder, media), capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def written(folder: Path) -> dict[str, bytes]:
    paths = [path for path in (folder / "hub").rglob("*") if path.is_file()]
    return {path.relative_to(folder / "hub").as_posix(): path.read_bytes() for path in paths}


def test_the_folder_is_uploaded_and_older_shards_go(hub: Repository, folder: Path) -> None:
    assert f"uploaded to {hub.address}/datasets/team/clips" in export(folder, hub, "files")
    assert hub.created["type"] == "dataset"
    assert hub.created.get("private") is True or hub.created["visibility"] == "private"
    kept = {name: OLD[name] for name in ("own.txt", "qa/train-00000-of-00001.parquet")}
    assert hub.files == written(folder) | kept
    assert "media/video1.mp4" in hub.files


def test_shards_are_read_by_name(hub: Repository, folder: Path) -> None:
    export(folder, hub, "shards")
    names = [f"video{number}.mp4" for number in range(6)]
    assert len(hub.sent) == 6
    for way in ("streaming", "whole"):
        done = subprocess.run(
            [sys.executable, "-c", READ, way],
            capture_output=True,
            text=True,
            cwd=folder,
            env=hub.environment(folder / f"home_{way}"),
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout.splitlines()[-1])
        assert [row[0] for row in rows] == names


def test_a_killed_upload_goes_on(hub: Repository, folder: Path) -> None:
    """Nothing is sent twice, and the card, which makes the new data set readable, comes last."""
    hub.gate = threading.Semaphore(3)  # so many large files are taken, the others wait
    environment = hub.environment(folder / "home")
    run = subprocess.Popen(command(folder, "shards"), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    while len(hub.sent) < 3:
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert hub.files == OLD
    taken = list(hub.sent)
    hub.gate = threading.Semaphore(100)
    assert "shards: 6, 0 of them by this run" in export(folder, hub, "shards")
    assert len(hub.sent) == len(set(hub.sent)) == 6
    assert hub.sent[:3] == taken
    assert set(hub.commits[-1][1]) == {"README.md", "export.json"}
    assert b"path: retrieval/train-*-of-00006.parquet" in hub.files["README.md"]
    assert hub.files["retrieval/shards.jsonl"] == (folder / "hub" / "retrieval" / "shards.jsonl").read_bytes()
    assert "retrieval/train-00000-of-00009.parquet" not in hub.files


def test_what_stops_an_upload_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "export.json").write_text('{"name": "custom", "configs": {}}')
    with pytest.raises(DatasetError, match="has an export that was stopped: give its command again first"):
        push_to_hub(tmp_path, "team/clips")
    (tmp_path / "export.json").write_text('{"name": "custom", "configs": {"qa": {}}}')
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DatasetError, match="the upload to team/clips stopped, the same command goes on: OfflineMode"):
        push_to_hub(tmp_path, "team/clips")
