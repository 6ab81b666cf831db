"""How a stored picture becomes the one that is shown: turned and mirrored as its display matrix says."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Orientation(NamedTuple):
    """How a stored picture becomes the one that is shown: transposed first, then mirrored.

    Args:
        is_transposed: Rows become columns.
        flips_rows: The last row becomes the first.
        flips_columns: The last column becomes the first.
    """

    is_transposed: bool = False
    flips_rows: bool = False
    flips_columns: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Return a view of pixels (height, width, 3) as they are shown."""
        if self.is_transposed:
            pixels = pixels.transpose(1, 0, 2)
        return pixels[:: -1 if self.flips_rows else 1, :: -1 if self.flips_columns else 1]


def is_mirrored(orientation: Orientation) -> bool:
    """Tell whether turning alone does not lead to an orientation."""
    return sum(orientation) % 2 == 1


def orientation_of(frame: Any) -> Orientation:
    """Read the display matrix of a frame, rounded to quarter turns.

    Its rotation alone does not tell: a mirrored picture looks like one that is turned by 180 degrees.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know other data of this frame, such as those of stereoscopic video
        return _QUARTER_TURNS[round(frame.rotation / 90) % 4]
    if matrix is None:
        return Orientation()
    # A point (x, y) of the stored picture, y downwards, is shown at (a x + c y, b x + d y).
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(is_transposed=True, flips_rows=b < 0, flips_columns=c < 0)
    return Orientation(flips_rows=d < 0, flips_columns=a < 0)


_QUARTER_TURNS = (  # counterclockwise
    Orientation(),
    Orientation(is_transposed=True, flips_rows=True),
    Orientation(flips_rows=True, flips_columns=True),
    Orientation(is_transposed=True, flips_columns=True),
)
