"""Counting: mean squared error of the predicted number, rounded as the literature reports it, and as it is."""

from __future__ import annotations

import numpy as np


def count_error(predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    """Compare predicted numbers with counts.

    Args:
        predictions: Any numbers, (questions,). They are rounded to the nearest integer, halves to the even one.
        references: The right counts, (questions,).

    Returns:
        ``mse`` of rounded numbers, ``mse_unrounded``, and ``accuracy`` of rounded numbers.

    Raises:
        ValueError: If the shapes differ, there are no questions, or a number is not finite.

    Example:
        >>> count_error(np.array([2.4, 5.0]), np.array([2, 3]))
        {'mse': 2.0, 'mse_unrounded': 2.08, 'accuracy': 0.5}
    """
    predictions = np.asarray(predictions, dtype=np.float64)
    references = np.asarray(references, dtype=np.float64)
    if predictions.shape != references.shape:
        raise ValueError(f"predictions and references must be as many; got {predictions.shape} and {references.shape}")
    if not references.size:
        raise ValueError("references must hold at least one count; got none")
    if not np.isfinite(predictions).all():
        raise ValueError(f"predictions must be finite; got {predictions[~np.isfinite(predictions)][0]}")
    rounded = np.rint(predictions)
    return {
        "mse": float(np.square(rounded - references).mean()),
        "mse_unrounded": float(np.square(predictions - references).mean()),
        "accuracy": float((rounded == references).mean()),
    }
