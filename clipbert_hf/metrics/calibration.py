"""Whether a confidence tells how often answers are right, and what is won by leaving the unsure ones out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def reliability(
    confidences: np.ndarray | Sequence[float], scores: np.ndarray | Sequence[float], *, bins: int = 15
) -> dict[str, np.ndarray]:
    """Answers by their confidence, in bins of equal width (Guo et al., 2017, section 2).

    Bins are open at their lower end, so that a confidence of 1 lies in the last; 0 lies in the first.

    Args:
        confidences: The probability that a model gave each of its answers, (N,), from 0 to 1.
        scores: What each answer was worth, (N,): 1 or True where it was right, 0 where not, or a score between.
        bins: Their number.

    Returns:
        ``count``, ``confidence`` and ``accuracy`` of each bin, (bins,); the means of an empty one are nan.

    Raises:
        ValueError: If there are no answers, the arrays differ in length, or a value is not from 0 to 1.

    Example:
        >>> reliability([0.9, 0.7, 0.2], [1, 0, 0], bins=2)["accuracy"].tolist()
        [0.0, 0.5]
    """
    confident, right = _checked(confidences, scores)
    if bins < 1:
        raise ValueError(f"bins must be at least 1; got {bins}")
    place = np.clip(np.ceil(confident * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, weights=values, minlength=bins) / count for values in (confident, right)]
    return {"count": count, "confidence": means[0], "accuracy": means[1]}


def expected_calibration_error(
    confidences: np.ndarray | Sequence[float], scores: np.ndarray | Sequence[float], *, bins: int = 15
) -> float:
    """How far confidence and accuracy are apart, in the mean over answers (Guo et al., 2017, equation 3).

    Args:
        confidences: As for :func:`reliability`.
        scores: Likewise.
        bins: Of equal width, within which means are compared.

    Returns:
        From 0, where each bin is right as often as it says, to 1.

    Raises:
        ValueError: As :func:`reliability`.

    Example:
        >>> round(expected_calibration_error([0.9, 0.7, 0.2], [1, 0, 0], bins=2), 3)  # 2/3 * |0.5 - 0.8| + 1/3 * 0.2
        0.267
    """
    table = reliability(confidences, scores, bins=bins)
    filled = table["count"] > 0
    gaps = np.abs(table["accuracy"][filled] - table["confidence"][filled])
    return float((table["count"][filled] * gaps).sum() / table["count"].sum())


def accuracy_by_coverage(
    confidences: np.ndarray | Sequence[float], scores: np.ndarray | Sequence[float]
) -> dict[str, np.ndarray]:
    """The accuracy of the surest answers, for each part of the questions that may be answered.

    Its complement is the risk-coverage curve (El-Yaniv and Wiener, 2010). Answers of equal confidence can only be given
    or withheld together, so there is one point for each confidence that occurs.

    Args:
        confidences: As for :func:`reliability`.
        scores: Likewise.

    Returns:
        ``threshold`` (descending: the least confidence that is answered), ``coverage`` (the part answered, up to 1) and
        ``accuracy`` (of these), each with one entry a point.

    Raises:
        ValueError: As :func:`reliability`.

    Example:
        >>> curve = accuracy_by_coverage([0.9, 0.7, 0.7, 0.2], [1, 1, 0, 0])
        >>> curve["coverage"].tolist(), curve["accuracy"].round(3).tolist()
        ([0.25, 0.75, 1.0], [1.0, 0.667, 0.5])
    """
    confident, right = _checked(confidences, scores)
    order = np.argsort(-confident, kind="stable")
    confident, answered = confident[order], np.arange(1, len(order) + 1)
    last = np.append(confident[:-1] != confident[1:], True)  # of equal ones
    return {
        "threshold": confident[last],
        "coverage": answered[last] / len(order),
        "accuracy": np.cumsum(right[order])[last] / answered[last],
    }


def _checked(
    confidences: np.ndarray | Sequence[float], scores: np.ndarray | Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    confident, right = (np.asarray(each, dtype=np.float64) for each in (confidences, scores))
    if confident.ndim != 1 or confident.shape != right.shape:
        raise ValueError(
            f"confidences and scores must be two lists of one length; got shapes {confident.shape} and {right.shape}"
        )
    if not len(confident):
        raise ValueError("confidences must hold at least one answer; got none")
    for name, values in (("confidences", confident), ("scores", right)):
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"{name} must be from 0 to 1; got {values.min()} to {values.max()}")
    return confident, right
