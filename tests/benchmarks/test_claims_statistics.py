"""Intervals are those of a naive bootstrap, and verdicts follow from intervals as by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.claims.bootstrap import Estimate, drawn_places, estimate
from benchmarks.claims.decisions import Comparison, Verdict, decide, decide_all, sentence
from benchmarks.claims.outcomes import Outcomes


def naive_interval(values: list[list[float]], draws: int) -> tuple[float, float]:
    """One loop for each thing that is drawn, and percentiles between the two nearest of all draws."""
    means = []
    for seeds, videos in drawn_places(len(values), len(values[0]), draws):
        drawn = [values[seed][video] for seed in seeds for video in videos]
        means.append(100 * sum(drawn) / len(drawn))
    means.sort()

    def percentile(share: float) -> float:
        place = share * (draws - 1)
        below = int(place)
        above = min(below + 1, draws - 1)
        return means[below] + (place - below) * (means[above] - means[below])

    return percentile(0.025), percentile(0.975)


def test_the_bootstrap_is_the_naive_one() -> None:
    values = np.random.default_rng(5).uniform(-1, 1, size=(3, 7))
    found = estimate(values, draws=101)
    assert (found.low, found.high) == pytest.approx(naive_interval(values.tolist(), 101))
    assert found.mean == pytest.approx(100 * values.mean())
    assert found.deviation == pytest.approx(100 * np.sqrt(((values.mean(1) - values.mean()) ** 2).sum() / 2))
    assert estimate(values[:1], draws=3).deviation == 0.0


def test_equal_shares_differ_by_nothing() -> None:
    third = np.full((3, 10), 1 / 3)
    found = estimate(third + third + third - np.full((3, 10), 0.9999999999999998), draws=50)
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)
    assert decide(found) == "not decidable here"


def test_places_are_drawn_evenly_and_always_the_same() -> None:
    seeds, videos = map(np.concatenate, zip(*drawn_places(3, 5, 4000), strict=True))
    for drawn, number in ((seeds, 3), (videos, 5)):
        assert np.bincount(drawn, minlength=number) / len(drawn) == pytest.approx(1 / number, abs=0.01)
    again = [videos.tolist() for _, videos in drawn_places(3, 5, 3)]
    assert again == [videos.tolist() for _, videos in drawn_places(3, 5, 3)]


def test_an_interval_holds_what_it_estimates_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    inside = 0
    for _ in range(100):
        drawn = estimate((generator.random((1, 60)) < 0.7).astype(float), draws=150)
        inside += drawn.low <= 70 <= drawn.high
    assert 0.88 < inside / 100 < 0.99


@pytest.mark.parametrize(
    ("low", "high", "margin", "verdict"),
    [
        (0.1, 3.0, 0.0, "reproduced"),
        (0.0, 0.0, 0.0, "not decidable here"),
        (-0.1, 3.0, 0.0, "not decidable here"),
        (-3.0, -0.1, 0.0, "not reproduced"),
        (-0.9, 0.5, 1.0, "reproduced"),
        (-0.9, -0.2, 1.0, "reproduced"),
        (-1.1, 0.5, 1.0, "not decidable here"),
        (-3.0, -0.1, 1.0, "not reproduced"),
    ],
)
def test_a_comparison_is_decided_by_its_interval(low: float, high: float, margin: float, verdict: Verdict) -> None:
    assert decide(Estimate((low + high) / 2, low, high, 0.0), margin) == verdict


def test_a_claim_holds_if_all_of_it_does_and_the_sentence_says_why() -> None:
    good, bad, open_ = Estimate(2.0, 0.5, 3.5, 1.0), Estimate(-2.0, -3.5, -0.5, 1.0), Estimate(0.5, -1.0, 2.0, 1.0)
    a, b = Comparison("a − b", ()), Comparison("c − d", (), margin=1.0)
    assert decide_all([(a, good), (b, good)]) == "reproduced"
    assert decide_all([(a, good), (b, bad), (a, open_)]) == "not reproduced"
    assert decide_all([(a, good), (a, open_)]) == "not decidable here"
    assert sentence([(a, good), (a, open_)]) == (
        "**Not decidable here** (overlapping intervals): a − b +2.0 points [+0.5, +3.5]; "
        "a − b +0.5 points [-1.0, +2.0] (undecided within ± 1.5)."
    )
    # (1.96 * 9 / 3) ** 2 is 34.6.
    assert sentence([(a, Estimate(1.0, -4.0, 6.0, 9.0))]).endswith(
        "[-4.0, +6.0] (undecided within ± 5.0; seeds differ by ± 9.0, so ± 3 takes at least 35 of them)."
    )
    assert sentence([(b, bad)]) == (
        "**Not reproduced** (an interval is wholly on the other side): "
        "c − d -2.0 points [-3.5, -0.5], where 1 below is allowed."
    )


def test_outcomes_of_videos_by_hand(tmp_path: Path) -> None:
    hits = {"accuracy@1": [1, 0, 1, 1], "motion_accuracy@1": [np.nan, 0, 1, np.nan]}
    outcomes = Outcomes(
        np.array(["a_0", "a_1", "b_0", "b_1"]),
        np.array([0, 0, 1, 1]),
        {name: np.array(some, np.float32) for name, some in hits.items()},
    )
    outcomes.save(tmp_path / "outcomes.npz")
    loaded = Outcomes.load(tmp_path / "outcomes.npz")
    assert loaded.ids.tolist() == outcomes.ids.tolist()
    assert loaded.of_videos("accuracy@1").tolist() == [0.5, 1.0]
    assert loaded.of_videos("motion_accuracy@1").tolist() == [0.0, 1.0]
    assert loaded.metrics() == {"accuracy@1": 75.0, "motion_accuracy@1": 50.0}
