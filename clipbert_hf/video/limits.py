"""How much one video may cost: limits against hostile files, and against honest ones that are too big to use.

A file of a kilobyte can declare a frame of 16384 x 16384 pixels, a million frames, or a day of them. What it declares
is compared with :class:`DecodingLimits` before memory is allocated for it, and decoding is watched by a clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from ..errors import InvalidInputError, VideoDecodeError


@dataclass(frozen=True)
class DecodingLimits:
    """Limits for one video. Each number is positive; ``float("inf")`` lifts one.

    Args:
        max_pixels: Pixels of a frame; the default lets 8K pass twice over.
        max_duration: Length of the video in seconds.
        max_frames: Frames of the video.
        max_decoded_bytes: Size of the frames that one ``read`` returns.
        max_seconds: Time for opening the video, and for each ``read``. A frame that is being decoded is finished.
            decord and torchcodec are only held to it while the file is examined.
        max_source_bytes: Size of what is fetched into memory: a download, or the rest of a file object.
        download_seconds: Time for a download.
        root: Files must lie in this folder once all symbolic links are followed; by default anywhere.
        truncated: What becomes of a file that ends in the middle and of a download that is shorter than the server
            declared: ``"error"``, or ``"read"``, which gives the frames that are there.
            :mod:`clipbert_hf.video.completeness` tells where that is noticed.

    Examples:
        >>> DecodingLimits(max_pixels=1920 * 1080, root="/data/videos").max_pixels
        2073600
    """

    max_pixels: float = 1 << 26
    max_duration: float = 24 * 3600.0
    max_frames: float = 1 << 23
    max_decoded_bytes: float = 1 << 32
    max_seconds: float = 300.0
    max_source_bytes: float = 1 << 30
    download_seconds: float = 60.0
    root: str | os.PathLike[str] | None = None
    truncated: Literal["error", "read"] = "error"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "root":
                if value is not None and not isinstance(value, (str, os.PathLike)):
                    raise InvalidInputError(f"root must be a folder, got {value!r}")
            elif field.name == "truncated":
                if value not in ("error", "read"):
                    raise InvalidInputError(f"truncated must be 'error' or 'read', got {value!r}")
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise InvalidInputError(f"{field.name} must be a positive number, got {value!r}")

    @classmethod
    def from_options(cls, options: Mapping[str, Any] | DecodingLimits | None) -> DecodingLimits:
        """Make limits from those that differ from the defaults, as a processor's configuration holds them.

        Raises:
            InvalidInputError: If there is no such limit, or a value is none.
        """
        if options is None:
            return DEFAULT_LIMITS
        if not isinstance(options, Mapping):
            return options
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise InvalidInputError(f"there is no limit {unknown[0]!r}; there are {', '.join(known)}")
        return cls(**options)

    def check_size(self, width: int, height: int, *, name: str, backend: str) -> None:
        """Refuse frames that are too large.

        Raises:
            VideoDecodeError: If they are.
        """
        if width * height > self.max_pixels:
            reason = f"its frames of {width}x{height} have more than {self.max_pixels:g} pixels (max_pixels)"
            raise VideoDecodeError(name, backend, reason)

    def check_length(self, frames: int, fps: float, *, duration: float | None = None, name: str, backend: str) -> None:
        """Refuse videos that are too long.

        Args:
            frames: Number of frames.
            fps: Frames per second.
            duration: Length in seconds; by default at this rate.
            name: What the message calls the video.
            backend: What it calls the decoder.

        Raises:
            VideoDecodeError: If it is.
        """
        if frames > self.max_frames:
            reason = f"its {frames} frames are more than {self.max_frames:g} (max_frames)"
            raise VideoDecodeError(name, backend, reason)
        seconds = frames / fps if duration is None else duration
        if seconds > self.max_duration:
            reason = f"its {seconds:g} s are longer than {self.max_duration:g} s (max_duration)"
            raise VideoDecodeError(name, backend, reason)

    def check_request(self, frames: int, width: int, height: int, *, name: str, backend: str) -> None:
        """Refuse to decode more at once than memory is meant for.

        Raises:
            VideoDecodeError: If the frames would be larger.
        """
        size = 3 * frames * width * height
        if size > self.max_decoded_bytes:
            reason = (
                f"{frames} frames of {width}x{height} are {size} bytes, "
                f"more than {self.max_decoded_bytes:g} (max_decoded_bytes)"
            )
            raise VideoDecodeError(name, backend, reason)

    @property
    def reads_truncated(self) -> bool:
        """Whether files that end in the middle are read as far as they go."""
        return self.truncated == "read"

    def check_path(self, path: str) -> None:
        """Refuse a path that leads out of the root folder, by ``..`` or by a symbolic link.

        Raises:
            VideoDecodeError: If it does.
        """
        if self.root is None:
            return
        root, target = os.path.realpath(self.root), os.path.realpath(path)
        if target != root and not target.startswith(os.path.join(root, "")):
            raise VideoDecodeError(path, "file", f"it leads to {target}, which is outside of {root} (root)")


DEFAULT_LIMITS = DecodingLimits()


class Stopwatch:
    """Holds the decoding of one video to ``max_seconds``.

    Args:
        seconds: The limit.
        name: What the message calls the video.
        backend: What it calls the decoder.
    """

    def __init__(self, seconds: float, *, name: str, backend: str) -> None:
        self._seconds = seconds
        self._name = name
        self._backend = backend
        self.start()

    def start(self) -> None:
        """Start anew."""
        self._end = time.monotonic() + self._seconds

    def check(self) -> None:
        """Look at the clock.

        Raises:
            VideoDecodeError: If the time is over.
        """
        if time.monotonic() > self._end:
            reason = f"reading it takes longer than {self._seconds:g} s (max_seconds)"
            raise VideoDecodeError(self._name, self._backend, reason)
