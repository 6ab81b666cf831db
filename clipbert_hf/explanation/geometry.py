"""Where what the model sees lies on the frame: frames are resized, and padded to a square at the right and the bottom.

Shapes: H×W the frame as it is shown, h×w the same resized, L×L the square that the model takes, R×C a map of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidInputError


@dataclass(frozen=True)
class FrameGeometry:
    """From a map of what the model takes to a map of the frame.

    Args:
        frame: Height and width of the frame in pixels, (H, W).
        content: Of the resized frame, which begins at the upper left of what the model takes, (h, w).
        model: Of what the model takes, (L, L) with padding.
    """

    frame: tuple[int, int]
    content: tuple[int, int]
    model: tuple[int, int]

    @classmethod
    def of(cls, frame: tuple[int, int], model: tuple[int, int], *, longest_edge: int | None) -> FrameGeometry:
        """Of a video processor.

        Args:
            frame: (H, W).
            model: (L, L).
            longest_edge: To which frames are resized, as the video processor does it; None: they are not.
        """
        if longest_edge is None:
            return cls(frame, frame, model)
        longer = max(frame)
        height, width = (max(side * longest_edge // longer, 1) for side in frame)
        return cls(frame, (height, width), model)

    def on_frame(self, values: np.ndarray) -> np.ndarray:
        """Lay a map of what the model takes on the frame; what lies on the padding falls away.

        Args:
            values: (R, C), of cells that part the square evenly.

        Returns:
            (H, W), between the centres of cells that touch the picture bilinear, beyond the outermost ones constant.

        Raises:
            InvalidInputError: If the map has other than two dimensions, or no cell.
        """
        if values.ndim != 2 or not values.size:
            raise InvalidInputError(f"a map must be (rows, columns); got shape {values.shape}")
        weights = []
        for cells, side, content, pixels in zip(values.shape, self.model, self.content, self.frame, strict=True):
            within = content / side * cells  # how many cells the picture fills
            places = within * (np.arange(pixels) + 0.5) / pixels - 0.5
            weights.append(_interpolation(cells, min(math.ceil(within - 1e-9), cells), places))
        return weights[0] @ values @ weights[1].T

    def share_on_padding(self, values: np.ndarray) -> float:
        """Which part of the weight of a map lies on the padding.

        Args:
            values: (R, C), not negative.
        """
        inside = [
            np.clip(content / side * cells - np.arange(cells), 0, 1)
            for cells, side, content in zip(values.shape, self.model, self.content, strict=True)
        ]
        total = values.sum()
        return float(1 - inside[0] @ values @ inside[1] / total) if total > 0 else 0.0


def _interpolation(cells: int, used: int, places: np.ndarray) -> np.ndarray:
    """Weights of cells, of which the first few are used, at places between them, (places, cells)."""
    places = np.clip(places, 0, used - 1)
    low = np.minimum(places.astype(np.int64), max(used - 2, 0))
    weights = np.zeros((len(places), cells))
    lines = np.arange(len(places))
    weights[lines, low] = 1 - (places - low)
    weights[lines, np.minimum(low + 1, used - 1)] += places - low
    return weights


def peak(values: np.ndarray) -> tuple[int, int]:
    """The pixel where a map is largest; of a plateau the one nearest to the plateau's middle.

    Args:
        values: (H, W).

    Returns:
        Row and column.

    Example:
        >>> peak(np.array([[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]]))
        (1, 2)
    """
    highest = values.max()
    scale = max(abs(highest), abs(values.min()))
    places = np.argwhere(values >= highest - 1e-9 * scale)
    middle = places.mean(0)
    row, column = places[((places - middle) ** 2).sum(1).argmin()]
    return int(row), int(column)
