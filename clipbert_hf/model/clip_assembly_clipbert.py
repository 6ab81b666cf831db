"""The clips of several videos, of which each frame was decoded once, as one tensor of pixels.

Legend: B videos, K clips, T frames a clip, L the side of a frame in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.video_utils import VideoMetadata

from ..errors import InvalidInputError
from ..video.resizing import to_bytes

# The options that say what becomes of pixels from 0 to 255.
FINISHING = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")


@dataclass(frozen=True)
class Clips:
    """The clips of one video, before they meet those of the others.

    Args:
        frames: Each sampled frame once, resized, (n, 3, h, w).
        places: For each frame of each clip, where it is in ``frames``, (K * T,).
        indices: Which frames of the video these are, (K, T).
        seconds: Start and end of each clip, (K, 2).
        metadata: Facts about the video.
    """

    frames: torch.Tensor
    places: np.ndarray
    indices: np.ndarray
    seconds: np.ndarray
    metadata: VideoMetadata


def empty_clips(clips: Sequence[Clips], side: int | None, dtype: torch.dtype) -> torch.Tensor:
    """Return memory for the clips of all videos, (B, K, T, 3, L, L), or as large as their frames without a side."""
    shapes = {(clip.indices.shape, (side, side) if side else tuple(clip.frames.shape[-2:])) for clip in clips}
    if len(shapes) > 1:
        raise InvalidInputError(f"videos: their clips must have one number of frames and one size, got {shapes}")
    (num_clips, num_frames), (height, width) = shapes.pop()
    for clip in clips:
        h, w = clip.frames.shape[-2:]
        if h > height or w > width:
            raise InvalidInputError(f"videos: frames of {h}x{w} do not fit into {height}x{width}; use do_resize=True")
    return clips[0].frames.new_empty((len(clips), num_clips, num_frames, 3, height, width), dtype=dtype)


def lay_out(clip: Clips, pixels: torch.Tensor, mean: torch.Tensor | None) -> None:
    """Fill (K * T, 3, L, L) with frames and, at the right and at the bottom, zeros; less the mean, if there is one.

    Taking the mean off on the way saves going through all of these pixels once more.
    """
    h, w = clip.frames.shape[-2:]
    border = 0 if mean is None else 0 - mean
    pixels[:, :, h:] = border
    pixels[:, :, :h, w:] = border
    for cell, place in zip(pixels[:, :, :h, :w], clip.places.tolist(), strict=True):
        if mean is None:
            frame = clip.frames[place]
            cell.copy_(to_bytes(frame) if cell.dtype == torch.uint8 else frame)
        else:
            torch.sub(clip.frames[place], mean, out=cell)


def divide_in_place(pixels: torch.Tensor, std: Any) -> None:
    """Divide by the standard deviation of each colour, unless it is 1."""
    std = per_colour(pixels, std)
    if bool((std != 1).any()):
        pixels.div_(std)


def finish_in_place(pixels: torch.Tensor, options: Mapping[str, Any]) -> torch.Tensor:
    """Rescale and normalise pixels of 0 to 255 as ``do_rescale`` and ``do_normalize`` say."""
    if options["do_rescale"]:
        pixels.mul_(options["rescale_factor"])
    if options["do_normalize"]:
        pixels.sub_(per_colour(pixels, options["image_mean"]))
        divide_in_place(pixels, options["image_std"])
    return pixels


def statistics_of(options: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Mean and deviation, (3,) each, with which :func:`normalize_by_video` does what :func:`finish_in_place` does.

    None where the options rescale pixels, which a mean and a deviation do not give to the last bit.
    """
    if options["do_rescale"]:
        return None
    if not options["do_normalize"]:
        return torch.zeros(3), torch.ones(3)
    blank = torch.empty(0)
    mean, std = (per_colour(blank, options[name]).flatten() for name in ("image_mean", "image_std"))
    return mean, std


def normalize_by_video(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Normalise uint8 pixels, (B, K, T, 3, L, L), by the statistics of each video, (B, 3), in float32."""
    mean, std = (value.float()[:, None, None, :, None, None] for value in (mean, std))
    return pixels.float().sub_(mean).div_(std)


def per_colour(pixels: torch.Tensor, value: Any) -> torch.Tensor:
    """Turn one number, or one a colour, into a tensor (3, 1, 1) that goes with pixels."""
    return pixels.new_tensor(value).expand(3)[:, None, None]
