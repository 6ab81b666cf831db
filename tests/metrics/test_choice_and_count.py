from __future__ import annotations

from pathlib import Path

import evaluate
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.metrics import choice_accuracy, count_error

METRICS = Path(__file__).parents[2] / "clipbert_hf" / "metrics" / "evaluation_modules"


def test_choice_table() -> None:
    predictions, references = np.array([[3, 1], [0, 2]]), np.array([[3, -100], [1, 2]])
    assert choice_accuracy(predictions, references) == {"accuracy": pytest.approx(2 / 3), "count": 3}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_choice_naive(pairs: list[tuple[int, int]]) -> None:
    predictions, references = (np.array(side) for side in zip(*pairs, strict=True))
    right = len([1 for one, other in pairs if one == other])
    assert choice_accuracy(predictions, references) == {"accuracy": right / len(pairs), "count": len(pairs)}


def test_count_table() -> None:
    # Rounded: 2, 2 (half to even), 0, 7
    result = count_error(np.array([1.6, 2.5, -0.4, 7.0]), np.array([2, 3, 0, 5]))
    assert result == {
        "mse": 5 / 4,
        "mse_unrounded": pytest.approx((0.16 + 0.25 + 0.16 + 4) / 4),
        "accuracy": 0.5,
    }


@given(st.lists(st.tuples(st.floats(-20, 20), st.integers(0, 10)), min_size=1))
def test_count_naive(pairs: list[tuple[float, int]]) -> None:
    predictions, references = (np.array(side) for side in zip(*pairs, strict=True))
    expected = sum((round(number) - count) ** 2 for number, count in pairs) / len(pairs)
    assert count_error(predictions, references)["mse"] == pytest.approx(expected)


def test_load_by_path() -> None:
    choice = evaluate.load(str(METRICS / "choice_accuracy.py"))
    assert choice.compute(predictions=[1, 2], references=[1, 0]) == {"accuracy": 0.5, "count": 2}
    count = evaluate.load(str(METRICS / "count_error.py"))
    assert count.compute(predictions=[1.2, 4.0], references=[1, 2])["mse"] == 2.0


@pytest.mark.parametrize(
    ("function", "predictions", "references", "message"),
    [
        (choice_accuracy, [1], [1, 2], "as many"),
        (choice_accuracy, [1], [-100], "not -100; got none"),
        (count_error, [1.0], [1, 2], "as many"),
        (count_error, [], [], "at least one count"),
        (count_error, [float("nan")], [1], "finite; got nan"),
    ],
)
def test_wrong_input(function, predictions: list[float], references: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(np.array(predictions), np.array(references))
