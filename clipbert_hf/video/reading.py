"""From a video of any kind to exactly the frames that were asked for: the entrance to the decoders.

================  ======================================================================================
``"auto"``        PyAV, the only one that was exact on every undamaged file that we tried; it reads the most
                  formats, and in our benchmark no other is faster on average.
``"pyav"``        The same.
``"decord"``      Only where a file's packets prove that its frames will be right; an error elsewhere.
``"torchcodec"``  The same proof; an optional dependency.
================  ======================================================================================

Whatever the back end, Pillow reads still images, folders of them, animated PNG, WebP and AVIF, and frames
in memory need no decoder. :mod:`clipbert_hf.video.picture` tells how proportions, colours, HDR and transparency are
treated. :func:`~clipbert_hf.video.sources.resolve_source` lists what a source may be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch

from ..errors import InvalidInputError, VideoDecodeError
from .completeness import missing_end
from .gated_readers import DecordReader, TorchCodecReader
from .image_readers import FrameFolderReader, PillowReader
from .limits import DEFAULT_LIMITS, DecodingLimits
from .pyav_reader import PyAVReader, is_pyav_available
from .reader import FramesReader, VideoInfo, VideoReader
from .sources import EncodedVideo, FrameFolder, VideoSource, resolve_source

DecodingBackend = Literal["auto", "pyav", "decord", "torchcodec"]
DECODING_BACKENDS: tuple[str, ...] = get_args(DecodingBackend)

# Frames in memory carry no rate. This is the most common one in the data sets of the paper.
DEFAULT_FRAMES_FPS = 25.0

_VIDEO_READERS: dict[str, Callable[..., VideoReader]] = {
    "auto": PyAVReader,
    "pyav": PyAVReader,
    "decord": DecordReader,
    "torchcodec": TorchCodecReader,
}


def open_video(
    source: VideoSource,
    *,
    backend: DecodingBackend = "auto",
    fps: float | None = None,
    limits: DecodingLimits = DEFAULT_LIMITS,
    colours: Literal["channels_first", "channels_last"] | None = None,
    square_pixels: bool = True,
) -> VideoReader:
    """Open a video, so that it is fetched and demuxed once for its facts and its frames.

    Args:
        source: What :func:`~clipbert_hf.video.sources.resolve_source` accepts.
        backend: The decoder for encoded videos.
        fps: Rate of frames in memory or in a folder; by default 25, or 1 for a lone frame. Encoded videos have
            their own.
        limits: What the video may cost; frames in memory are not limited.
        colours: Where the colours of an array are; by default it is recognised.
        square_pixels: Whether pictures whose pixels are not square are scaled to the proportions that are shown:
            720x576 of a DVD to 1024x576. Without that they are taken as stored, as in the published procedure.

    Returns:
        A reader with ``info``, ``frame_seconds`` and ``read(indices)``; close it, or use it in ``with``.

    Raises:
        InvalidInputError: If there is no such kind of source, no such back end, or no such rate.
        VideoDecodeError: If the source cannot be fetched or read, or ends in the middle: see ``limits.truncated``.
    """
    if backend not in DECODING_BACKENDS:
        allowed = ", ".join(map(repr, DECODING_BACKENDS))
        raise InvalidInputError(f"backend must be one of {allowed}, got {backend!r}")
    if fps is not None and not fps > 0:
        raise InvalidInputError(f"fps must be positive, got {fps!r}")
    content = resolve_source(source, limits=limits, colours=colours)
    if isinstance(content, torch.Tensor):
        return FramesReader(content, fps or (1.0 if len(content) == 1 else DEFAULT_FRAMES_FPS))
    if isinstance(content, FrameFolder):
        rate = fps or (1.0 if len(content.paths) == 1 else DEFAULT_FRAMES_FPS)
        return FrameFolderReader(content, limits, fps=rate)
    kind = image_kind(content.head)
    if kind == "image":
        return PillowReader(content, limits)
    reader: VideoReader
    if kind == "gif" and backend == "auto" and not is_pyav_available():
        reader = PillowReader(content, limits)
    else:
        reader = _VIDEO_READERS[backend](content, limits, square_pixels=square_pixels)
    try:
        if not limits.reads_truncated:
            _require_end(content, reader.backend)  # last, since decoders know better what they miss
    except BaseException:
        reader.close()
        raise
    return reader


def _require_end(content: EncodedVideo, backend: str) -> None:
    """Refuse a file that ends in the middle, if it tells."""
    try:
        with content.open() as file:
            missing = missing_end(file)
    except OSError as error:
        raise VideoDecodeError(content.name, "file", str(error)) from error
    if missing is not None:
        raise VideoDecodeError(content.name, backend, f"the file is cut short: {missing}")


def probe_video(
    source: VideoSource,
    *,
    backend: DecodingBackend = "auto",
    limits: DecodingLimits = DEFAULT_LIMITS,
    square_pixels: bool = True,
) -> VideoInfo:
    """Tell a video's number of frames, rate, duration and size, which is that of the frames that are read.

    Args:
        source: What :func:`~clipbert_hf.video.sources.resolve_source` accepts.
        backend: The decoder for encoded videos.
        limits: What the video may cost.
        square_pixels: Whether the size is that of the picture as shown; see :func:`open_video`.

    Returns:
        The facts.

    Raises:
        InvalidInputError: If there is no such kind of source or no such back end.
        VideoDecodeError: If the source cannot be fetched or read.
    """
    with open_video(source, backend=backend, limits=limits, square_pixels=square_pixels) as reader:
        return reader.info


def read_video_frames(
    source: VideoSource,
    indices: Sequence[int] | np.ndarray,
    backend: DecodingBackend = "auto",
    *,
    limits: DecodingLimits = DEFAULT_LIMITS,
    square_pixels: bool = True,
) -> torch.Tensor:
    """Decode some frames of a video.

    Args:
        source: What :func:`~clipbert_hf.video.sources.resolve_source` accepts.
        indices: Which frames, in any order, possibly repeated.
        backend: The decoder for encoded videos.
        limits: What the video may cost.
        square_pixels: Whether frames are scaled to the proportions that are shown; see :func:`open_video`.

    Returns:
        RGB frames as they are shown, in the order of ``indices``, uint8 (len(indices), 3, height, width). Untagged
        colours are BT.601, HDR is converted to BT.709, and what is transparent is white:
        :mod:`clipbert_hf.video.picture` has the particulars.

    Raises:
        InvalidInputError: If there is no such kind of source, no such back end or no such frame.
        VideoDecodeError: If the source cannot be fetched or a frame not decoded.
    """
    with open_video(source, backend=backend, limits=limits, square_pixels=square_pixels) as reader:
        return reader.read(indices)


def image_kind(head: bytes) -> Literal["image", "gif"] | None:
    """Recognise image files by their first bytes; anything else may be a video.

    Args:
        head: At least the first 12 bytes of the file.
    """
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    magic = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*")
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_avif = head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1")
    is_pixmap = head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace()
    return "image" if head.startswith(magic) or is_webp or is_avif or is_pixmap else None
