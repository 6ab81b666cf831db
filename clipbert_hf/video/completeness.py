"""Whether a file ends in the middle, by what its container says of its own length; nothing is decoded.

FFmpeg reads what there is of a torn file and says nothing, so that a broken download becomes a shorter video. These
containers tell:

mp4, mov (fragmented or not)
    A box that ends behind the end of the file; a fragment (``moof``) without its data (``mdat``); an index of segments
    (``sidx``) that lists more than is there.
Matroska, WebM
    The size of the segment; where it is unknown (live recordings) those of its clusters and blocks.
AVI
    The sizes of its RIFF parts; where they are unknown those of its chunks.
GIF
    Blocks that are not complete, and an extension without the picture that it announces.
MPEG-TS
    A packet that is not complete.

What follows the end (junk, a second file) is left alone, and so is whatever is unusual: no whole file is refused.

Nothing in the file shows these cuts, so that a shorter video is read:

* MPEG-TS between two packets of 188, 192 or 204 bytes, which also may be in the middle of a picture;
* fragmented mp4 without an index of segments between two fragments, or within the first 8 bytes of one;
* Matroska and WebM of unknown size (live) between two blocks or within the head of one, also if they state a duration,
  which recorders write with a clock of their own;
* AVI of unknown size between two chunks, or within the head of one;
* GIF behind a complete picture, where only the trailer is missing, which some writers leave out;
* other containers (MPEG-PS, FLV, ASF, Ogg, elementary streams).

A download also has the length that the server declared, whatever is in it.
"""

from __future__ import annotations

import io
from typing import BinaryIO

_MOST_PARTS = 200_000  # boxes, elements or chunks; then the rest is believed
_MOST_GIF_BLOCKS = 1 << 23
_WINDOW_BYTES = 1 << 13

