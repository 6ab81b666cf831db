"""Accuracy of chosen indices: multiple choice, image-text matching, and masked language modelling."""

from __future__ import annotations

import numpy as np

IGNORED = -100


def choice_accuracy(predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    """Compare chosen indices with the right ones.

    Args:
        predictions: Index of the choice, class or token, of any shape.
        references: The right ones, of the same shape; -100 is left out, as for tokens that are not masked.

    Returns:
        ``accuracy`` (0 to 1) and ``count``, how many were compared.

    Raises:
        ValueError: If the shapes differ, or there is nothing to compare.

    Example:
        >>> choice_accuracy(np.array([2, 0, 1]), np.array([2, -100, 3]))
        {'accuracy': 0.5, 'count': 2}
    """
    predictions, references = np.asarray(predictions), np.asarray(references)
    if predictions.shape != references.shape:
        raise ValueError(f"predictions and references must be as many; got {predictions.shape} and {references.shape}")
    asked = references != IGNORED
    count = int(asked.sum())
    if not count:
        raise ValueError("references must hold at least one index that is not -100; got none")
    return {"accuracy": float((predictions == references)[asked].mean()), "count": count}
