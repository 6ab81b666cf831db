"""Which packet of a file holds which frame, and where decoding has to start to obtain it.

Demuxing a file reads no pixels, and takes milliseconds. From its packets alone follows, for the formats named
below, how many frames a viewer sees, when, and what each depends on; so that a handful of frames can be decoded
without the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

# In these every packet carries a presentation time and yields one frame. Not so elsewhere: AVI has no
# presentation times, VP8 hides reference frames in packets of their own, MPEG-4 packs two frames into one.
TRUSTED_CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm"})
TRUSTED_CODECS = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg", "prores", "dnxhd", "ffv1"})


class PacketRow(NamedTuple):
    """What the table needs to know of one packet; times in units of the stream's time base."""

    pts: int | None
    dts: int | None
    is_keyframe: bool
    is_discard: bool


class Keyframe(NamedTuple):
    """Where decoding can start: when the frame is shown, if at all, and the time to seek to."""

    pts: int
    is_shown: bool
    seek_time: int


@dataclass(frozen=True)
class PacketTable:
    """The frames of a video in presentation order; row i is what a viewer counts as frame i.

    Args:
        pts: When each frame is shown, int64 (frames,), strictly increasing.
        position: The place of its packet in the file, int64 (frames,); packets are decoded in this order.
        keyframe: The place of the packet where decoding must start to obtain it, int64 (frames,).
        position_by_pts: The same place for every packet, including those that are decoded but not shown.
        keyframes: By place, the packets that claim to be decodable on their own.
        closed: No packet that is stored after a keyframe is shown before it.
        trimmed: Some packets are decoded but not shown.
    """

    pts: np.ndarray
    position: np.ndarray
    keyframe: np.ndarray
    position_by_pts: dict[int, int]
    keyframes: dict[int, Keyframe]
    closed: bool
    trimmed: bool


def is_trusted_format(container: str, codec: str) -> bool:
    """Tell whether a table can be made for a file.

    Args:
        container: FFmpeg's name of the format, possibly several joined by commas.
        codec: FFmpeg's canonical name of the codec.
    """
    return codec in TRUSTED_CODECS and not TRUSTED_CONTAINERS.isdisjoint(container.split(","))


def build_packet_table(packets: Iterable[PacketRow], *, seeks_by_dts: bool) -> PacketTable | None:
    """Order the packets of a video stream as they are shown.

    Args:
        packets: All packets in the order of the file.
        seeks_by_dts: Whether the container's index holds decoding times (mp4) or presentation times (Matroska).

    Returns:
        The table, or None if the times are missing or contradictory, so that frames have to be counted.
    """
    rows = list(packets)
    pts = [row.pts for row in rows]
    if None in pts:
        return None
    return table_from_columns(
        pts=np.array(pts, dtype=np.int64),
        dts=np.array([row.pts if row.dts is None else row.dts for row in rows], dtype=np.int64),
        is_key=np.array([row.is_keyframe for row in rows], dtype=bool),
        is_discard=np.array([row.is_discard for row in rows], dtype=bool),
        seeks_by_dts=seeks_by_dts,
    )


def table_from_columns(
    *, pts: np.ndarray, dts: np.ndarray, is_key: np.ndarray, is_discard: np.ndarray, seeks_by_dts: bool
) -> PacketTable | None:
    """Do the same where all times are known.

    Args:
        pts: When each packet is shown, int64 (packets,), all of these in the order of the file.
        dts: When it is decoded, int64.
        is_key: Whether it claims to be decodable on its own, bool.
        is_discard: Whether it is decoded but not shown, bool.
        seeks_by_dts: Whether the container's index holds decoding times (mp4) or presentation times (Matroska).
            FFmpeg looks these up for a presentation time, from which some versions first take what commonly lies
            between the two.

    Returns:
        The table, or None if the times are contradictory.
    """
    if len(pts) == 0 or np.any(np.diff(np.sort(pts)) == 0):
        return None
    # Without a keyframe ahead of everything, what the decoder makes of the first packets is its own affair.
    if not is_key[0] or pts[0] != pts.min():
        return None

    shown = np.flatnonzero(~is_discard)
    shown = shown[np.argsort(pts[shown])]
    keys = np.flatnonzero(is_key)
    keys_as_shown = keys[np.argsort(pts[keys])]
    # A frame needs the last keyframe that is shown before it, and in open groups of pictures that is not the
    # last one that is stored before it.
    start = np.minimum(
        keys_as_shown[np.searchsorted(pts[keys_as_shown], pts[shown], side="right") - 1],
        keys[np.searchsorted(keys, shown, side="right") - 1],
    )
    seek_times = pts[keys]
    if seeks_by_dts:
        # Never so late that the next keyframe is found, and as late as that allows, so that the one before is not.
        seek_times = np.maximum(dts[keys], np.minimum(pts[keys], np.append(dts[keys[1:]] - 1, pts[keys[-1]])))
    earliest_from_here = np.minimum.accumulate(pts[::-1])[::-1]
    return PacketTable(
        pts=pts[shown],
        position=shown,
        keyframe=start,
        position_by_pts=dict(zip(pts.tolist(), range(len(pts)), strict=True)),
        keyframes={
            k: Keyframe(int(pts[k]), is_shown=not is_discard[k], seek_time=seek_time)
            for k, seek_time in zip(keys.tolist(), seek_times.tolist(), strict=True)
        },
        closed=bool(np.all(pts[keys] == earliest_from_here[keys])),
        trimmed=len(shown) < len(pts),
    )


def group_by_keyframe(table: PacketTable, indices: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Split sorted indices into runs that start decoding at the same keyframe.

    Args:
        table: The table.
        indices: Frame indices, sorted, (n,).

    Yields:
        The place of the keyframe, and positions into ``indices``.
    """
    starts = table.keyframe[indices]
    cuts = np.flatnonzero(np.diff(starts)) + 1
    for run in np.split(np.arange(len(indices)), cuts):
        yield int(starts[run[0]]), run


def seconds_since_first(pts: Sequence[int | None], time_base: Fraction | float) -> np.ndarray | None:
    """Convert presentation times to seconds after the first frame.

    Args:
        pts: Time of each frame in units of ``time_base``, or None where the file does not tell.
        time_base: Seconds per unit. As a fraction it gives the number that is nearest to the true time, so that equal
            times are equal whatever units two files have.

    Returns:
        float64 (frames,), or None unless all times are known and increase.
    """
    if not pts or None in pts:
        return None
    times = np.array(pts, dtype=np.int64)
    numerator, denominator = time_base.as_integer_ratio()
    seconds = (times - times[0]) * numerator / denominator
    return seconds if bool(np.all(np.diff(seconds) > 0)) else None


def frame_rate(seconds: np.ndarray | None, frames: int, declared: float | None) -> float:
    """Find the mean frame rate of a video.

    Args:
        seconds: When each frame is shown, increasing, (frames,), or None if unknown.
        frames: Number of frames.
        declared: What the file says, in frames per second.

    Returns:
        The declared rate unless the times contradict it, which they do in trimmed and damaged files. Times alone
        would not be exact: Matroska rounds them to milliseconds.
    """
    declared = declared if declared and declared > 0 else None
    if seconds is None or len(seconds) < 2:
        return declared or (1.0 if frames == 1 else 25.0)
    measured = float((len(seconds) - 1) / (seconds[-1] - seconds[0]))
    return declared if declared and abs(declared / measured - 1) < 0.02 else measured
