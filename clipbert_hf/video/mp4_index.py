"""What an mp4 file's own index tells of its packets, so that these need not be read to know when they are shown.

FFmpeg makes a list of packets from that index, with all that matters except the time between decoding and showing
each of them, which it keeps to itself. That is read here. It is a shortcut, and whatever is unusual bars it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

_MOST_BOXES = 1000
_LARGEST_OFFSET = 1 << 28  # FFmpeg ignores larger ones


class _Box(NamedTuple):
    """A piece of an mp4 file: what it is called, and where its content starts and ends."""

    kind: bytes
    start: int
    end: int


def read_composition_offsets(
    file: BinaryIO, *, track_id: int, places: np.ndarray, sizes: np.ndarray
) -> np.ndarray | None:
    """Read by how much each packet of a track is shown after it is decoded, up to a constant.

    Args:
        file: The whole file, of which only the index is read.
        track_id: The track, as the file numbers them.
        places: Where each packet starts that FFmpeg found, in bytes, int64 (packets,), in decoding order.
        sizes: Their lengths in bytes, int64. The file must list the same.

    Returns:
        int64 (packets,) in units of the track; or None unless the file holds one value for each of just these packets,
        and the packets themselves.
    """
    length = file.seek(0, io.SEEK_END)
    if len(sizes) == 0 or sizes.min() <= 0 or (places + sizes).max() > length:
        return None
    table = _sample_table(file, length, track_id)
    if table is None or not _lists_sizes(file, table.get(b"stsz"), sizes):
        return None
    box = table.get(b"ctts")
    if box is None:  # packets are shown in the order in which they are decoded
        return np.zeros(len(sizes), dtype=np.int64)
    runs = _read_rows(file, box, counted_at=4, columns=2, most=len(sizes))
    if runs is None:
        return None
    # The older version of the box is meant to be unsigned, but FFmpeg, like many others, reads both alike.
    lengths, offsets = runs[:, 0].astype(np.int64), runs[:, 1].astype(np.int32).astype(np.int64)
    if lengths.sum() != len(sizes) or np.any(np.abs(offsets) >= _LARGEST_OFFSET):
        return None
    return np.repeat(offsets, lengths)


def _sample_table(file: BinaryIO, length: int, track_id: int) -> dict[bytes, _Box] | None:
    """Find the boxes that describe the packets of a track, by name."""
    budget = iter(range(_MOST_BOXES))
    movie = next((box for box in _boxes(file, 0, length, budget) if box.kind == b"moov"), None)
    if movie is None:
        return None
    for track in _boxes(file, movie.start, movie.end, budget):
        if track.kind != b"trak":
            continue
        parts = {box.kind: box for box in _boxes(file, track.start, track.end, budget)}
        if _track_id(file, parts.get(b"tkhd")) != track_id:
            continue
        for kind in (b"mdia", b"minf", b"stbl"):
            if kind not in parts:
                return None
            parts = {box.kind: box for box in _boxes(file, parts[kind].start, parts[kind].end, budget)}
        return parts
    return None


def _boxes(file: BinaryIO, start: int, end: int, budget: Iterator[int]) -> Iterator[_Box]:
    """Yield the boxes between two places, as long as they fit in and there are not too many of them."""
    while end - start >= 8 and next(budget, None) is not None:
        file.seek(start)
        head = file.read(16)
        size, kind, header = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1 and len(head) == 16:
            size, header = int.from_bytes(head[8:], "big"), 16
        elif size == 0:
            size = end - start
        if size < header or size > end - start:
            return
        yield _Box(kind, start + header, start + size)
        start += size


def _track_id(file: BinaryIO, header: _Box | None) -> int | None:
    if header is None:
        return None
    file.seek(header.start)
    content = file.read(24)
    place = 20 if content[:1] == b"\x01" else 12  # behind two times, of eight or of four bytes
    return struct.unpack_from(">I", content, place)[0] if len(content) == 24 else None


def _lists_sizes(file: BinaryIO, box: _Box | None, sizes: np.ndarray) -> bool:
    if box is None:
        return False
    rows = _read_rows(file, box, counted_at=8, columns=1, most=len(sizes))
    return rows is not None and np.array_equal(rows[:, 0], sizes)


def _read_rows(file: BinaryIO, box: _Box, *, counted_at: int, columns: int, most: int) -> np.ndarray | None:
    """Read the rows of a box, uint32 (rows, columns), if they are as many as it says before them and not too many."""
    start = box.start + counted_at + 4
    length = box.end - start
    if not 0 <= length <= 4 * columns * most:
        return None
    file.seek(start - 4)
    content = file.read(4 + length)
    if len(content) != 4 + length or length != 4 * columns * int.from_bytes(content[:4], "big"):
        return None
    return np.frombuffer(content, dtype=">u4", offset=4).astype(np.uint32).reshape(-1, columns)
