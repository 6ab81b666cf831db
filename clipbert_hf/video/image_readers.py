"""Videos that are images: still ones, animated ones, and folders of them; Pillow reads them."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import Any

import numpy as np
import torch

from ..errors import VideoDecodeError
from .contents import EncodedVideo, FrameFolder
from .image_pixels import UnknownPixelsError, image_to_array
from .limits import DEFAULT_LIMITS, DecodingLimits, Stopwatch
from .reader import VideoReader

try:
    from PIL import Image, ImageOps
except ImportError:
    Image = None  # type: ignore[assignment]

# Its parsers meet damage with errors of several kinds.
PILLOW_ERRORS: tuple[type[Exception], ...] = (SyntaxError, ValueError, OverflowError, struct.error, zlib.error)
if Image is not None:
    PILLOW_ERRORS += (Image.DecompressionBombError,)

_ANIMATED_FORMATS = frozenset({"GIF", "PNG", "WEBP", "AVIF"})
_DEFAULT_FRAME_MILLISECONDS = 100.0


class PillowReader(VideoReader):
    """Reads still images, which are videos of one frame at 1 fps, and animated PNG, WebP and GIF.

    Args:
        source: The file or its content.
        limits: What the video may cost.

    Raises:
        VideoDecodeError: If Pillow is missing or cannot read it, or it passes a limit.
    """

    backend = "pillow"
    _errors = PILLOW_ERRORS

    def __init__(self, source: EncodedVideo, limits: DecodingLimits = DEFAULT_LIMITS) -> None:
        self.name = source.name
        self.limits = limits
        self._clock = Stopwatch(limits.max_seconds, name=self.name, backend=self.backend)
        if Image is None:
            raise VideoDecodeError(self.name, self.backend, "Pillow is not installed (pip install pillow)")
        with self._decoding():
            self._file = source.open()
        try:
            with self._decoding():
                self._image: Any = open_image(self._file)
                limits.check_size(*self._image.size, name=self.name, backend=self.backend)
                animated = self._image.format in _ANIMATED_FORMATS
                self.frames = getattr(self._image, "n_frames", 1) if animated else 1
                limits.check_length(self.frames, 1000.0, name=self.name, backend=self.backend)  # before each is read
                milliseconds = self._durations()
                self.fps = float(1000 * self.frames / milliseconds.sum())
                limits.check_length(self.frames, self.fps, name=self.name, backend=self.backend)
                self._seconds = (np.cumsum(milliseconds) - milliseconds) / 1000
        except BaseException:
            self.close()
            raise

    @property
    def frame_seconds(self) -> np.ndarray:
        """When each frame is first shown, in seconds after the first one, float64 (frames,)."""
        return self._seconds

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _durations(self) -> np.ndarray:
        """Return for how long each frame is shown, in milliseconds; a lone image for a second."""
        if self.frames == 1:
            return np.array([1000.0])
        durations = []
        for index in range(self.frames):
            self._clock.check()
            self._image.seek(index)
            self._image.load()  # not before this does a WebP tell
            durations.append(self._image.info.get("duration") or _DEFAULT_FRAME_MILLISECONDS)
        return np.array(durations, dtype=np.float64)

    def _size(self) -> tuple[int, int]:
        return self._pixels(0).shape[:2]

    def _decode(self, indices: np.ndarray) -> torch.Tensor:
        self._clock.start()
        self.limits.check_request(len(indices), *self._image.size, name=self.name, backend=self.backend)
        frames = np.stack([self._pixels(int(index)) for index in indices])
        return torch.from_numpy(frames).permute(0, 3, 1, 2)

    def _pixels(self, index: int) -> np.ndarray:
        self._clock.check()
        self._image.seek(index)
        return _upright(self._image, self.name)


class FrameFolderReader(VideoReader):
    """Reads a folder of images of one size as a video.

    Args:
        source: The folder.
        limits: What the video may cost.
        fps: Rate of the frames, which no image tells.

    Raises:
        VideoDecodeError: If Pillow is missing, an image cannot be read or has another size, or a limit is passed.
    """

    backend = "pillow"
    _errors = PILLOW_ERRORS

    def __init__(self, source: FrameFolder, limits: DecodingLimits = DEFAULT_LIMITS, *, fps: float) -> None:
        self.name = source.name
        self.limits = limits
        self.frames = len(source.paths)
        self.fps = fps
        self._paths = source.paths
        self._clock = Stopwatch(limits.max_seconds, name=self.name, backend=self.backend)
        if Image is None:
            raise VideoDecodeError(self.name, self.backend, "Pillow is not installed (pip install pillow)")
        limits.check_length(self.frames, fps, name=self.name, backend=self.backend)
        self._shape: tuple[int, int] | None = None

    def _size(self) -> tuple[int, int]:
        if self._shape is None:
            with self._decoding(self._paths[0]):
                self._shape = self._pixels(self._paths[0]).shape[:2]
        return self._shape

    def _decode(self, indices: np.ndarray) -> torch.Tensor:
        self._clock.start()
        height, width = self._size()
        self.limits.check_request(len(indices), width, height, name=self.name, backend=self.backend)
        frames = np.empty((len(indices), height, width, 3), dtype=np.uint8)
        for slot, index in enumerate(indices.tolist()):
            path = self._paths[index]
            with self._decoding(path):
                pixels = self._pixels(path)
                if pixels.shape[:2] != (height, width):
                    reason = (
                        f"expected {width}x{height} as the folder's first image, got {pixels.shape[1]}x{len(pixels)}"
                    )
                    raise VideoDecodeError(path, self.backend, reason)
                frames[slot] = pixels
        return torch.from_numpy(frames).permute(0, 3, 1, 2)

    def _pixels(self, path: str) -> np.ndarray:
        self._clock.check()
        with open(path, "rb") as file, open_image(file) as image:
            self.limits.check_size(*image.size, name=path, backend=self.backend)
            return _upright(image, path)


def _upright(image: Any, name: str) -> np.ndarray:
    """Convert an image file to RGB, uint8 (height, width, 3), turned as its tag says."""
    try:
        return image_to_array(ImageOps.exif_transpose(image))
    except UnknownPixelsError as error:
        raise VideoDecodeError(name, "pillow", str(error)) from error


def open_image(file: Any) -> Any:
    """Open an image with Pillow; its own warning about large ones is dropped, since ours is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file)
