"""From an image of Pillow, of any mode, to the colours that are shown."""

from __future__ import annotations

from typing import Any

import numpy as np

from .picture import on_white

_MODES_WITH_ALPHA = frozenset({"RGBA", "RGBa", "LA", "PA"})
_MODES_WITH_MASK = frozenset({"1", "L", "P", "RGB"})  # one colour of which may be transparent


class UnknownPixelsError(ValueError):
    """Nothing tells which number is white; those who read the image say which one it is."""


def image_to_array(image: Any) -> np.ndarray:
    """Convert a PIL image of any mode to RGB, uint8 (height, width, 3); what is transparent becomes white.

    Raises:
        UnknownPixelsError: If its pixels are floating-point numbers, or integers of more than 16 bits: nothing tells
            which of them is white.
    """
    if image.mode == "F":
        raise UnknownPixelsError("expected an image of 8 or 16 bits, its pixels are floating-point numbers")
    if image.mode.startswith("I"):
        return _from_16_bits(image)
    if image.mode == "La":  # which has a way to no other mode
        image = image.convert("LA")
    if image.mode in _MODES_WITH_ALPHA or (image.mode in _MODES_WITH_MASK and "transparency" in image.info):
        return on_white(np.array(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _from_16_bits(image: Any) -> np.ndarray:
    """Scale 16-bit grey to 8 bits, which Pillow would clip to 255."""
    values = np.asarray(image)
    if values.size and not 0 <= values.min() <= values.max() <= 0xFFFF:
        found = f"its pixels are {values.min()} to {values.max()}"
        raise UnknownPixelsError(f"expected an image of 8 or 16 bits, {found}")
    grey = (values.astype(np.uint32) >> 8).astype(np.uint8)
    grey[values == image.info.get("transparency", -1)] = 255
    return np.repeat(grey[..., None], 3, axis=2)
