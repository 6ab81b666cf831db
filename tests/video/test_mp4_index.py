"""The index of mp4 files: boxes written by hand, and files whose packets tell the same."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import pytest
from video_files import RECIPES, read_numbers, real_clip, write_video

from clipbert_hf.errors import VideoDecodeError
from clipbert_hf.video.mp4_index import read_composition_offsets
from clipbert_hf.video.packet_table import PacketRow, build_packet_table
from clipbert_hf.video.pyav_reader import PyAVReader
from clipbert_hf.video.sources import EncodedVideo

# -- by hand -----------------------------------------------------------------------------------------------------


def box(kind: bytes, *contents: bytes, long: bool = False) -> bytes:
    content = b"".join(contents)
    if long:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), kind) + content


def numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}i", *values)


def sizes_box(*sizes: int, count: int | None = None) -> bytes:
    return box(b"stsz", numbers(0, 0, len(sizes) if count is None else count, *sizes))


def offsets_box(*runs: tuple[int, int], count: int | None = None) -> bytes:
    return box(b"ctts", numbers(0, len(runs) if count is None else count), *(numbers(*run) for run in runs))


def track(number: int, *tables: bytes, version: int = 0) -> bytes:
    times = bytes(8 if version == 0 else 16)
    header = box(b"tkhd", bytes([version, 0, 0, 7]), times, numbers(number), bytes(60))
    return box(b"trak", header, box(b"mdia", box(b"mdhd", bytes(24)), box(b"minf", box(b"stbl", *tables))))


def movie(*tracks: bytes) -> bytes:
    return box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", bytes(100)), *tracks) + box(b"mdat", bytes(60))


GOOD = (sizes_box(30, 10, 20), offsets_box((1, 2), (2, -1)))


def read(data: bytes, sizes: tuple[int, ...] = (30, 10, 20), number: int = 2) -> list[int] | None:
    """Read track 2 of a file whose last bytes are its packets."""
    places = len(data) - 60 + np.cumsum((0, *sizes[:-1]))
    offsets = read_composition_offsets(io.BytesIO(data), track_id=number, places=places, sizes=np.array(sizes))
    return None if offsets is None else offsets.tolist()


@pytest.mark.parametrize(
    "data",
    [
        movie(track(1, sizes_box(5), offsets_box((1, 9))), track(2, *GOOD)),
        movie(track(2, *GOOD, version=1)),
        box(b"free", bytes(9), long=True) + movie(track(2, box(b"stsd", bytes(30)), *GOOD[::-1])),
    ],
)
def test_offsets_are_found(data: bytes) -> None:
    assert read(data) == [2, -1, -1]


def test_without_offsets_packets_are_shown_as_they_are_decoded() -> None:
    assert read(movie(track(2, sizes_box(30, 10, 20)))) == [0, 0, 0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no mp4 file at all, but text",
        movie(track(1, *GOOD)),  # another track
        movie(track(2, GOOD[1])),  # no sizes
        movie(track(2, sizes_box(30, 10, 21), GOOD[1])),  # other packets
        movie(track(2, sizes_box(30, 10), GOOD[1])),  # fewer
        movie(track(2, sizes_box(30, 10, 20, 20), GOOD[1])),  # more
        movie(track(2, sizes_box(30, 10, 20, count=2), GOOD[1])),  # a count that is wrong
        movie(track(2, GOOD[0], offsets_box((1, 2), (3, -1)))),  # an offset too many
        movie(track(2, GOOD[0], offsets_box((1, 2), (-1, 5), (3, -1)))),  # no number of packets
        movie(track(2, GOOD[0], offsets_box((1, 2), (2, -1), count=1))),
        movie(track(2, GOOD[0], offsets_box((3, 1 << 28)))),  # FFmpeg does not believe that
        movie(track(2, GOOD[0], box(b"ctts", numbers(0, 2, 1)))),  # cut short
        movie(*(box(b"free") for _ in range(1000)), track(2, *GOOD)),  # a waste of time
        box(b"free", long=True)[:15] + movie(track(2, *GOOD)),
        movie(track(2, *GOOD))[:200] + bytes(60),  # boxes that do not fit
        movie(box(b"trak", box(b"tkhd", bytes([0, 0, 0, 7]), bytes(8), numbers(2), bytes(60)))),
    ],
)
def test_what_is_unusual_is_left_alone(data: bytes) -> None:
    assert read(data) is None


def test_packets_must_be_there() -> None:
    data = movie(track(2, *GOOD))
    assert read(data[:-1]) == [2, -1, -1]  # its packets seem to lie a byte further ahead
    sizes = np.array([30, 10, 20])
    for places, wrong in ((np.array([0, 30, len(data) - 19]), sizes), (np.zeros(3, int), sizes * [1, 0, 1])):
        assert read_composition_offsets(io.BytesIO(data), track_id=2, places=places, sizes=wrong) is None
    nothing = np.zeros(0, dtype=np.int64)
    assert read_composition_offsets(io.BytesIO(data), track_id=2, places=nothing, sizes=nothing) is None


# -- real files --------------------------------------------------------------------------------------------------

MP4 = {recipe.name: recipe for recipe in RECIPES if recipe.name.endswith((".mp4", ".mov"))}
# Packets in fragments, of one size that is named only once, or before what the edit list keeps.
UNUSUAL = {"fragmented.mp4", "frame-fragments.mp4", "one-frame.mp4", "negative-times.mp4"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


def packets_of(path: Path) -> tuple[int, list[Any]]:
    """The track and the packets of a video."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert stream is not None
        return stream.id, [packet for packet in container.demux(stream) if packet.size]


