"""The contract between a decoder and the rest: facts about one video, and its frames by index.

A back end subclasses :class:`VideoReader` and decodes sorted, unique, valid indices; checking, sorting and
scattering back are done here, once for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import ClipBertError, InvalidInputError, VideoDecodeError


@dataclass(frozen=True)
class VideoInfo:
    """Facts about one video.

    Args:
        frames: Number of frames that a viewer sees.
        fps: Frames per second, the mean if the rate varies.
        duration: Length in seconds, from the start of the first frame to the end of the last, however long that stands.
        height: Height of a frame in pixels as displayed, that is after rotation.
        width: Width of a frame in pixels as displayed; with ``square_pixels=False`` as stored, where these differ.
    """

    frames: int
    fps: float
    duration: float
    height: int
    width: int


class VideoReader(ABC):
    """An open video. Open it in the process that reads it, and close it: it holds a file and a decoder.

    Subclasses set the attributes and implement :meth:`_size` and :meth:`_decode`.

    Attributes:
        name: The path, URL or a description of the source, for messages.
        backend: The decoder behind it, such as ``"pyav"``.
        frames: Number of frames.
        fps: Frames per second, the mean if the rate varies.
    """

    name: str
    backend: str
    frames: int
    fps: float
    # What its decoder raises about damaged files beside what :func:`decoding` knows.
    _errors: tuple[type[Exception], ...] = ()

    @property
    def info(self) -> VideoInfo:
        """All facts about the video; the size may cost the decoding of one frame."""
        height, width = self._size()
        return VideoInfo(self.frames, self.fps, self.duration, height, width)

    @property
    def frame_seconds(self) -> np.ndarray:
        """When each frame is first shown, in seconds after the first one, float64 (frames,)."""
        return np.arange(self.frames) / self.fps

    @property
    def duration(self) -> float:
        """When the last frame ends, in seconds after the first one begins."""
        return self.frames / self.fps

    def read(self, indices: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Decode some frames, each of them once.

        Args:
            indices: Which frames, in any order, possibly repeated, each from 0 to ``frames - 1``.

        Returns:
            uint8 RGB tensor (len(indices), 3, height, width), channels last in memory.

        Raises:
            InvalidInputError: If an index is outside of the video or no integer.
            VideoDecodeError: If a frame cannot be decoded.
        """
        wanted = self._checked(indices)
        unique, inverse = np.unique(wanted, return_inverse=True)
        if len(unique) == 0:
            return torch.empty((0, 3, *self._size()), dtype=torch.uint8)
        with self._decoding():
            frames = self._decode(unique)
        if len(unique) == len(wanted) and bool(np.all(wanted[:-1] <= wanted[1:])):
            return frames
        return frames[torch.from_numpy(inverse)]

    def close(self) -> None:  # noqa: B027 (frames in memory have nothing to release)
        """Release the file and the decoder."""

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def _size(self) -> tuple[int, int]:
        """Return (height, width) as displayed."""

    @abstractmethod
    def _decode(self, indices: np.ndarray) -> torch.Tensor:
        """Decode frames; ``indices`` are int64 (n,), n > 0, strictly increasing and inside the video."""

    def _decoding(self, name: str | None = None) -> AbstractContextManager[None]:
        return decoding(name or self.name, self.backend, *self._errors)

    def _checked(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        wanted = np.asarray(indices)
        if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
            raise InvalidInputError(f"indices: expected a list of integers, got shape {wanted.shape} of {wanted.dtype}")
        outside = wanted[(wanted < 0) | (wanted >= self.frames)]
        if outside.size:
            raise InvalidInputError(f"indices: {self.name} has frames 0 to {self.frames - 1}, got {int(outside[0])}")
        return wanted.astype(np.int64)


class FramesReader(VideoReader):
    """A video whose frames are in memory already.

    Args:
        frames: uint8 (n, 3, height, width).
        fps: Their rate; 1 for a lone image.
    """

    name = "<frames>"
    backend = "memory"

    def __init__(self, frames: torch.Tensor, fps: float) -> None:
        self._frames = frames
        self.frames = len(frames)
        self.fps = fps

    def _size(self) -> tuple[int, int]:
        return self._frames.shape[2], self._frames.shape[3]

    def _decode(self, indices: np.ndarray) -> torch.Tensor:
        return self._frames[torch.from_numpy(indices).to(self._frames.device)]


# What decoders raise about a file; anything else is a mistake of ours, or no memory, and passes as it is. OSError
# covers Pillow's UnidentifiedImageError, RuntimeError decord and torchcodec.
_DECODER_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, RuntimeError)
_PROGRAMMING_ERRORS = (NotImplementedError, RecursionError)  # RuntimeErrors as well


@contextmanager
def decoding(name: str, backend: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what a decoder raises about a file into one :class:`VideoDecodeError`.

    Args:
        name: What the message calls the source.
        backend: What it calls the decoder.
        *errors: What this decoder raises about damaged files beside OSError, EOFError and RuntimeError.

    Raises:
        VideoDecodeError: In place of these. Programming errors and MemoryError pass as they are.
    """
    try:
        yield
    except ClipBertError:
        raise
    except (*errors, *_DECODER_ERRORS) as error:
        if isinstance(error, _PROGRAMMING_ERRORS) and not isinstance(error, errors):
            raise
        raise VideoDecodeError(name, backend, _in_plain_words(error)) from error


def _in_plain_words(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    if isinstance(error, OSError) and strerror and type(error).__module__ == "builtins":
        return f"the file cannot be read ({strerror})"
    message = strerror or str(error)
    first_line = next(iter(message.strip().splitlines()), "no message")
    return f"it is damaged, cut short or of an unknown kind ({type(error).__name__}: {first_line})"
