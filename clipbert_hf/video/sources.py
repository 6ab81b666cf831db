"""What a video may be: a path, a URL, bytes, a file object, a ``datasets`` row, or frames already in memory.

:func:`resolve_source` turns each of them into one of three things: an :class:`EncodedVideo` that a decoder can open,
a :class:`FrameFolder` of images, or a uint8 tensor of frames. No decoder is touched here, nor the network unless an
http(s) URL is given.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, BinaryIO, Union

import numpy as np
import torch

from ..errors import InvalidInputError, VideoDecodeError
from .download import download
from .limits import DEFAULT_LIMITS, DecodingLimits

try:
    from PIL import Image
except ImportError:  # only needed for images
    Image = None  # type: ignore[assignment]

VideoSource = Union[
    str,
    "os.PathLike[str]",
    bytes,
    BinaryIO,
    Mapping[str, Any],
    np.ndarray,
    torch.Tensor,
    "Image.Image",
    Sequence["Image.Image"],
    Sequence[np.ndarray],
    Sequence[torch.Tensor],
]

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".avif"})

_SNIFFED_BYTES = 64
_CHUNK_BYTES = 1 << 20
_URL_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")


@dataclass(frozen=True)
class EncodedVideo:
    """A video as it comes from a disk or the network, not yet decoded; exactly one of path and data is set.

    Args:
        name: What error messages call it: the path, the URL or a placeholder such as ``"<bytes>"``.
        path: Its file.
        data: Its content.
        stream: Which of its streams to read; by default the best one.
    """

    name: str
    path: str | None = None
    data: bytes | None = None
    stream: int | None = None

    def open(self) -> BinaryIO:
        """Open the content for reading; the caller closes it."""
        return open(self.path, "rb") if self.path is not None else io.BytesIO(self.data or b"")

    @cached_property
    def head(self) -> bytes:
        """The first bytes, enough to recognise a file format by its magic number."""
        if self.data is not None:
            return self.data[:_SNIFFED_BYTES]
        try:
            with self.open() as file:
                return file.read(_SNIFFED_BYTES)
        except OSError as error:
            raise VideoDecodeError(self.name, "file", str(error)) from error


@dataclass(frozen=True)
class FrameFolder:
    """A folder whose images are the frames of one video.

    Args:
        name: The folder.
        paths: Its images, ``frame2`` before ``frame10``.
    """

    name: str
    paths: tuple[str, ...]


def resolve_source(
    source: VideoSource, *, limits: DecodingLimits = DEFAULT_LIMITS
) -> EncodedVideo | FrameFolder | torch.Tensor:
    """Find out what a video source is, and fetch it if it is a URL.

    Args:
        source: A path (``str`` or ``Path``) of a video, an image, or a folder of images, which are its frames in
            the order of their names; an http(s) URL, the bytes of a file, a binary file object (read from its
            beginning if it can seek), what ``datasets.Video`` gives: a mapping with ``"bytes"`` or ``"path"``, or a
            torchcodec decoder, whose file is read anew; a uint8 array or tensor of frames (n, 3, h, w) or
            (n, h, w, 3), one frame without n, a PIL image, or a list of frames of one size.
        limits: Where files may lie and how large a download may be.

    Returns:
        An encoded video, a folder of frames, or frames, uint8 (n, 3, height, width).

    Raises:
        InvalidInputError: If it is none of these.
        VideoDecodeError: If the file is missing or empty, the download fails, or a limit is passed.
    """
    if isinstance(source, (str, os.PathLike)):
        return _from_location(os.fspath(source), limits)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(source), "<bytes>")
    if isinstance(source, Mapping):
        return _from_mapping(source, limits)
    if is_torchcodec_decoder(source):
        return _from_torchcodec_decoder(source, limits)
    if hasattr(source, "read"):
        return _from_file_object(source, limits)
    return _from_frames(source)


def is_frame(value: object) -> bool:
    """Tell whether a value is one frame: a PIL image, or an array or tensor of three dimensions."""
    if Image is not None and isinstance(value, Image.Image):
        return True
    return isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim == 3


def is_single_video(value: object) -> bool:
    """Tell one video from a batch of them.

    A list is one video if all its elements are frames, and a batch otherwise; an array of five dimensions is a
    batch.
    """
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview)):
        return bool(value) and all(map(is_frame, value))
    return not (isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim == 5)


def is_torchcodec_decoder(value: object) -> bool:
    """Tell whether a value is a ``torchcodec.decoders.VideoDecoder``, without importing torchcodec."""
    return type(value).__module__.partition(".")[0] == "torchcodec" and hasattr(value, "get_frames_at")


def _from_location(location: str, limits: DecodingLimits) -> EncodedVideo | FrameFolder:
    scheme = _URL_SCHEME.match(location)
    if scheme is None:
        return _from_path(location, limits)
    if scheme[1].lower() in ("http", "https"):
        data = download(
            location,
            timeout=limits.download_seconds,
            max_bytes=limits.max_source_bytes,
            truncated=limits.truncated,
        )
        return _from_bytes(data, location)
    raise VideoDecodeError(location, "url", f"expected a path or an http(s) URL, got {scheme[1]}://")


def _from_path(path: str, limits: DecodingLimits) -> EncodedVideo | FrameFolder:
    if not os.path.lexists(path):
        raise VideoDecodeError(path, "file", "there is no such file")
    limits.check_path(path)
    if not os.path.exists(path):
        raise VideoDecodeError(path, "file", f"it is a symbolic link that leads nowhere, to {os.readlink(path)}")
    if os.path.isdir(path):
        return _from_folder(path, limits)
    if not os.path.isfile(path):
        raise VideoDecodeError(path, "file", "expected a file or a folder of images, this is a device or a pipe")
    if os.path.getsize(path) == 0:
        raise VideoDecodeError(path, "file", "the file is empty (0 bytes)")
    return EncodedVideo(name=path, path=path)


def _from_folder(folder: str, limits: DecodingLimits) -> FrameFolder:
    try:
        names = [name for name in os.listdir(folder) if os.path.splitext(name)[1].lower() in IMAGE_ENDINGS]
    except OSError as error:
        raise VideoDecodeError(folder, "file", str(error)) from error
    # Hidden files are no frames: macOS leaves a "._frame1.jpg" beside each "frame1.jpg".
    paths = [os.path.join(folder, name) for name in sorted(names, key=_natural_order) if not name.startswith(".")]
    if not paths:
        raise VideoDecodeError(folder, "file", "the folder holds no images, which would be the frames of a video")
    for path in paths:
        limits.check_path(path)
        if not os.path.isfile(path):
            raise VideoDecodeError(folder, "file", f"{os.path.basename(path)} is not a file")
    return FrameFolder(name=folder, paths=tuple(paths))


def _natural_order(name: str) -> tuple[Any, ...]:
    """Sort numbers inside of names by their value; names that only differ in leading zeros by themselves."""
    parts = re.split(r"(\d+)", name)  # text and digits in turn, so that like is compared with like
    return ([int(part) if place % 2 else part for place, part in enumerate(parts)], name)


def _from_bytes(data: bytes, name: str) -> EncodedVideo:
    if not data:
        raise VideoDecodeError(name, "bytes", "there is no data (0 bytes)")
    return EncodedVideo(name=name, data=data)


def _from_mapping(row: Mapping[str, Any], limits: DecodingLimits) -> EncodedVideo | FrameFolder:
    path, data = row.get("path"), row.get("bytes")
    if data is not None:
        return _from_bytes(bytes(data), str(path or "<bytes>"))
    if path is None:
        raise InvalidInputError(f"video: a mapping needs 'bytes' or 'path', got {sorted(map(str, row))}")
    return _from_location(os.fspath(path), limits)


def _from_torchcodec_decoder(decoder: Any, limits: DecodingLimits) -> EncodedVideo:
    """Go back to the file that a decoder was made from: what the decoder makes of it cannot be checked."""
    origin = getattr(decoder, "_hf_encoded", None)  # datasets leaves it there
    if origin is None:
        raise InvalidInputError(
            "video: a torchcodec decoder must come out of datasets.Video, which notes the file behind it; "
            "without that nothing tells whether its frames are the right ones: pass the path or the bytes"
        )
    content = _from_mapping(origin, limits)
    if not isinstance(content, EncodedVideo):
        raise InvalidInputError(f"video: expected a decoder of a file, {content.name} is a folder")
    return replace(content, stream=decoder.metadata.stream_index)


def _from_file_object(file: Any, limits: DecodingLimits) -> EncodedVideo:
    name = str(getattr(file, "name", "<file object>"))
    chunks: list[bytes] = []
    size = 0
    try:
        if getattr(file, "seekable", lambda: False)():
            file.seek(0)
        # In pieces, since asking for all that the limit allows would reserve as much.
        while chunk := file.read(_CHUNK_BYTES):
            if not isinstance(chunk, bytes):
                raise InvalidInputError(f"video: open {name} in binary mode; it gave {type(chunk).__name__}")
            chunks.append(chunk)
            size += len(chunk)
            if size > limits.max_source_bytes:
                reason = f"it holds more than {limits.max_source_bytes:.0f} bytes (max_source_bytes)"
                raise VideoDecodeError(name, "file", reason)
    except InvalidInputError:  # a ValueError as well
        raise
    except (OSError, ValueError) as error:  # ValueError: the file is closed
        raise VideoDecodeError(name, "file", str(error)) from error
    return _from_bytes(b"".join(chunks), name)


def _from_frames(frames: Any) -> torch.Tensor:
    """Return frames as uint8 (n, 3, h, w); a view where possible."""
    if Image is not None and isinstance(frames, Image.Image):
        frames = [frames]
    if isinstance(frames, (list, tuple)):
        frames = _stack_frames(frames)
    if isinstance(frames, np.ndarray):
        # torch cannot hold read-only or negatively strided memory, which images and slices have
        usable = frames.flags.writeable and min(frames.strides, default=0) >= 0
        frames = torch.from_numpy(frames if usable else frames.copy())
    if not isinstance(frames, torch.Tensor):
        raise InvalidInputError(
            "video: expected a path, a URL, bytes, a binary file object, a mapping with 'bytes' or 'path', "
            f"a decoder out of datasets, or frames, got {type(frames).__name__}"
        )
    if frames.ndim == 3:
        frames = frames[None]
    shape = tuple(frames.shape)
    if frames.ndim != 4 or 3 not in (shape[1], shape[3]) or 0 in shape:
        raise InvalidInputError(f"video: expected frames of shape (n, 3, h, w) or (n, h, w, 3), got {shape}")
    if frames.dtype != torch.uint8:
        raise InvalidInputError(f"video: expected uint8 frames with values 0 to 255, got {frames.dtype}")
    return frames if shape[1] == 3 else frames.permute(0, 3, 1, 2)


def _stack_frames(frames: Sequence[Any]) -> np.ndarray:
    if not frames or not all(map(is_frame, frames)):
        found = sorted({type(frame).__name__ for frame in frames})
        raise InvalidInputError(f"video: a list must hold frames (images or 3-D arrays), got {found}")
    arrays = [image_to_array(frame) if not hasattr(frame, "ndim") else np.asarray(frame) for frame in frames]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise InvalidInputError(f"video: the frames of one video must have one size, got {shapes}")
    return np.stack(arrays)


def image_to_array(image: Any) -> np.ndarray:
    """Convert a PIL image of any mode to RGB, uint8 (height, width, 3); transparency is dropped."""
    if image.mode.startswith("I"):  # Pillow clips 16-bit grey to 255 instead of scaling it
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    return np.array(image.convert("RGB"))
