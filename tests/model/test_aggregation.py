from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf import InvalidInputError, aggregate_clip_logits

# One text, two clips, two labels.
LOGITS = torch.tensor([[[1.0, -2.0], [3.0, 0.5]]])


@pytest.mark.parametrize(
    ("score_aggregation", "expected"),
    [
        ("mean", [2.0, -0.75]),
        ("max", [3.0, 0.5]),
        ("lse", [math.log(math.e + math.e**3), math.log(math.e**-2 + math.e**0.5)]),
    ],
)
def test_hand_table(score_aggregation, expected):
    assert aggregate_clip_logits(LOGITS, score_aggregation)[0].tolist() == pytest.approx(expected)
    along_first = aggregate_clip_logits(LOGITS.transpose(0, 1), score_aggregation, dim=0)
    assert along_first[0].tolist() == pytest.approx(expected)


@given(
    clips=st.lists(st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=3), min_size=1, max_size=8),
)
def test_against_a_naive_implementation(clips):
    logits = torch.tensor([clips], dtype=torch.float64)
    columns = list(zip(*clips, strict=True))
    naive = {
        "mean": [sum(column) / len(column) for column in columns],
        "max": [max(column) for column in columns],
        "lse": [math.log(math.fsum(math.exp(value) for value in column)) for column in columns],
    }
    for score_aggregation, expected in naive.items():
        assert aggregate_clip_logits(logits, score_aggregation)[0].tolist() == pytest.approx(expected, abs=1e-9)


def test_one_clip_is_returned_as_it_is():
    for score_aggregation in ("mean", "max", "lse"):
        assert torch.allclose(aggregate_clip_logits(LOGITS[:, :1], score_aggregation), LOGITS[:, 0])


def test_errors():
    with pytest.raises(InvalidInputError, match="mean, max, lse; got 'median'"):
        aggregate_clip_logits(LOGITS, "median")
    with pytest.raises(InvalidInputError, match="at least one clip"):
        aggregate_clip_logits(LOGITS[:, :0])
