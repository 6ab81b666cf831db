from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.training.temperature import HIGHEST, LOWEST, confidences, fit_temperature

SEEDS = st.integers(0, 2**31)


def drawn(seed: int, temperature: float, *, questions: int = 4000, labels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are as likely as these logits divided by a temperature say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (questions, labels))
    probabilities = np.exp(logits / temperature)
    probabilities /= probabilities.sum(1, keepdims=True)
    return logits, (probabilities.cumsum(1) > rng.random((questions, 1))).argmax(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_finds_what_labels_were_drawn_with(temperature: float) -> None:
    logits, labels = drawn(0, temperature)
    fitted = fit_temperature(logits, labels)
    assert fitted.temperature == pytest.approx(temperature, rel=0.08)
    assert fitted.questions == len(labels)


@given(SEEDS, st.floats(0.3, 5))
def test_no_other_temperature_is_better(seed: int, temperature: float) -> None:
    logits, labels = drawn(seed, temperature, questions=50)
    fitted = fit_temperature(logits, labels)

    def loss(each: float) -> float:
        return torch.nn.functional.cross_entropy(torch.tensor(logits) / each, torch.tensor(labels)).item()

    assert fitted.nll_before == pytest.approx(loss(1.0), abs=1e-9)
    if fitted.problem is None:
        assert fitted.nll_after == pytest.approx(loss(fitted.temperature), abs=1e-9)
        for factor in (0.5, 0.97, 1.03, 2.0):
            assert loss(fitted.temperature) <= loss(fitted.temperature * factor) + 1e-9


def test_soft_labels_by_the_sigmoid() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (800, 3))
    labels = 1 / (1 + np.exp(-logits / 2.5))  # scores as likely as at 2.5
    fitted = fit_temperature(logits, labels)
    assert fitted.temperature == pytest.approx(2.5, rel=1e-6)
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    expected = loss(torch.tensor(logits / 2.5), torch.tensor(labels), reduction="sum").item() / 800
    assert fitted.nll_after == pytest.approx(expected)


def test_unknown_answers_are_left_out() -> None:
    logits, labels = drawn(1, 2.0, questions=200)
    some = labels.copy()
    some[::3] = -100
    kept = some != -100
    assert fit_temperature(logits, some) == fit_temperature(logits[kept], labels[kept])
    nothing = fit_temperature(logits, np.full(200, -100))
    assert (nothing.temperature, nothing.questions) == (1.0, 0)
    assert nothing.problem is not None
    assert "no question has an answer" in nothing.problem


def test_what_cannot_be_found_changes_nothing() -> None:
    logits = np.array([[3.0, 0.0], [0.0, 5.0]])
    right, wrong = fit_temperature(logits, np.array([0, 1])), fit_temperature(logits, np.array([1, 0]))
    assert right.temperature == wrong.temperature == 1.0
    assert "how unsure" in str(right.problem)
    assert "how sure" in str(wrong.problem)
    assert right.nll_before == right.nll_after
    assert LOWEST < 1 < HIGHEST


def test_confidences_at_a_temperature() -> None:
    logits = np.array([[np.log(3), 0.0], [0.0, 1000.0]])
    assert confidences(logits).tolist() == pytest.approx([0.75, 1.0])
    assert confidences(logits * 2, 2.0).tolist() == pytest.approx([0.75, 1.0])
    assert confidences(logits[:1], independent=True).tolist() == pytest.approx([0.75])


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match=r"got \(2, 2\) and \(3,\)"):
        fit_temperature(np.zeros((2, 2)), np.zeros(3, dtype=int))
    with pytest.raises(ValueError, match="finite"):
        fit_temperature(np.array([[0.0, np.inf]]), np.array([0]))
    with pytest.raises(ValueError, match="labels must be -100 or from 0 to 1; got 0 to 2"):
        fit_temperature(np.zeros((2, 2)), np.array([0, 2]))
