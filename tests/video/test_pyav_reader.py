"""The PyAV back end: by table or in order, and opened with or without decoding the beginning."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from video_files import (
    RECIPES,
    Recipe,
    read_numbers,
    real_clip,
)

from clipbert_hf.video.pyav_reader import PyAVReader
from clipbert_hf.video.reading import open_video
from clipbert_hf.video.sources import EncodedVideo


def test_reading_by_table_and_in_order_agree() -> None:
    with open_video(real_clip("carphone_pristine")) as video:
        assert isinstance(video, PyAVReader)
        assert video.table is not None
        by_table = video.read([3, 50, 119])
        video.table = None
        assert torch.equal(by_table, video.read([3, 50, 119]))


def test_keyframes_that_are_none_make_the_reader_count(numbered: Callable[[str], tuple[Path, list[int]]]) -> None:
    path, numbers = numbered("intra-refresh.mp4")
    with open_video(path) as video:
        assert isinstance(video, PyAVReader)
        assert video.table is not None
        assert read_numbers(video.read([5])) == [numbers[5]]  # the first keyframe is a true one
        assert video.table is not None
        assert read_numbers(video.read([33, 12])) == [numbers[33], numbers[12]]
        assert video.table is None


OPENED_UNPROBED = [recipe for recipe in RECIPES if recipe.name.endswith((".mp4", ".mov", ".3gp"))]


def open_probed(path: Path) -> PyAVReader:
    """As if the file were none that says everything by itself."""
    reader = PyAVReader(EncodedVideo(name=str(path), path=str(path)))
    reader._open(probes=True)
    reader._index()
    return reader


@pytest.mark.parametrize("recipe", OPENED_UNPROBED, ids=lambda recipe: recipe.name)
def test_opening_without_probing_tells_the_same(
    recipe: Recipe, numbered: Callable[[str], tuple[Path, list[int]]]
) -> None:
    path, numbers = numbered(recipe.name)
    with open_video(path) as fast, open_probed(path) as probed:
        for name in ("info", "codec", "container", "stream_index", "video_streams", "picture"):
            assert getattr(fast, name) == getattr(probed, name), name
        assert np.array_equal(fast.frame_seconds, probed.frame_seconds)
        indices = np.random.default_rng(1).integers(0, len(numbers), size=6)
        assert torch.equal(fast.read(indices), probed.read(indices))


def test_usual_files_stay_unprobed(plain: Path) -> None:
    with open_video(plain) as video:
        assert isinstance(video, PyAVReader)
        video.read([3, 30])
        assert (video.info.height, video.info.width) == (48, 64)
        assert video.table is not None
        assert not video._is_probed


@pytest.mark.parametrize("asks_first", ["size", "frames", "keyframes"])
def test_a_file_that_says_another_size_than_its_stream(plain: Path, tmp_path: Path, asks_first: str) -> None:
    """The stream is right."""
    data = plain.read_bytes()
    entry = data.index(b"avc1", data.index(b"stsd")) + 4
    size = slice(entry + 24, entry + 28)
    assert data[size] == struct.pack(">HH", 64, 48)
    path = tmp_path / "other-size.mp4"
    path.write_bytes(data[: size.start] + struct.pack(">HH", 80, 40) + data[size.stop :])
    with open_video(path) as video, open_video(plain) as expected:
        assert isinstance(video, PyAVReader)
        if asks_first == "size":
            assert (video.info.height, video.info.width) == (48, 64)
        if asks_first == "keyframes":
            assert video.starts_afresh(np.array([20]))
        assert torch.equal(video.read([20, 5]), expected.read([20, 5]))
        assert (video.info.height, video.info.width) == (48, 64)


@pytest.mark.parametrize(
    ("noted", "fps"),
    [("23.976023976023978", 23.976023976023978), ("7.5e-05", 7.5e-05), ("nan", 10), ("-3", 10), ("1e99", 10), ("", 10)],
)
def test_prepared_videos_note_the_rate_of_their_originals(noted: str, fps: float, plain: Path, tmp_path: Path) -> None:
    """Not all that may stand there is a rate."""
    with av.open(str(plain)) as source:
        stream = source.streams.video[0]
        with av.open(str(tmp_path / "a.mp4"), "w", options={"movflags": "use_metadata_tags"}) as target:
            target.metadata["clipbert_frame_rate"] = noted
            copy = target.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    target.mux(packet)
    with open_video(tmp_path / "a.mp4") as video:
        assert video.fps == fps
