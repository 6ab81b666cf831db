"""The temperature that makes probabilities of logits: one number, found on validation data (Guo et al., 2017).

The negative log-likelihood is convex in the inverse of the temperature, so that its minimum is where its derivative
changes sign; halving finds that to the last digit, without a step size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Outside of these a validation split does not say how sure the model may be: all its answers are right, or no better
# than chance.
LOWEST, HIGHEST = 0.02, 50.0
_HALVINGS = 60


@dataclass(frozen=True)
class FittedTemperature:
    """What was found.

    Args:
        temperature: By which logits are to be divided; 1 where it could not be found.
        nll_before: Mean negative log-likelihood at temperature 1, in nats.
        nll_after: The same at ``temperature``.
        questions: On how many it was found.
        problem: Why it was not found; None: it was.
    """

    temperature: float
    nll_before: float
    nll_after: float
    questions: int
    problem: str | None = None


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> FittedTemperature:
    """Find the temperature at which labels are likeliest.

    Args:
        logits: Aggregated over clips, (N, L).
        labels: The right one of each, (N,), integers; of -100, an answer that the model does not have, no temperature
            says anything, and such questions are left out. Or (N, L), from 0 to 1, where each label is judged for
            itself (soft answers): then logits become probabilities by the sigmoid.

    Raises:
        ValueError: If shapes do not fit, a label is outside, or a logit is no number.

    Example:
        >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])  # 98 % sure, and right in 3 of 4
        >>> fitted = fit_temperature(logits, np.array([0, 0, 0, 1]))
        >>> round(fitted.temperature, 3)  # 4 / ln 3, at which it is 75 % sure
        3.641
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    _check(logits, labels)
    if labels.ndim == 1:
        kept = labels != -100
        logits, labels = logits[kept], labels[kept]
    if not len(logits):
        return FittedTemperature(1.0, np.nan, np.nan, 0, "no question has an answer that the model knows")
    before = _nll(logits, labels, 1.0)
    if _slope(logits, labels, 1 / LOWEST) <= 0:
        problem = "the right answers have the highest logits throughout: nothing says how unsure to be"
        return FittedTemperature(1.0, before, before, len(logits), problem)
    if _slope(logits, labels, 1 / HIGHEST) >= 0:
        problem = "answers are no better than chance: nothing says how sure to be"
        return FittedTemperature(1.0, before, before, len(logits), problem)
    low, high = np.log(1 / HIGHEST), np.log(1 / LOWEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(logits, labels, np.exp(middle)) < 0 else (low, middle)
    temperature = float(np.exp(-(low + high) / 2))
    return FittedTemperature(temperature, before, _nll(logits, labels, 1 / temperature), len(logits))


def confidences(logits: np.ndarray, temperature: float = 1.0, *, independent: bool = False) -> np.ndarray:
    """The probability of the best label of each question, (N,), from logits (N, L).

    Args:
        logits: Aggregated over clips.
        temperature: By which they are divided.
        independent: Whether each label is judged for itself (sigmoid), and not against the others (softmax).
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    return _sigmoid(scaled).max(-1) if independent else _softmax(scaled).max(-1)


def _nll(logits: np.ndarray, labels: np.ndarray, inverse: float) -> float:
    scaled = logits * inverse
    if labels.ndim == 2:
        return float((np.logaddexp(0, scaled) - labels * scaled).sum(-1).mean())
    top = scaled.max(-1)
    log_sum = top + np.log(np.exp(scaled - top[:, None]).sum(-1))
    return float((log_sum - scaled[np.arange(len(labels)), labels]).mean())


def _slope(logits: np.ndarray, labels: np.ndarray, inverse: float) -> float:
    """The derivative of the negative log-likelihood by the inverse temperature."""
    if labels.ndim == 2:
        return float(((_sigmoid(logits * inverse) - labels) * logits).sum(-1).mean())
    expected = (_softmax(logits * inverse) * logits).sum(-1)
    return float((expected - logits[np.arange(len(labels)), labels]).mean())


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -logits))


def _check(logits: np.ndarray, labels: np.ndarray) -> None:
    fits = labels.shape == logits.shape if labels.ndim == 2 else labels.shape == logits.shape[:1]
    if logits.ndim != 2 or not fits:
        raise ValueError(
            f"logits must be (questions, labels), and labels (questions,) or the same; got {logits.shape} and "
            f"{labels.shape}"
        )
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite numbers; some are not")
    if labels.ndim == 1 and (((labels < 0) & (labels != -100)) | (labels >= logits.shape[1])).any():
        raise ValueError(
            f"labels must be -100 or from 0 to {logits.shape[1] - 1}; got {labels.min()} to {labels.max()}"
        )
