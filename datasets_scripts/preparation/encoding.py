"""Writes what is shown of a video as a small H.264 file that is quick to decode at any frame.

x264's settings, each of which was measured on the videos of ``benchmarks.decoding``: a keyframe every few frames, no
B-frames, and its tuning for fast decoding, which leaves out the deblocking filter, CABAC and weighted prediction. That
tuning takes a third off the time to decode and adds a ninth to the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from datasets_scripts.preparation.errors import UnpreparedError
from datasets_scripts.preparation.shown import RATE_NOTE, ShownVideo
from datasets_scripts.preparation.timeline import Timeline

_COMPARED = 5
_ENCODER_RATE = 25  # for x264's sense of quality only; packets get their times afterwards
_UNSPECIFIED = 2
_SMPTE170M = 6


@dataclass(frozen=True)
class EncodingSettings:
    """How videos are prepared.

    Args:
        longest_edge: The longest edge of larger videos in pixels, an even number; smaller ones are never enlarged.
        keyframe_every: Frames from one keyframe to the next, at most.
        quality: x264's constant rate factor: 18 is nearly lossless, 28 visibly lossy.
    """

    longest_edge: int = 448
    keyframe_every: int = 8
    quality: float = 23.0


class Sample(NamedTuple):
    """A frame of the original to compare with: its number, and its pixels in the size that was written."""

    number: int
    pixels: np.ndarray


def prepared_size(width: int, height: int, longest_edge: int) -> tuple[int, int]:
    """The size in which a video is written: even, since H.264 halves its colours, and never larger than it is.

    Example:
        >>> prepared_size(1280, 720, 448), prepared_size(352, 288, 448), prepared_size(67, 51, 448)
        ((448, 252), (352, 288), (66, 50))
    """
    longest = max(width, height)
    if longest <= longest_edge:
        return max(width // 2 * 2, 2), max(height // 2 * 2, 2)
    width, height = (max(2 * round(side * longest_edge / longest / 2), 2) for side in (width, height))
    return width, height


def encode(video: ShownVideo, target: Path, settings: EncodingSettings) -> tuple[tuple[int, int], list[Sample]]:
    """Write a video.

    Args:
        video: What to write.
        target: The file, mp4 whatever its ending.
        settings: How.

    Returns:
        The width and height of the original as shown, and frames of it to compare with.

    Raises:
        UnpreparedError: The frames of the video are not what it promised.
    """
    timeline = video.timeline
    numbers = set(np.linspace(0, len(timeline.ticks) - 1, _COMPARED).round().astype(int).tolist())
    samples: list[Sample] = []
    shown: tuple[int, int] | None = None
    with _Writer(target, timeline, settings) as writer:
        for number, (frame, turn) in enumerate(video.frames()):
            size = (video.height, video.width) if turn.is_transposed else (video.width, video.height)
            if size != (shown or size):
                raise UnpreparedError(f"frame {number} is turned otherwise than those before it")
            shown = size
            width, height = prepared_size(*size, settings.longest_edge)
            stored = (height, width) if turn.is_transposed else (width, height)
            if number in numbers:
                samples.append(Sample(number, turn.apply(writer.to_rgb(frame, *stored))))
            aspect = 1 / video.pixel_aspect if turn.is_transposed else video.pixel_aspect
            writer.write(_turned(writer.to_yuv(frame, *stored), turn), aspect)
    if shown is None or writer.written != len(timeline.ticks):
        raise UnpreparedError(f"{writer.written} frames were written instead of {len(timeline.ticks)}")
    return shown, samples


def _turned(frame: av.VideoFrame, turn: Any) -> av.VideoFrame:
    """A frame of yuv420p as it is shown."""
    if not any(turn):
        return frame
    pixels, width, height = frame.to_ndarray(), frame.width, frame.height
    colours = pixels[height:].reshape(2, height // 2, width // 2)
    planes = [turn.apply(plane[..., None]) for plane in (pixels[:height], *colours)]
    packed = np.concatenate([plane.ravel() for plane in planes]).reshape(-1, planes[0].shape[1])
    turned = av.VideoFrame.from_ndarray(packed, format="yuv420p")
    for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(turned, name, getattr(frame, name))
    return turned


class _Writer:
    """An mp4 file whose frames have the times of a timeline.

    Args:
        target: The file.
        timeline: The times.
        settings: How to encode.
    """

    def __init__(self, target: Path, timeline: Timeline, settings: EncodingSettings) -> None:
        self._timeline, self._settings = timeline, settings
        self._lengths = timeline.lengths
        options = {"fflags": "+bitexact", "movflags": "use_metadata_tags", "video_track_timescale": str(timeline.clock)}
        if timeline.start:  # an edit list says so, in units of the film
            options["movie_timescale"] = str(timeline.clock)
        else:
            options["use_editlist"] = "0"
        self._container: Any = av.open(str(target), "w", format="mp4", options=options)
        # Where the rate does not follow from the times, as the reader takes it from them.
        self._container.metadata[RATE_NOTE] = repr(timeline.rate)
        self._stream: Any = None
        self._to_yuv, self._to_rgb = VideoReformatter(), VideoReformatter()
        self._sent = 0
        self.written = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None and self._stream is not None:
            self._mux(self._stream.encode(None))
        self._container.close()

    def to_yuv(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        """Scale a frame, and keep the matrix by which its colours are converted; RGB gets that of BT.601."""
        is_rgb = frame.format.is_rgb or frame.format.has_palette
        return self._to_yuv.reformat(
            frame,
            width,
            height,
            "yuv420p",
            dst_colorspace=Colorspace.ITU601 if is_rgb else None,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

    def to_rgb(self, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
        """The pixels of a frame, converted as the reader does, uint8 (height, width, 3)."""
        return self._to_rgb.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()

    def write(self, frame: av.VideoFrame, pixel_aspect: Fraction) -> None:
        """Write the next frame, yuv420p; what shape its pixels have is noted with the first one."""
        if self._stream is None:
            self._stream = self._open_stream(frame, pixel_aspect)
        frame.pts, frame.time_base = self._sent, Fraction(1, _ENCODER_RATE)
        frame.pict_type = 0  # or the encoder would be made to follow that of the original
        self._sent += 1
        self._mux(self._stream.encode(frame))

    def _open_stream(self, frame: av.VideoFrame, pixel_aspect: Fraction) -> Any:
        options = {
            "preset": "medium",
            "tune": "fastdecode",
            "crf": str(self._settings.quality),
            "g": str(self._settings.keyframe_every),
            "bf": "0",
            "threads": "1",
        }
        stream: Any = self._container.add_stream("libx264", rate=_ENCODER_RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
        encoder = stream.codec_context
        if pixel_aspect != 1:
            encoder.sample_aspect_ratio = pixel_aspect
        # Untagged colours are read by BT.601's matrix, so that is what they are.
        encoder.colorspace = _SMPTE170M if frame.colorspace == _UNSPECIFIED else frame.colorspace
        encoder.color_range = int(ColorRange.MPEG)
        encoder.color_primaries, encoder.color_trc = frame.color_primaries, frame.color_trc
        return stream

    def _mux(self, packets: Iterator[Any] | list[Any]) -> None:
        """Write packets, which come in the order of their frames, at the times of these."""
        for packet in packets:
            if self.written >= len(self._lengths):
                raise UnpreparedError(f"more frames could be decoded than the {len(self._lengths)} that it has")
            packet.pts = packet.dts = self._timeline.start + self._timeline.ticks[self.written]
            packet.duration = self._lengths[self.written]
            packet.time_base = Fraction(1, self._timeline.clock)
            self._container.mux(packet)
            self.written += 1
