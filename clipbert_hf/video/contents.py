"""What a source comes down to before a decoder sees it: the content of a file, or a folder of frames."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from ..errors import VideoDecodeError

_SNIFFED_BYTES = 64


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