@pytest.mark.parametrize("name", MP4)
def test_the_index_tells_what_the_packets_tell(name: str, folder: Path) -> None:
    path, _ = MP4[name].write(folder)
    number, packets = packets_of(path)
    with path.open("rb") as file:
        offsets = read_composition_offsets(
            file,
            track_id=number,
            places=np.array([packet.pos for packet in packets]),
            sizes=np.array([packet.size for packet in packets]),
        )
    assert (offsets is None) == (name in UNUSUAL)
    if offsets is not None:
        delays = np.array([packet.pts - packet.dts for packet in packets])
        assert len(set((delays - offsets).tolist())) == 1
    reader = PyAVReader(EncodedVideo(name=name, path=str(path)))
    if reader.table is not None:
        rows = [PacketRow(each.pts, each.dts, each.is_keyframe, each.is_discard) for each in packets]
        expected = build_packet_table(rows, seeks_by_dts=True)
        assert expected is not None
        for field in ("pts", "position", "keyframe"):
            np.testing.assert_array_equal(getattr(reader.table, field), getattr(expected, field))
        assert reader.table.position_by_pts == expected.position_by_pts
        assert reader.table.keyframes == expected.keyframes
        assert (reader.table.closed, reader.table.trimmed) == (expected.closed, expected.trimmed)
    reader.close()


@dataclass(frozen=True)
class WatchedVideo(EncodedVideo):
    """Notes which parts of the file are read."""

    notes: list[tuple[int, int]] | None = None

    def open(self) -> BinaryIO:
        notes = self.notes
        assert notes is not None

        class Watched(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                place = self.tell()
                content = super().read(size)
                notes.append((place, place + len(content)))
                return content

        return Watched(self.data or b"")


def test_a_long_file_is_opened_without_reading_it(folder: Path) -> None:
    path = folder / "long.mp4"
    noise = np.random.default_rng(0).integers(0, 256, size=(64, 128, 192, 3), dtype=np.uint8)
    write_video(path, list(noise), options={"g": "8", "bf": "2", "preset": "ultrafast", "crf": "10"})
    data = path.read_bytes()
    notes: list[tuple[int, int]] = []
    reader = PyAVReader(WatchedVideo(name="long", data=data, notes=notes))
    assert reader.frames == 64
    touched = np.zeros(len(data), dtype=bool)
    for start, end in notes:
        touched[start:end] = True
    assert touched.mean() < 0.25
    reader.close()


def test_a_file_without_its_last_packet_is_cut_short(folder: Path) -> None:
    path, _ = MP4["faststart.mp4"].write(folder)
    cut = folder / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(VideoDecodeError, match=r"cut short: its index lists 40 packets, 39 are there"):
        PyAVReader(EncodedVideo(name="cut", path=str(cut)))


# -- seeking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b-frames.mp4", "open-gop.mp4", "trimmed.mp4", "hevc.mp4", "fragmented.mp4"])
def test_seeking_finds_the_keyframe_itself(name: str, folder: Path) -> None:
    path, numbered = MP4[name].write(folder)
    reader = PyAVReader(EncodedVideo(name=name, path=str(path)))
    assert reader.table is not None
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for keyframe in reader.table.keyframes.values():
            container.seek(keyframe.seek_time, stream=stream)
            assert next(container.demux(stream)).pts == keyframe.pts
    assert read_numbers(reader.read([0, reader.frames - 1])) == [numbered[0], numbered[-1]]
    reader.close()


def test_real_clips_have_their_packets_in_the_index() -> None:
    path = real_clip("bikes")
    _, packets = packets_of(path)
    reader = PyAVReader(EncodedVideo(name="bikes", path=str(path)))
    assert reader.table is not None
    assert reader.table.pts.tolist() == sorted(packet.pts for packet in packets)
    assert list(reader.table.keyframes) == [0, 30, 76, 137, 187, 242]
    assert reader.frames == len(packets) == 250
    reader.close()