# What an mp4 file may consist of: parts that frames depend on, and others.
_BOXES_FOR_FRAMES = frozenset(
    {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx", b"ssix", b"prft", b"emsg", b"pdin", b"imda"}
)
_BOXES = _BOXES_FOR_FRAMES | {b"mfra", b"free", b"skip", b"wide", b"uuid", b"udta", b"meta", b"pnot"}

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT, _CLUSTER, _BLOCK_GROUP = 0x18538067, 0x1F43B675, 0xA0
_SEGMENT_PARTS = frozenset({0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367})
_CLUSTER_PARTS = frozenset({0xE7, 0xA7, 0xAB, 0xA3, _BLOCK_GROUP, 0x5854, 0xAF, 0xEC, 0xBF})

_UNKNOWN_RIFF_SIZES = frozenset({0, 0xFFFFFFFF})
_RIFF_HEAD = 8  # some writers count it in
_PACKET_SIZES = ((188, 0), (192, 4), (204, 0))  # MPEG-TS, and where in a packet the byte 0x47 is
_SYNC = 0x47
_PACKETS_COMPARED = 200


def missing_end(file: BinaryIO) -> str | None:
    """Say what is missing at the end of a video file.

    Args:
        file: The whole file, which can seek. Of long files only heads of boxes, clusters and chunks are read; GIF,
            whose blocks are small, is read through.

    Returns:
        What is missing, such as "its mdat box ends at byte 9000, the file at byte 5000"; None if the file is whole, or
        if nothing in it tells.
    """
    reader = _Window(file)
    head = reader.read(0, 16)
    if head.startswith((b"GIF87a", b"GIF89a")):
        return _missing_in_gif(reader)
    if head.startswith(_EBML):
        return _missing_in_matroska(reader)
    if head.startswith(b"RIFF") and head[8:11] == b"AVI":
        return _missing_in_avi(reader)
    if head[4:8] in _BOXES:
        return _missing_in_mp4(reader)
    for size, place in _PACKET_SIZES:
        if _is_transport_stream(reader, size, place):
            return _missing_in_transport_stream(reader, size, place)
    return None


class _Window:
    """A file that is read at any place, in pieces that are kept.

    Args:
        file: The file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.length = file.seek(0, io.SEEK_END)
        self._start, self._content = 0, b""

    def read(self, place: int, size: int) -> bytes:
        """Read some bytes, fewer at the end of the file."""
        offset = place - self._start
        if not (offset >= 0 and offset + size <= len(self._content)):
            self._file.seek(place)
            self._start, self._content = place, self._file.read(max(size, _WINDOW_BYTES))
            offset = 0
        return self._content[offset : offset + size]

    def number(self, place: int, size: int, order: str = "big") -> int:
        """Read a number of so many bytes."""
        return int.from_bytes(self.read(place, size), order)  # type: ignore[arg-type]


def _beyond(part: str, end: int, length: int) -> str:
    return f"its {part} ends at byte {end}, the file at byte {length}"


# -- mp4 -----------------------------------------------------------------------------------------------------------


def _missing_in_mp4(file: _Window) -> str | None:
    place = 0
    listed = 0  # where the last segment of an index of them ends
    previous = b""
    for _ in range(_MOST_PARTS):
        if file.length - place < 8:
            break
        size, kind, head = file.number(place, 4), file.read(place + 4, 4), 8
        if kind not in _BOXES:
            break
        if size == 1:
            size, head = file.number(place + 8, 8), 16
        if size == 0:  # it reaches to the end, wherever that is
            return None
        if size < head:
            break
        if place + size > file.length:
            return _beyond(f"{kind.decode()} box", place + size, file.length) if kind in _BOXES_FOR_FRAMES else None
        if kind == b"sidx":
            listed = max(listed, _end_of_segments(file, place + head, place + size))
        previous = kind
        place += size
    if previous == b"moof" and file.length - place < 8:
        return "its last fragment (moof) is there without its data (mdat)"
    return _beyond("last segment", listed, file.length) if listed > file.length else None


def _end_of_segments(file: _Window, place: int, end: int) -> int:
    """Add up the sizes of an index of segments, which counts from its own end."""
    wide = file.read(place, 1) != b"\x00"
    first = file.number(place + (20 if wide else 16), 8 if wide else 4)
    rows = place + (28 if wide else 20)
    count = file.number(rows + 2, 2)
    if rows + 4 + 12 * count > end:
        return 0
    return end + first + sum(file.number(rows + 4 + 12 * row, 4) & 0x7FFFFFFF for row in range(count))


# -- Matroska ------------------------------------------------------------------------------------------------------


def _element(file: _Window, place: int) -> tuple[int, int, int | None] | None:
    """Read the head of an element: its id, where its content starts, where it ends or None if that is unknown."""
    head = file.read(place, 12)
    id_size = 9 - head[0].bit_length() if head and head[0] else 9
    if id_size > 4 or len(head) <= id_size or head[id_size] == 0:
        return None
    size_bytes = 9 - head[id_size].bit_length()
    start = id_size + size_bytes
    if len(head) < start:
        return None
    mask = (1 << 7 * size_bytes) - 1
    size = int.from_bytes(head[id_size:start], "big") & mask
    return int.from_bytes(head[:id_size], "big"), place + start, None if size == mask else place + start + size


def _missing_in_matroska(file: _Window) -> str | None:
    ebml = _element(file, 0)
    segment = _element(file, ebml[2]) if ebml and ebml[2] else None
    if segment is None or segment[0] != _SEGMENT:
        return None
    _, place, end = segment
    if end is not None and end > place:
        return _beyond("segment", end, file.length) if end > file.length else None
    for _ in range(_MOST_PARTS):  # as long as elements are those of a segment or of a cluster
        element = _element(file, place)
        if element is None:
            return None
        kind, start, end = element
        if kind != _CLUSTER and kind not in _CLUSTER_PARTS and kind not in _SEGMENT_PARTS:
            return None
        if end is None or (kind == _CLUSTER and end == start):
            if kind != _CLUSTER:
                return None
            place = start  # its blocks are looked at one by one
            continue
        if end > file.length:
            return _beyond("last cluster" if kind == _CLUSTER else "last block", end, file.length)
        place = end
    return None


# -- AVI -----------------------------------------------------------------------------------------------------------


def _missing_in_avi(file: _Window) -> str | None:
    place = 0
    for _ in range(_MOST_PARTS):  # files of more than a gigabyte have several parts
        if file.read(place, 4) != b"RIFF" or file.read(place + 8, 3) != b"AVI":
            return None
        size = file.number(place + 4, 4, "little")
        end = place + 8 + size
        if size in _UNKNOWN_RIFF_SIZES:
            return _missing_in_chunks(file, place + 12, file.length)
        if end > file.length + _RIFF_HEAD:
            return _beyond("RIFF part", end, file.length)
        missing = _missing_in_chunks(file, place + 12, end) if end > file.length else None
        if missing is not None:
            return missing
        place = end + size % 2
    return None


def _missing_in_chunks(file: _Window, place: int, end: int) -> str | None:
    """Look at chunks one by one, and at those inside of lists of unknown size."""
    for _ in range(_MOST_PARTS):
        head = file.read(place, 12)
        if len(head) < 8 or place >= end or not _is_chunk_name(head[:4]):
            return None
        size = int.from_bytes(head[4:8], "little")
        if head[:4] == b"LIST" and size in _UNKNOWN_RIFF_SIZES:
            place += 12
            continue
        if place + 8 + size > file.length:
            return _beyond(f"chunk {head[:4].decode()!r}", place + 8 + size, file.length)
        place += 8 + size + size % 2
    return None


def _is_chunk_name(name: bytes) -> bool:
    if name in (b"LIST", b"JUNK", b"idx1", b"avih", b"strh", b"strf", b"strn", b"strd", b"indx", b"vprp", b"odml"):
        return True
    return (name[:2].isdigit() and name[2:].isalpha()) or (name[:2] == b"ix" and name[2:].isdigit())


# -- GIF -----------------------------------------------------------------------------------------------------------


def _missing_in_gif(file: _Window) -> str | None:
    place = 13 + _colours(file.read(10, 1))
    announced = False  # an extension says how the next picture is shown
    for _ in range(_MOST_GIF_BLOCKS):
        if place >= file.length:
            break
        kind = file.read(place, 1)
        if kind == b"\x00":  # decoders skip these
            place += 1
            continue
        if kind == b"\x21":
            announced = announced or file.read(place + 1, 1) == b"\xf9"
            after = _end_of_blocks(file, place + 2)
        elif kind == b"\x2c":
            announced = False
            after = _end_of_blocks(file, place + 11 + _colours(file.read(place + 9, 1)))
        else:  # the trailer, or what is none of it
            return None
        if after is None:
            return f"its last block, at byte {place}, is not complete"
        place = after
    return "its last picture is announced, but not there" if announced else None


def _colours(flags: bytes) -> int:
    """The size of a table of colours in bytes."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _end_of_blocks(file: _Window, place: int) -> int | None:
    """Find the end of a row of blocks, each behind its length, the last one of length 0; None if it is not there."""
    for _ in range(_MOST_GIF_BLOCKS):
        length = file.read(place, 1)
        if not length:
            return None
        place += 1 + length[0]
        if length[0] == 0:
            break
    return place


# -- MPEG-TS -------------------------------------------------------------------------------------------------------


def _is_transport_stream(file: _Window, size: int, place: int) -> bool:
    """Tell whether the first packets begin as they should; a short file may hold fewer."""
    firsts = file.read(0, 5 * size)[place::size]
    return len(firsts) > 1 and set(firsts) == {_SYNC}


def _missing_in_transport_stream(file: _Window, size: int, place: int) -> str | None:
    rest = file.length % size
    end = file.length - rest
    head = file.read(end + place, 3)  # 0x47, some flags, and which stream the packet belongs to
    if rest <= place or head[0] != _SYNC:
        return None  # nothing is left, or something else follows the end
    others = [
        file.read(end + place - size * number, 3) for number in range(1, _PACKETS_COMPARED) if end >= size * number
    ]
    if len(head) == 3 and all(_stream_of(head) != _stream_of(other) for other in others):
        return None
    return f"its last packet has {rest} of {size} bytes"


def _stream_of(head: bytes) -> int:
    return int.from_bytes(head[1:3], "big") & 0x1FFF
