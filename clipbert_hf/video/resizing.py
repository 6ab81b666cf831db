"""Resizing frames as the published preprocessing does it."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def resize_longest_edge(frames: torch.Tensor, longest_edge: int, *, exact: bool = False) -> torch.Tensor:
    """Resize frames so that their longer side has a given length; the other side is truncated to an integer.

    Args:
        frames: uint8 (n, 3, height, width).
        longest_edge: Length in pixels.
        exact: Whether to compute in float32, as published, or in uint8, which rounds to whole grey levels.

    Returns:
        (n, 3, h, w), float32 if exact and uint8 otherwise; bilinear, without antialiasing.
    """
    height, width = frames.shape[-2:]
    longer = max(height, width)
    size = (max(height * longest_edge // longer, 1), max(width * longest_edge // longer, 1))
    if exact or frames.device.type != "cpu":  # only the CPU has kernels for uint8
        frames = frames.float()
    if size == (height, width):
        return frames
    return F.interpolate(frames, size=size, mode="bilinear", align_corners=False, antialias=False)
