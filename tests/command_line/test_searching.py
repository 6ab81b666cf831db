"""``index`` and ``search`` do what VideoIndex does."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import asdict

import pytest

pytest.importorskip("lancedb")

from clipbert_hf.retrieval import VideoIndex


def test_index_update_and_search(clipbert, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(saved / "bikes.mp4", folder)
    (folder / "torn.mp4").write_bytes((saved / "carphone.mp4").read_bytes()[:5000])
    done = clipbert("index", "videos", "--uri", "an.index", "--model", saved / "retrieval")
    assert done.status == 1  # done, but one could not be read
    assert done.out == "an.index: 2 videos; 2 added, 0 unchanged\n"
    assert "warning: 1 videos could not be read" in done.err

    shutil.copy(saved / "carphone.mp4", folder)
    (folder / "torn.mp4").unlink()
    done = clipbert("index", "videos", "--uri", "an.index", "--update", "--workers", "1", "--json")
    assert done.status == 0
    assert json.loads(done.out) == {
        "added": [str(folder / "carphone.mp4")],
        "changed": [],
        "moved": {},
        "removed": [str(folder / "torn.mp4")],
        "unchanged": 1,
        "failed": {},
    }

    found = VideoIndex.open("an.index").search("red circle", top_k=2)
    done = clipbert("search", "an.index", "red circle", "--json", "--top_k", "2")
    printed = json.loads(done.out)
    expected = [json.loads(json.dumps(asdict(each) | {"start": each.start, "end": each.end})) for each in found]
    assert printed == {"results": expected, "stages": [asdict(stage) for stage in found.stages]}
    done = clipbert("search", "an.index", "--video", "videos/bikes.mp4")
    assert str(folder / "carphone.mp4") in done.out
    assert str(folder / "bikes.mp4") not in done.out  # the query is left out


def test_a_list_on_standard_input(clipbert, saved, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{saved / 'bikes.mp4'}\n"))
    options = ["--uri", tmp_path / "an.index", "--model", saved / "retrieval", "--clip_every", "2", "--json"]
    done = clipbert("index", "-", *options)
    assert json.loads(done.out)["added"] == [str(saved / "bikes.mp4")]
    (row,) = VideoIndex.open(tmp_path / "an.index").table.read(["clip_seconds"]).to_pylist()
    assert len(row["clip_seconds"]) == 5  # of ten seconds
