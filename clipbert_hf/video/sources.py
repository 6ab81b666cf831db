"""What a video may be: a path, a URL, bytes, a file object, a ``datasets`` row, or frames already in memory.

:func:`resolve_source` turns each of them into one of three things: an :class:`EncodedVideo` that a decoder can open,
a :class:`FrameFolder` of images, or a uint8 tensor of frames. No decoder is touched here, nor the network unless a
URL is given. :func:`list_videos` tells one video from several. Every entrance (reader, video processor, processor,
pipelines) asks these two.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, Union

import numpy as np
import torch

from ..errors import InvalidInputError, VideoDecodeError
from .contents import EncodedVideo, FrameFolder
from .image_pixels import UnknownPixelsError, image_to_array
from .limits import DEFAULT_LIMITS, DecodingLimits
from .locations import from_bytes, locate, read_all

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


def resolve_source(
    source: VideoSource, *, limits: DecodingLimits = DEFAULT_LIMITS, colours: str | None = None
) -> EncodedVideo | FrameFolder | torch.Tensor:
    """Find out what a video source is, and fetch it if it is a URL.

    Args:
        source: A path (``str`` or ``Path``) of a video, an image, or a folder of images, which are its frames in
            the order of their names; a URL (http(s), ``file://``, or what ``fsspec`` opens, such as ``zip://`` and
            ``hf://``); the bytes of a file, a binary file object (read from its beginning if it can seek), what
            ``datasets.Video`` gives: a mapping with ``"bytes"`` or ``"path"``, or a torchcodec decoder, whose file
            is read anew; a uint8 array or tensor of frames (n, 3, h, w) or (n, h, w, 3), one frame without n, a PIL
            image, or a list of frames of one size.
        limits: Where files may lie and how large a download may be.
        colours: Where the colours of an array are: "channels_first" or "channels_last"; by default it is recognised,
            which is right unless a frame is three pixels wide or high.

    Returns:
        An encoded video, a folder of frames, or frames, uint8 (n, 3, height, width).

    Raises:
        InvalidInputError: If it is none of these.
        VideoDecodeError: If the file is missing or empty, the download fails, or a limit is passed.
    """
    if isinstance(source, (str, os.PathLike)):
        return locate(os.fspath(source), limits)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return from_bytes(bytes(source), "<bytes>")
    if isinstance(source, Mapping):
        return _from_mapping(source, limits)
    if is_torchcodec_decoder(source):
        return _from_torchcodec_decoder(source, limits)
    if hasattr(source, "read"):
        return _from_file_object(source, limits)
    return _from_frames(source, colours)


def is_frame(value: object) -> bool:
    """Tell whether a value is one frame: a PIL image, or an array or tensor of three dimensions."""
    if Image is not None and isinstance(value, Image.Image):
        return True
    return isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim == 3


def is_single_video(value: object) -> bool:
    """Tell one video from several.

    A list or tuple is one video if all its elements are frames, and several videos otherwise: paths, arrays of four
    dimensions, lists of frames. So are an array of five dimensions or of paths, a column of a data set, a generator
    and any other iterable that is not a source itself.
    """
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(is_frame, value))
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return value.ndim != 5 and not (isinstance(value, np.ndarray) and value.ndim == 1)
    if isinstance(value, torch.utils.data.Dataset):  # it may be indexed only
        return False
    is_source = isinstance(value, (str, bytes, bytearray, memoryview, os.PathLike, Mapping)) or hasattr(value, "read")
    return is_source or is_torchcodec_decoder(value) or not isinstance(value, Iterable)


def list_videos(value: Any) -> list[Any]:
    """List the videos in what a processor or a pipeline is given.

    Args:
        value: One video (:func:`resolve_source`) or several (:func:`is_single_video`).

    Returns:
        The sources, at least one.

    Raises:
        InvalidInputError: If there is none.
    """
    videos = [value] if is_single_video(value) else list(value)
    if not videos or value is None:
        raise InvalidInputError(f"videos: expected at least one video, got {'None' if value is None else 'none'}")
    return videos


def list_images(value: Any) -> list[Any]:
    """List the images that a processor is given as such: one, or a list, or an array (n, 3, h, w) or (n, h, w, 3).

    Returns:
        Videos of one frame each.

    Raises:
        InvalidInputError: If there is none.
    """
    if isinstance(value, (np.ndarray, torch.Tensor)):
        images = list(value) if value.ndim == 4 else [value]
    elif isinstance(value, (list, tuple)) or not is_single_video(value):
        images = list(value)
    else:
        images = [value]
    if not images:
        raise InvalidInputError("images: expected at least one image, got none")
    return [[image] if is_frame(image) else image for image in images]


def is_torchcodec_decoder(value: object) -> bool:
    """Tell whether a value is a ``torchcodec.decoders.VideoDecoder``, without importing torchcodec."""
    return type(value).__module__.partition(".")[0] == "torchcodec" and hasattr(value, "get_frames_at")


def _from_mapping(row: Mapping[str, Any], limits: DecodingLimits) -> EncodedVideo | FrameFolder:
    path, data = row.get("path"), row.get("bytes")
    if data is not None:
        return from_bytes(bytes(data), str(path or "<bytes>"))
    if path is None:
        raise InvalidInputError(f"video: a mapping needs 'bytes' or 'path', got {sorted(map(str, row))}")
    return locate(os.fspath(path), limits)


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
    try:
        if getattr(file, "seekable", lambda: False)():
            file.seek(0)
        data = read_all(file, name, limits)
    except InvalidInputError:  # a ValueError as well
        raise
    except (OSError, ValueError) as error:  # ValueError: the file is closed
        raise VideoDecodeError(name, "file", str(error)) from error
    return from_bytes(data, name)


def _from_frames(frames: Any, colours: str | None) -> torch.Tensor:
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
    channels_first = shape[1] == 3 if colours is None else colours == "channels_first"
    if shape[1 if channels_first else 3] != 3:
        raise InvalidInputError(f"video: expected three colours, {colours}, got frames of shape {shape}")
    return frames if channels_first else frames.permute(0, 3, 1, 2)


def _stack_frames(frames: Sequence[Any]) -> np.ndarray:
    if not frames or not all(map(is_frame, frames)):
        found = sorted({type(frame).__name__ for frame in frames})
        raise InvalidInputError(f"video: a list must hold frames (images or 3-D arrays), got {found}")
    try:
        arrays = [image_to_array(frame) if not hasattr(frame, "ndim") else np.asarray(frame) for frame in frames]
    except UnknownPixelsError as error:
        raise InvalidInputError(f"video: {error}") from error
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise InvalidInputError(f"video: the frames of one video must have one size, got {shapes}")
    return np.stack(arrays)
