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
    if exact:
        return frames.float() if size == (height, width) else _resize(frames.float(), size)
    if size == (height, width):
        return frames
    if not _has_uint8_kernels(frames.device):
        return to_bytes(_resize(frames.float(), size))
    return _resize(frames, size)


def to_bytes(values: torch.Tensor) -> torch.Tensor:
    """Round grey levels to the nearest whole ones, uint8; a plain conversion would cut their fractions off."""
    return values if values.dtype == torch.uint8 else values.round().clamp(0, 255).to(torch.uint8)


def _has_uint8_kernels(device: torch.device) -> bool:
    return device.type == "cpu"


def _resize(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(frames, size=size, mode="bilinear", align_corners=False, antialias=False)
