"""What is wrong with one video, as opposed to the whole command."""

from __future__ import annotations

from datasets_scripts.errors import DatasetError


class UnpreparedError(DatasetError):
    """A video cannot be prepared so that the reader finds the same frames at the same times in it."""
