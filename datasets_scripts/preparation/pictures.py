"""Videos that are images: animated or still ones, and folders of them, as the reader shows them with Pillow."""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps

from datasets_scripts.annotations.media import FRAME_EXTENSIONS
from datasets_scripts.preparation.errors import UnpreparedError
from datasets_scripts.preparation.reader_rules import image_pixels, orientation
from datasets_scripts.preparation.timeline import Timeline, steady_times

# What Pillow's parsers meet damage with, beside OSError and ValueError.
PILLOW_ERRORS = (SyntaxError, EOFError, OverflowError, struct.error, zlib.error, Image.DecompressionBombError)
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*")
_ANIMATED = frozenset({"PNG", "WEBP", "AVIF"})
_USUAL_MILLISECONDS = 100.0
_FOLDER_RATE = Fraction(25)
_MICROSECONDS = 1_000_000


def is_picture(head: bytes) -> bool:
    """Whether a file is an image for Pillow, by its first 12 bytes; GIFs are for FFmpeg."""
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_avif = head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1")
    return head.startswith(_STARTS) or is_webp or is_avif


class AnimatedPicture:
    """An image of one frame, which is shown for a second, or of several.

    Args:
        path: The file.
    """

    pixel_aspect = Fraction(1)

    def __init__(self, path: str) -> None:
        self._path = path
        with Image.open(path) as image:
            self.height, self.width = _upright(image).shape[:2]
            count = getattr(image, "n_frames", 1) if image.format in _ANIMATED else 1
            if count == 1:
                self.timeline = steady_times(1, Fraction(1))
                return
            lengths = []
            for number in range(count):
                image.seek(number)
                image.load()  # not before this does a WebP tell
                lengths.append(image.info.get("duration") or _USUAL_MILLISECONDS)
        ends = np.round(np.cumsum(lengths) * (_MICROSECONDS / 1000)).astype(np.int64).tolist()
        self.timeline = Timeline(_MICROSECONDS, 0, (0, *ends[:-1]), ends[-1], 1000 * count / float(sum(lengths)))

    def frames(self) -> Iterator[tuple[av.VideoFrame, Any]]:
        """Yield each frame; it is turned already."""
        with Image.open(self._path) as image:
            for number in range(len(self.timeline.ticks)):
                image.seek(number)
                yield av.VideoFrame.from_ndarray(_upright(image), format="rgb24"), orientation.Orientation()


class PictureFolder:
    """A folder of images of one size, the frames of a video at 25 a second.

    Args:
        folder: The folder.
    """

    pixel_aspect = Fraction(1)

    def __init__(self, folder: str) -> None:
        names = [name for name in os.listdir(folder) if os.path.splitext(name)[1].lower() in FRAME_EXTENSIONS]
        names = sorted((name for name in names if not name.startswith(".")), key=_natural_order)
        self._paths = [os.path.join(folder, name) for name in names]
        self.height, self.width = _read_upright(self._paths[0]).shape[:2]
        self.timeline = steady_times(len(names), Fraction(1) if len(names) == 1 else _FOLDER_RATE)

    def frames(self) -> Iterator[tuple[av.VideoFrame, Any]]:
        """Yield each frame; it is turned already.

        Raises:
            UnpreparedError: An image has another size than the first one.
        """
        for path in self._paths:
            pixels = _read_upright(path)
            if pixels.shape[:2] != (self.height, self.width):
                found = f"{pixels.shape[1]}x{pixels.shape[0]}"
                raise UnpreparedError(f"{os.path.basename(path)} has {found}, the first {self.width}x{self.height}")
            yield av.VideoFrame.from_ndarray(pixels, format="rgb24"), orientation.Orientation()


def _natural_order(name: str) -> tuple[Any, ...]:
    parts = re.split(r"(\d+)", name)
    return ([int(part) if place % 2 else part for place, part in enumerate(parts)], name)


def _read_upright(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return _upright(image)


def _upright(image: Any) -> np.ndarray:
    """The pixels of an image as it is shown, uint8 (height, width, 3)."""
    return image_pixels.image_to_array(ImageOps.exif_transpose(image))
