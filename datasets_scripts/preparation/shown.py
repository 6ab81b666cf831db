"""What the reader in ``clipbert_hf.video`` shows of a video: which frames, and when.

It opens a file in the same way and goes by the same rules; see :mod:`datasets_scripts.preparation.reader_rules`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import av
import numpy as np

from datasets_scripts.annotations.readable import why_unreadable_video
from datasets_scripts.preparation.errors import UnpreparedError
from datasets_scripts.preparation.pictures import AnimatedPicture, PictureFolder, is_picture
from datasets_scripts.preparation.reader_rules import completeness, orientation, packet_table, picture
from datasets_scripts.preparation.timeline import Timeline, known_times, steady_times

# As the reader opens files; see there.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,ogg,flv,"
    "asf,mxf,nut,dv,yuv4mpegpipe"
)
_RAW_STREAMS = frozenset({"h264", "hevc", "mpegvideo", "m4v"})
RATE_NOTE = "clipbert_frame_rate"
_OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
_WITHOUT_PROBING = {"probesize": "32", "skip_frame": "all"}
_MATROSKA_DURATION = re.compile(r"(\d{1,4}):(\d\d):(\d\d)\.(\d+)")
_USUAL_RATE = Fraction(25)


class ShownVideo(Protocol):
    """A video as the reader shows it.

    Attributes:
        timeline: When its frames are shown.
        width: Of a frame as stored, in pixels.
        height: Likewise.
        pixel_aspect: How much wider than high a pixel is.
    """

    timeline: Timeline
    width: int
    height: int
    pixel_aspect: Fraction

    def frames(self) -> Iterator[tuple[av.VideoFrame, Any]]:
        """Yield each frame as stored, and how it is turned before it is shown."""


def open_shown(path: str) -> ShownVideo:
    """Find out when the frames of a video are shown.

    Args:
        path: A file, or a folder of images.

    Raises:
        UnpreparedError: It cannot be read, or ends in the middle.
        FFmpegError, OSError: It cannot be read.
    """
    reason = why_unreadable_video(path)
    if reason is not None:
        raise UnpreparedError(reason)
    if os.path.isdir(path):
        return PictureFolder(path)
    with open(path, "rb") as file:
        head = file.read(12)
        missing = completeness.missing_end(file)
    if missing is not None:
        raise UnpreparedError(f"it is cut short: {missing}")
    return AnimatedPicture(path) if is_picture(head) else VideoFile(path, probes=head[4:8] != b"ftyp")


class _Times(NamedTuple):
    """What is known of the times of frames: those of each, and how long the last one is shown if it is told."""

    times: list[int | None]
    last_length: int
    is_promised: bool


class VideoFile:
    """A video that FFmpeg reads.

    Args:
        path: The file.
        probes: Whether FFmpeg looks into its beginning, as the reader has it.

    Raises:
        UnpreparedError: It has no frame, or times that an mp4 file cannot have.
    """

    def __init__(self, path: str, *, probes: bool) -> None:
        self._path = path
        container, stream = _open(path, probes=probes)
        with container:
            found = _promised_times(container, stream)
            if found is not None:
                self.timeline = _timeline(container, stream, found)
        self._promised = None if found is None else found.times
        if found is None:
            self.timeline = self._counted()
        container, stream = _open(path, probes=True)
        with container:
            self.width, self.height = stream.codec_context.width, stream.codec_context.height
            self.pixel_aspect = Fraction(stream.sample_aspect_ratio or 1)

    def frames(self) -> Iterator[tuple[av.VideoFrame, Any]]:
        """Yield each frame as stored, and how it is turned.

        Raises:
            UnpreparedError: They are not those that the packets promise.
        """
        container, stream = _open(self._path, probes=True)
        codec = stream.codec_context.codec.canonical_name
        converter = picture.FrameConverter(self._path)
        number = 0
        with container:
            for frame in _decoded(container, stream):
                if self._promised is not None and number < len(self._promised) and frame.pts != self._promised[number]:
                    raise UnpreparedError(f"frame {number} comes at another time than its packet says")
                yield _without_effects(frame, codec, converter), orientation.orientation_of(frame)
                number += 1
        if number != len(self.timeline.ticks):
            promised = len(self.timeline.ticks)
            raise UnpreparedError(f"the file is damaged: it has {promised} frames, {number} could be decoded")

    def _counted(self) -> Timeline:
        container, stream = _open(self._path, probes=True)
        with container:
            frames = [(frame.pts, frame.duration or 0) for frame in _decoded(container, stream)]
            if not frames:
                raise UnpreparedError("there is not a single frame in it")
            return _timeline(container, stream, _Times([pts for pts, _ in frames], _length_of_last(frames), False))


def _open(path: str, *, probes: bool) -> tuple[Any, Any]:
    container: Any = av.open(f"file:{path}", options=_OPTIONS | ({} if probes else _WITHOUT_PROBING))
    stream = container.streams.best("video")
    if not probes and (stream is None or len(container.streams.video) > 1 or not (stream.width and stream.height)):
        container.close()
        return _open(path, probes=True)
    if stream is None:
        container.close()
        raise UnpreparedError("it has no video stream")
    stream.thread_type = "NONE"  # as many files are open as there are processes
    return container, stream


def _promised_times(container: Any, stream: Any) -> _Times | None:
    """The times of frames by the packets alone, where these can be trusted to tell."""
    if not packet_table.is_trusted_format(container.format.name, stream.codec_context.codec.canonical_name):
        return None
    is_mp4 = "mp4" in container.format.name
    rows, lengths = [], []
    for packet in container.demux(stream):
        if packet.size:  # the last one is empty and marks the end
            rows.append(packet_table.PacketRow(packet.pts, packet.dts, packet.is_keyframe, packet.is_discard))
            lengths.append((packet.pts, packet.duration or 0))
    table = packet_table.build_packet_table(rows, seeks_by_dts=is_mp4)
    if table is None or not len(table.pts):
        return None
    # The reader takes the times of an ordinary mp4 file out of its index, which tells no lengths.
    by_index = is_mp4 and stream.frames == len(stream.index_entries)
    length = 0 if by_index else _length_of_last(lengths)
    return _Times(table.pts.tolist(), length, True)


def _length_of_last(shown: list[tuple[int | None, int]]) -> int:
    known = [(pts, length) for pts, length in shown if pts is not None]
    return max(reversed(known), key=lambda each: each[0])[1] if known else 0


def _timeline(container: Any, stream: Any, found: _Times) -> Timeline:
    times, base = found.times, Fraction(stream.time_base)
    noted = container.metadata.get(RATE_NOTE)  # in what this package wrote
    declared = Fraction(stream.average_rate) if stream.average_rate else None
    seconds = packet_table.seconds_since_first(times, base)
    if container.format.name in _RAW_STREAMS:  # times are FFmpeg's invention
        seconds, declared = None, stream.codec_context.framerate or declared
    if seconds is None:
        return steady_times(len(times), declared or (Fraction(1) if len(times) == 1 else _USUAL_RATE))
    known = [time for time in times if time is not None]
    first, last = known[0], known[-1]
    rate = packet_table.frame_rate(seconds, len(known), None if declared is None else float(declared))
    exact = declared if declared is not None and rate == float(declared) else Fraction(rate)
    if len(known) > 1 and exact != declared:
        exact = (len(known) - 1) / ((last - first) * base)
    ends = [last + found.last_length - first, *_stated_ends(container, stream, first)]
    end = max(ends) * base if max(ends) > last - first else (last - first) * base + 1 / exact
    return known_times(known, base, end, rate if noted is None else float(noted))


def _without_effects(frame: av.VideoFrame, codec: str, converter: Any) -> av.VideoFrame:
    """A frame as it is, or in RGB on a white ground where it is transparent or HDR, which H.264 would not keep."""
    if not (picture.is_hdr(frame) or picture.has_alpha(frame, codec)):
        return frame
    pixels = converter.before_turning(frame, codec, width=frame.width, height=frame.height)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")


def _stated_ends(container: Any, stream: Any, first: int) -> Iterator[int]:
    """When the stream ends by what the container says, in its units after the first frame."""
    if "mp4" in container.format.name and stream.duration:
        yield stream.duration
    stated = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if stated and "matroska" in container.format.name:
        hours, minutes, nanoseconds = int(stated[1]), int(stated[2]), int(stated[3] + stated[4].ljust(9, "0")[:9])
        seconds = 60 * (60 * hours + minutes) + Fraction(nanoseconds, 10**9)
        yield round(seconds / stream.time_base) - first  # it counts from zero


def _decoded(container: Any, stream: Any) -> Iterator[av.VideoFrame]:
    """Decode from the beginning; packets that cannot be decoded yield nothing."""
    for packet in container.demux(stream):
        try:
            yield from stream.codec_context.decode(packet)
        except av.error.InvalidDataError:
            continue
