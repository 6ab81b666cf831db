"""The exceptions of clipbert_hf; all derive from :class:`ClipBertError`."""

from __future__ import annotations


class ClipBertError(Exception):
    """Base class of every exception that clipbert_hf raises itself."""


class InvalidInputError(ClipBertError, ValueError):
    """An argument, a tensor or a row of data has the wrong type, rank, range or name."""


class VideoDecodeError(ClipBertError):
    """A video could not be read, or not the frames that were asked for.

    Args:
        path: The file, URL or a description of the source (``"<bytes>"``).
        backend: The decoder that gave up, such as ``"pyav"`` or ``"decord"``.
        reason: What was expected and what came instead.
    """

    def __init__(self, path: str, backend: str, reason: str) -> None:
        super().__init__(path, backend, reason)
        self.path = path
        self.backend = backend
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot decode {self.path} with {self.backend}: {self.reason}"
