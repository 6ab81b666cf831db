"""Memory for the frames of one read."""

from __future__ import annotations

import numpy as np
import torch


class FrameBuffer:
    """Collects frames of one size, uint8 (n, height, width, 3); memory is taken when the first one tells the size.

    Args:
        length: How many frames there will be.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._frames: np.ndarray | None = None

    def put(self, slot: int, pixels: np.ndarray) -> None:
        """Copy a frame (height, width, 3) into its place."""
        if self._frames is None:
            self._frames = np.empty((self._length, *pixels.shape), dtype=np.uint8)
        self._frames[slot] = pixels

    def as_tensor(self) -> torch.Tensor:
        """Return the frames as (n, 3, height, width) without copying: channels stay last in memory."""
        return torch.from_numpy(self._frames).permute(0, 3, 1, 2)
