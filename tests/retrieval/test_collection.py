"""What is taken for a collection, and the content of its videos."""

from __future__ import annotations

import hashlib
import os

import pytest
import torch

from clipbert_hf import DecodingLimits, InvalidInputError, VideoDecodeError
from clipbert_hf.retrieval import PairScorer
from clipbert_hf.retrieval.collection import known_again, list_items, read_content
from clipbert_hf.retrieval.fingerprint import fingerprint

LIMITS = DecodingLimits()


def test_a_folder(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/two.MP4", "one.webm", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    items = list_items(tmp_path)
    assert [item.name for item in items] == [str(tmp_path / "one.webm"), str(tmp_path / "b/two.MP4")]
    assert (items[0].size, items[0].modified) == (8, os.stat(tmp_path / "one.webm").st_mtime_ns)
    assert read_content(items[0], LIMITS)[1:] == (hashlib.sha256(b"one.webm").hexdigest(), 8)
    assert known_again(items[0].name) == items[0]
    (tmp_path / "one.webm").unlink()
    assert known_again(items[0].name).size == -1
    with pytest.raises(VideoDecodeError, match="no such file"):
        read_content(items[0], LIMITS)


def test_rows_with_columns(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"abc")
    rows = [{"video": path, "title": "A"}, {"video": {"path": "row 1", "bytes": b"xyz"}, "title": "B"}, "https://x/y"]
    items = list_items(rows)
    assert [item.name for item in items] == [str(path), "row 1", "https://x/y"]
    assert [item.columns for item in items] == [{"title": "A"}, {"title": "B"}, {}]
    source, digest, size = read_content(items[1], LIMITS)
    assert (source["bytes"], digest, size) == (b"xyz", items[1].digest, 3)


def test_a_folder_of_frames(tmp_path):
    for name, content in (("frame1.png", b"one"), ("frame2.png", b"two")):
        (tmp_path / name).write_bytes(content)
    (item,) = list_items([tmp_path])
    _, before, size = read_content(item, LIMITS)
    assert size == 6
    (tmp_path / "frame2.png").rename(tmp_path / "frame0.png")
    assert read_content(item, LIMITS)[1] != before


def test_what_is_no_collection(tmp_path):
    calls = {
        "found none": tmp_path,
        "no folder": tmp_path / "nothing",
        "occurs twice": ["a.mp4", "./a.mp4"],
        "position 0": [b"bytes without a name"],
        "iterable": {"video": "a.mp4"},
    }
    for message, videos in calls.items():
        with pytest.raises(InvalidInputError, match=message):
            list_items(videos)


def test_a_fingerprint_tells_what_changed(saved):
    scorer = PairScorer.from_pretrained(saved, device="cpu")
    before = fingerprint(scorer.model, scorer.processor, {})
    assert fingerprint(scorer.model, scorer.processor, {"decoding_backend": "pyav"}) == before
    other = fingerprint(scorer.model, scorer.processor, {"num_frames": 1})
    assert {name for name in before if before[name] != other[name]} == {"preprocessing"}
    with torch.no_grad():
        scorer.model.classifier[0].bias.add_(1)
    other = fingerprint(scorer.model, scorer.processor, {})
    assert {name for name in before if before[name] != other[name]} == {"weights"}
