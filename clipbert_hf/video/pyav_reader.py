"""The PyAV back end: exact frames by index, and as little decoding as that takes.

Two ways lead to a frame. *By table*: the file's packets, or in their place the index of an mp4 file, say which of
them hold the wanted frames (see the packet table and the mp4 index beside this file), so one pass seeks to each
keyframe that is needed, decodes from there to the last wanted frame of its run and no further, and lets H.264 skip the
frames in between that nothing refers to.
*In order*: where packets cannot be trusted to tell, or decoding contradicts them, frames are decoded from the
beginning and counted.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np
import torch

from ..errors import VideoDecodeError
from .frame_buffer import FrameBuffer
from .limits import DEFAULT_LIMITS, DecodingLimits, Stopwatch
from .mp4_index import read_composition_offsets
from .orientation import orientation_of
from .packet_table import (
    PacketRow,
    PacketTable,
    build_packet_table,
    frame_rate,
    group_by_keyframe,
    is_trusted_format,
    seconds_since_first,
    table_from_columns,
)
from .picture import FrameConverter, Picture, has_alpha, is_hdr, say_once, width_as_shown
from .reader import VideoReader
from .sources import EncodedVideo

try:
    import av
except ImportError:  # images and frames in memory can be read without it
    av = None  # type: ignore[assignment]

# Text in a file that is no UTF-8 surfaces in PyAV as what Python says about it.
FFMPEG_ERRORS: tuple[type[Exception], ...] = () if av is None else (av.FFmpegError, UnicodeDecodeError)

# What a video may be packed in. Other formats that FFmpeg guesses at are no videos (text becomes a "terminal
# recording"), or lists of further files and addresses, which a video from a stranger must not open.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,ogg,flv,"
    "asf,mxf,nut,dv,yuv4mpegpipe"
)

# FFmpeg decodes a frame or more of a file before it hands it over, to learn what most mp4 files say by themselves. With
# these options it reads one packet instead.
_WITHOUT_PROBING = {"probesize": "32", "skip_frame": "all"}

# Streams without a container. Their own headers may state a rate, and nothing the times of frames.
_RAW_STREAMS = frozenset({"h264", "hevc", "mpegvideo", "m4v"})

# What FFmpeg, mkvmerge and others note for each stream of a Matroska file.
_MATROSKA_DURATION = re.compile(r"(\d{1,4}):(\d\d):(\d\d)\.(\d+)")
_BEFORE_ALL = -(2**63)

# What prepared videos say of the original's rate.
_RATE_NOTE = "clipbert_frame_rate"
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?(e-?\d{1,2})?")
_HIGHEST_NOTED_RATE = 1e6

_INT_MAX = 2**31 - 1
_MARGIN_PIXELS = 1 << 16


def is_pyav_available() -> bool:
    """Tell whether PyAV can be imported."""
    return av is not None


class _TableContradictedError(Exception):
    """Decoding did not yield the frames that the packet table promised."""


class PyAVReader(VideoReader):
    """Reads frames of one video stream, the best one of the file, in one thread.

    Args:
        source: The file or its content.
        limits: What the video may cost.
        square_pixels: Whether pictures whose pixels are not square are scaled to the proportions that are shown.

    Raises:
        VideoDecodeError: If PyAV is missing, the source is no video, is cut short or has no frame, or passes a limit.

    Attributes:
        table: Its packet table, or None where frames have to be counted.
        container: FFmpeg's name of the format, possibly several joined by commas.
        codec: FFmpeg's canonical name of the codec.
        stream_index: The place of the stream among all streams of the file.
        video_streams: The number of video streams in the file.
    """

    backend = "pyav"
    _errors = FFMPEG_ERRORS
    table: PacketTable | None
    container: str
    codec: str
    stream_index: int
    video_streams: int

    def __init__(
        self, source: EncodedVideo, limits: DecodingLimits = DEFAULT_LIMITS, *, square_pixels: bool = True
    ) -> None:
        self.name = source.name
        self.limits = limits
        self._source = source
        self._file: Any = None
        self._last = (_BEFORE_ALL, 0)  # when the last frame begins, and how long it is shown
        # What a torn file says of its whole length is not how long its last frame is shown.
        self._is_whole = not limits.reads_truncated
        self._picture: Picture | None = None
        self._scales = square_pixels
        self._declared_size: tuple[int, int] | None = None  # by the container
        self._clock = Stopwatch(limits.max_seconds, name=self.name, backend=self.backend)
        if av is None:
            raise VideoDecodeError(self.name, self.backend, "PyAV is not installed (pip install av)")
        self._converter = FrameConverter(self.name)
        try:
            with self._decoding():
                self._open(probes=source.head[4:8] != b"ftyp")
                self._index()
        except BaseException:
            self.close()
            raise

    @property
    def frame_seconds(self) -> np.ndarray:
        """When each frame is first shown, in seconds after the first one, float64 (frames,)."""
        return super().frame_seconds if self._seconds is None else self._seconds

    @property
    def duration(self) -> float:
        """When the last frame ends, in seconds after the first one begins."""
        return super().duration if self._duration is None else self._duration

    @property
    def picture(self) -> Picture:
        """How frames are shown, which only a decoded one tells."""
        if self._picture is None:
            self._clock.start()
            with self._decoding():
                frame = self._first_frame()
                orientation = orientation_of(frame)
                width, height = self._size_as_shown(frame)
                self._picture = Picture(
                    *((width, height) if orientation.is_transposed else (height, width)),
                    orientation=orientation,
                    is_stretched=(width, height) != self._coded_size,
                    is_hdr=is_hdr(frame),
                    has_alpha=has_alpha(frame, self.codec),
                )
        return self._picture

    def starts_afresh(self, indices: np.ndarray) -> bool:
        """Tell whether the keyframes that some frames depend on can be decoded on their own.

        Not so in streams that refresh the picture bit by bit, whose "keyframes" are where a refresh begins.

        Args:
            indices: Frame indices, int64 (n,).
        """
        if self.table is None:
            return False
        with self._decoding():
            for place in np.unique(self.table.keyframe[indices]).tolist():
                try:
                    for _ in self._frames_between(self.table, place, place, wanted=set()):
                        pass
                except _TableContradictedError:
                    if self._is_probed:
                        return False
                    self._open()
                    return self.starts_afresh(indices)
        return True

    def close(self) -> None:
        """Release the file and the decoder."""
        if self._file is not None:
            self._file.close()

    def _open(self, *, probes: bool = True) -> None:
        """Open the file anew.

        Args:
            probes: Whether FFmpeg decodes its beginning. Without that, frames may turn out to be of another size than
                the file says, or some may be missing; then the file has to be opened again.
        """
        self.close()
        self._is_probed = probes
        # "file:" keeps FFmpeg from taking a path for one of its own protocols, such as "concat:" or "http:".
        content = f"file:{self._source.path}" if self._source.path is not None else self._source.open()
        self._clock.check()
        # FFmpeg compares this with any size that it is about to allocate a picture of, also while it probes the file.
        # It counts the margins of pictures in, so it needs some room, and all that it says is "Invalid argument".
        decoder_options = {"max_pixels": str(int(min(2 * self.limits.max_pixels + _MARGIN_PIXELS, _INT_MAX)))}
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"} | decoder_options
        options |= {} if probes else _WITHOUT_PROBING
        timeout = min(self.limits.max_seconds, _INT_MAX)
        try:
            self._file = av.open(content, options=options, timeout=timeout)
        except av.FFmpegError as error:
            self._clock.check()
            reason = f"it is damaged, cut short or no video ({error.strerror})"
            raise VideoDecodeError(self.name, self.backend, reason) from error
        if not probes and len(self._file.streams.video) > 1:
            self._open()  # what was decoded of them has a say in which is the best
            return
        stream = self._choose_stream()
        if not (stream.width and stream.height):
            if not probes:
                self._open()
                return
            reason = "the pictures of its video stream have no size: the file is damaged or cut short"
            raise VideoDecodeError(self.name, self.backend, reason)
        self.limits.check_size(stream.width, stream.height, name=self.name, backend=self.backend)
        stream.codec_context.options = decoder_options
        # The workers of a data loader decode side by side; threads inside of each would only compete.
        stream.codec_context.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        self._stream: Any = stream
        self._decoder: Any = stream.codec_context
        self.container = str(self._file.format.name)
        self.codec = str(self._decoder.codec.canonical_name)
        self.stream_index = stream.index
        self.video_streams = len(self._file.streams.video)
        if self.codec in ("vp8", "vp9") and stream.metadata.get("alpha_mode") == "1":
            say_once(f"{self.name}: FFmpeg does not decode its transparency; what is under it is shown")
        self._coded_size = (self._decoder.width, self._decoder.height)
        self._shown_size: tuple[int, int] | None = None  # told by the first frame
        if not probes:
            self._declared_size = self._coded_size

    def _choose_stream(self) -> Any:
        best = self._file.streams.best("video")
        if self._source.stream is not None:
            best = next((each for each in self._file.streams.video if each.index == self._source.stream), None)
        if best is None or best.disposition & av.stream.Disposition.attached_pic:
            found = ", ".join(sorted({other.type for other in self._file.streams})) or "no streams at all"
            raise VideoDecodeError(self.name, self.backend, f"expected a video stream, found: {found}")
        if best.codec_context is None:
            reason = "the codec of its video stream is unknown: the file is damaged, cut short or of an unknown kind"
            raise VideoDecodeError(self.name, self.backend, reason)
        return best

    def _index(self) -> None:
        """Find out how many frames there are and when they are shown."""
        self.table = self._build_table() if is_trusted_format(self.container, self.codec) else None
        if self.table is not None:
            times: list[int | None] = self.table.pts.tolist()
        else:
            self._require_packets()
            times = [self._noted(frame.pts, frame.duration) for frame in self._frames_in_order()]
        self.frames = len(times)
        if self.frames == 0:
            raise VideoDecodeError(self.name, self.backend, "there is not a single frame in it")
        is_raw = self.container in _RAW_STREAMS  # then FFmpeg makes times up, at 25 frames per second
        self._seconds = None if is_raw else seconds_since_first(times, self._stream.time_base)
        declared = (self._decoder.framerate if is_raw else None) or self._stream.average_rate
        self.fps = self._noted_rate() or frame_rate(self._seconds, self.frames, float(declared) if declared else None)
        self._duration = None if self._seconds is None else self._end_of(times[0], times[-1])
        self.limits.check_length(self.frames, self.fps, duration=self._duration, name=self.name, backend=self.backend)

    def _noted_rate(self) -> float | None:
        """Return the rate that ``datasets_scripts.prepare`` noted of the original, which the times do not always give.

        None in all other files.
        """
        noted = self._file.metadata.get(_RATE_NOTE, "")
        rate = float(noted) if _NUMBER.fullmatch(noted) else 0.0
        return rate if 0 < rate < _HIGHEST_NOTED_RATE else None

    def _noted(self, pts: int | None, lasts: int | None) -> int | None:
        """Note for how long a frame or a packet is shown, if it is the last one so far."""
        if pts is not None and pts >= self._last[0]:
            self._last = (pts, lasts or 0)
        return pts

    def _end_of(self, first: Any, last: Any) -> float | None:
        """Find when the last frame ends, in seconds, by its own duration or that of its stream, whichever is longer.

        Not every container tells the former, nor the latter truly; None where nothing does.
        """
        base = self._stream.time_base
        ends = [last + self._last[1] - first if self._last[0] == last else last - first]
        if "mp4" in self.container and self._stream.duration and self._is_whole:
            ends.append(self._stream.duration)
        stated = _MATROSKA_DURATION.fullmatch(self._stream.metadata.get("DURATION", ""))
        if stated and "matroska" in self.container and self._is_whole:
            hours, minutes, nanoseconds = int(stated[1]), int(stated[2]), int(stated[3] + stated[4].ljust(9, "0")[:9])
            seconds = 60 * (60 * hours + minutes) + Fraction(nanoseconds, 10**9)
            ends.append(round(seconds / base) - first)  # it counts from zero
        end = max(ends)
        return float(end * base) if end > last - first else float((last - first) * base) + 1 / self.fps

    def _build_table(self) -> PacketTable | None:
        is_mp4 = "mp4" in self.container
        packets = self._packets()
        first = next(packets, None)
        columns = self._columns_from_index(first) if is_mp4 and first is not None else None
        table = None if columns is None else table_from_columns(**columns, seeks_by_dts=True)
        if table is not None:
            return table
        rows = [
            PacketRow(self._noted(packet.pts, packet.duration), packet.dts, packet.is_keyframe, packet.is_discard)
            for packet in chain([first], packets)
            if packet is not None and packet.size  # the last one is empty and marks the end
            if not (self.limits.reads_truncated and packet.is_corrupt)
        ]
        promised = len(self._stream.index_entries) if is_mp4 else 0
        if len(rows) < promised and not self.limits.reads_truncated:
            reason = f"the file is cut short: its index lists {promised} packets, {len(rows)} are there"
            raise VideoDecodeError(self.name, self.backend, reason)
        return build_packet_table(rows, seeks_by_dts=is_mp4)

    def _require_packets(self) -> None:
        """Refuse an mp4 file whose index lists packets behind its end, where these are not about to be counted."""
        if "mp4" not in self.container or self.limits.reads_truncated:
            return
        end = max((entry.pos + entry.size for entry in self._stream.index_entries), default=0)
        with self._source.open() as file:
            length = file.seek(0, io.SEEK_END)
        if end > length:
            reason = f"the file is cut short: its last packet ends at byte {end}, the file at byte {length}"
            raise VideoDecodeError(self.name, self.backend, reason)

    def _columns_from_index(self, first: Any) -> dict[str, np.ndarray] | None:
        """Learn from the index of an mp4 file and its first packet what all packets would tell, without reading them.

        Were it wrong, then packets would come at other times than the table holds, which is noticed on reading.
        """
        entries = list(self._stream.index_entries)
        dts = np.array([entry.timestamp for entry in entries], dtype=np.int64)
        places = np.array([entry.pos for entry in entries], dtype=np.int64)
        sizes = np.array([entry.size for entry in entries], dtype=np.int64)
        with self._source.open() as file:
            offsets = read_composition_offsets(file, track_id=self._stream.id, places=places, sizes=sizes)
        self._clock.check()
        if offsets is None or first.pts is None or first.dts != dts[0]:
            return None
        return {
            "pts": dts + offsets + (first.pts - first.dts - offsets[0]),
            "dts": dts,
            "is_key": np.array([entry.is_keyframe for entry in entries], dtype=bool),
            "is_discard": np.array([entry.is_discard for entry in entries], dtype=bool),
        }

    def _size(self) -> tuple[int, int]:
        return self.picture.height, self.picture.width

    def _size_before_turning(self) -> tuple[int, int]:
        """Return the width and the height that frames are scaled to, as the pixels of the stream are shaped.

        The container has the say, as for FFmpeg, unless its pictures are of another size than it declares. What the
        codec says may show no sooner than with the first frame.
        """
        width, height = self._coded_size
        if not self._scales or self.codec == "gif":
            return width, height
        aspect = self._stream.sample_aspect_ratio if self._declared_size in (None, self._coded_size) else None
        return width_as_shown(width, aspect or self._decoder.sample_aspect_ratio), height

    def _first_frame(self) -> Any:
        if self.table is not None:
            wanted = int(self.table.pts[0])
            first, last = int(self.table.keyframe[0]), int(self.table.position[0])
            with suppress(_TableContradictedError, av.FFmpegError):
                for frame in self._frames_between(self.table, first, last, {wanted}):
                    if frame.pts == wanted:
                        return frame
        for frame in self._frames_in_order():
            return frame
        raise VideoDecodeError(self.name, self.backend, "its first frame cannot be decoded")

    def _decode(self, indices: np.ndarray) -> torch.Tensor:
        self._clock.start()
        self._check_request(indices)
        while self.table is not None:
            try:
                return self._decode_by_table(self.table, indices)
            except (_TableContradictedError, av.FFmpegError):
                if self._is_probed:
                    self._distrust_table()
                else:
                    self._open()
                self._check_request(indices)
        return self._decode_in_order(indices)

    def _check_request(self, indices: np.ndarray) -> None:
        width, height = self._size_before_turning()
        self.limits.check_request(len(indices), width, height, name=self.name, backend=self.backend)

    def _decode_by_table(self, table: PacketTable, indices: np.ndarray) -> torch.Tensor:
        pixels = FrameBuffer(len(indices))
        for keyframe, run in group_by_keyframe(table, indices):
            slots = dict(zip(table.pts[indices[run]].tolist(), run.tolist(), strict=True))
            last = int(table.position[indices[run]].max())
            for frame in self._frames_between(table, keyframe, last, set(slots)):
                slot = slots.pop(frame.pts, None)
                if slot is not None:
                    if frame.is_corrupt:
                        raise _TableContradictedError
                    pixels.put(slot, self._pixels(frame))
            if slots:
                raise _TableContradictedError
        return pixels.as_tensor()

    def _frames_between(self, table: PacketTable, first: int, last: int, wanted: set[int]) -> Iterator[Any]:
        """Decode the packets from place ``first``, a keyframe, to place ``last``, and yield what they show.

        Frames that are not wanted may be missing. A decoder holds some frames back until it has seen later
        ones; telling it that nothing follows makes it hand them over, which saves decoding what does follow.
        """
        keyframe = table.keyframes[first]
        # H.264 marks the frames that no other refers to. HEVC's similar mark binds within one temporal layer.
        may_skip = self.codec == "h264"
        # Where a stream renews the picture bit by bit, a packet that begins a renewal is called a keyframe too.
        # It yields no picture, and the ones that follow are not quite those of a decoder that comes from before.
        incomplete = keyframe.is_shown
        for packet in chain(self._packets_between(table, first, last), [None]):
            if packet is not None:
                skips = may_skip and packet.pts not in wanted
                self._decoder.skip_frame = "NONREF" if skips else "DEFAULT"
            for frame in self._decoder.decode(packet):
                incomplete = incomplete and frame.pts != keyframe.pts
                if not self._is_probed and (frame.width, frame.height) != self._coded_size:
                    raise _TableContradictedError
                yield frame
        if incomplete:
            raise _TableContradictedError

    def _packets_between(self, table: PacketTable, first: int, last: int) -> Iterator[Any]:
        """Yield exactly the packets from place ``first``, a keyframe, to place ``last``."""
        self._file.seek(table.keyframes[first].seek_time, stream=self._stream)
        expected = first
        for packet in self._packets():
            place = table.position_by_pts.get(packet.pts, -1)
            if expected == first and 0 <= place < first:
                continue  # the seek went further back than it needed to
            if place != expected:
                raise _TableContradictedError
            yield packet
            if place == last:
                return
            expected += 1

    def _packets(self) -> Iterator[Any]:
        """Yield the packets of the stream from where the file stands, as long as there is time."""
        for packet in self._file.demux(self._stream):
            self._clock.check()
            yield packet

    def _distrust_table(self) -> None:
        """Switch to counting, unless that would change which frame an index means."""
        counted = sum(1 for _ in self._frames_in_order())
        if counted != self.frames:
            reason = f"the file is damaged: {self.frames} frames are in its index, {counted} could be decoded"
            raise VideoDecodeError(self.name, self.backend, reason)
        self.table = None

    def _decode_in_order(self, indices: np.ndarray) -> torch.Tensor:
        pixels = FrameBuffer(len(indices))
        slot = 0
        for number, frame in enumerate(self._frames_in_order()):
            if number == indices[slot]:
                pixels.put(slot, self._pixels(frame))
                slot += 1
                if slot == len(indices):
                    return pixels.as_tensor()
        raise VideoDecodeError(self.name, self.backend, f"decoding ended before frame {indices[slot]}")

    def _frames_in_order(self) -> Iterator[Any]:
        """Decode from the very beginning; packets that cannot be decoded yield nothing."""
        # Opened anew, since not every format can be rewound exactly.
        self._open()
        for packet in self._packets():
            try:
                frames = self._decoder.decode(packet)
            except av.error.InvalidDataError:
                continue
            except av.ArgumentError as error:
                reason = f"a frame is damaged, or has more than {self.limits.max_pixels:g} pixels (max_pixels)"
                raise VideoDecodeError(self.name, self.backend, reason) from error
            yield from frames

    def _pixels(self, frame: Any) -> np.ndarray:
        """Convert a frame to RGB as displayed, uint8 (height, width, 3), in memory that may be reused."""
        width, height = self._size_as_shown(frame)
        return self._converter.to_pixels(frame, self.codec, width=width, height=height)

    def _size_as_shown(self, frame: Any) -> tuple[int, int]:
        """Return what the first frame says of the size before turning, if a limit is not passed."""
        self.limits.check_size(frame.width, frame.height, name=self.name, backend=self.backend)
        if self._shown_size is None:
            self._shown_size = self._size_before_turning()
            self.limits.check_size(*self._shown_size, name=self.name, backend=self.backend)
        return self._shown_size
