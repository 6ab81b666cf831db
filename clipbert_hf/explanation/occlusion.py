"""Squares of a picture, covered one after the other (Zeiler and Fergus, 2014)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import InvalidInputError

Window = tuple[int, int, int, int]


def occlusion_windows(content: tuple[int, int], *, window: float, step: float) -> list[Window]:
    """The squares that cover a picture.

    Args:
        content: Height and width of the picture within what the model takes, in pixels.
        window: Side of a square, as a part of the longer side.
        step: How far squares are apart, likewise, at most ``window``, so that every pixel is covered.

    Returns:
        Top, left, height and width of each; the last of a row or column ends with the picture.

    Raises:
        InvalidInputError: If a part is out of range.

    Example:
        >>> occlusion_windows((2, 4), window=0.5, step=0.25)
        [(0, 0, 2, 2), (0, 1, 2, 2), (0, 2, 2, 2)]
    """
    if not 0 < step <= window <= 1:
        raise InvalidInputError(f"occlusion needs 0 < step <= window <= 1; got step {step} and window {window}")
    longer = max(content)
    side, apart = max(round(window * longer), 1), max(round(step * longer), 1)
    sizes = [min(side, length) for length in content]
    tops, lefts = (
        [*range(0, length - size, apart), length - size] for length, size in zip(content, sizes, strict=True)
    )
    return [(top, left, sizes[0], sizes[1]) for top in tops for left in lefts]


def occlude(pixels: torch.Tensor, windows: Sequence[Window]) -> torch.Tensor:
    """Copies of a clip with one square each covered by the mean colour of the pixel statistics, which is 0.

    Args:
        pixels: Normalised, (T, 3, L, L).
        windows: The squares.

    Returns:
        (windows, T, 3, L, L).
    """
    covered = pixels.repeat(len(windows), 1, 1, 1, 1)
    for clip, (top, left, height, width) in zip(covered, windows, strict=True):
        clip[..., top : top + height, left : left + width] = 0
    return covered
