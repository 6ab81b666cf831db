from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.metrics import accuracy_by_coverage, expected_calibration_error, reliability

# Five bins: (0.4, 0.6] has 0.5 and 0.6, (0.8, 1] has 0.9, 1 and 1; the others are empty.
CONFIDENCES, SCORES = [0.5, 0.6, 0.9, 1.0, 1.0], [0, 1, 1, 0, 0.5]


def test_table() -> None:
    table = reliability(CONFIDENCES, SCORES, bins=5)
    assert table["count"].tolist() == [0, 0, 2, 0, 3]
    assert table["confidence"][[2, 4]].tolist() == pytest.approx([0.55, 2.9 / 3])
    assert table["accuracy"][[2, 4]].tolist() == pytest.approx([0.5, 0.5])
    assert np.isnan(table["accuracy"][[0, 1, 3]]).all()
    # 2/5 of 0.05 and 3/5 of 1.4/3.
    assert expected_calibration_error(CONFIDENCES, SCORES, bins=5) == pytest.approx(0.02 + 0.28)


def test_bins_are_open_below() -> None:
    assert reliability([0.0, 0.25, 0.5, 0.75, 1.0], [0] * 5, bins=4)["count"].tolist() == [2, 1, 1, 1]


def test_coverage_table() -> None:
    curve = accuracy_by_coverage(CONFIDENCES, SCORES)
    assert curve["threshold"].tolist() == [1.0, 0.9, 0.6, 0.5]
    assert curve["coverage"].tolist() == pytest.approx([0.4, 0.6, 0.8, 1.0])
    assert curve["accuracy"].tolist() == pytest.approx([0.25, 0.5, 0.625, 0.5])


PARTS = st.integers(0, 30).map(lambda part: part / 30)  # many of them on the edges of bins
ROWS = st.lists(st.tuples(PARTS | st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.3])), min_size=1, max_size=40)


def naive_error(rows: list[tuple[float, float]], bins: int) -> float:
    error = 0.0
    for place in range(bins):
        low, high = place / bins, (place + 1) / bins
        inside = [row for row in rows if low * bins < row[0] * bins <= high * bins or (place == 0 and row[0] == 0)]
        if inside:
            confidence = sum(row[0] for row in inside) / len(inside)
            error += abs(confidence - sum(row[1] for row in inside) / len(inside)) * len(inside) / len(rows)
    return error


@given(ROWS, st.sampled_from([1, 5, 15]))
def test_against_naive(rows: list[tuple[float, float]], bins: int) -> None:
    confidences, scores = zip(*rows, strict=True)
    error = expected_calibration_error(confidences, scores, bins=bins)
    assert 0 <= error <= 1 + 1e-12
    # What lies on an edge may fall to either side by rounding; away from edges both agree.
    if all(abs(value * bins - round(value * bins)) > 1e-9 for value in confidences):
        assert error == pytest.approx(naive_error(rows, bins), abs=1e-9)
    curve = accuracy_by_coverage(confidences, scores)
    for threshold, coverage, accuracy in zip(*curve.values(), strict=True):
        given_answers = [score for confidence, score in rows if confidence >= threshold]
        assert coverage == pytest.approx(len(given_answers) / len(rows))
        assert accuracy == pytest.approx(sum(given_answers) / len(given_answers))
    assert curve["threshold"].tolist() == sorted(set(confidences), reverse=True)
    assert curve["accuracy"][-1] == pytest.approx(sum(scores) / len(scores))


@given(ROWS)
def test_order_does_not_matter(rows: list[tuple[float, float]]) -> None:
    for function in (expected_calibration_error, lambda *both: accuracy_by_coverage(*both)["accuracy"]):
        one, other = (function(*zip(*some, strict=True)) for some in (rows, rows[::-1]))
        assert np.asarray(one) == pytest.approx(np.asarray(other), abs=1e-12)


@pytest.mark.parametrize("function", [reliability, expected_calibration_error, accuracy_by_coverage])
def test_wrong_input(function: Any) -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        function([], [])
    with pytest.raises(ValueError, match=r"got shapes \(2,\) and \(1,\)"):
        function([0.1, 0.2], [1])
    with pytest.raises(ValueError, match=r"confidences must be from 0 to 1; got 0.5 to 1.5"):
        function([0.5, 1.5], [1, 0])
    with pytest.raises(ValueError, match="scores must be from 0 to 1"):
        function([0.5, 0.5], [1, float("nan")])
    with pytest.raises(ValueError, match="bins must be at least 1"):
        reliability([0.5], [1], bins=0)
