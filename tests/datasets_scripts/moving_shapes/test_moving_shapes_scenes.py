"""The plans of MovingShapes videos keep their promises for every seed."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import COUNTS, shown, videos

from datasets_scripts.moving_shapes.scenes import VideoPlan, plan_split


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), bounds=st.tuples(st.integers(2, 5), st.integers(2, 5)).map(lambda x: sorted(x)))
def test_plans_hold_what_they_promise(seed: int, bounds: list[int]) -> None:
    drawn = plan_split(split="validation", count=4, seed=seed, scenes=(bounds[0], bounds[1]))
    assert drawn[:2] == plan_split(split="validation", count=2, seed=seed, scenes=(bounds[0], bounds[1]))
    for number, plan in enumerate(drawn):
        assert plan.number == number
        assert bounds[0] <= len(plan.scenes) <= bounds[1]
        assert [scene.start for scene in plan.scenes] == [0, *(scene.stop for scene in plan.scenes[:-1])]
        assert plan.scenes[-1].stop == 32
        assert all(scene.stop - scene.start >= 5 and 1 <= scene.copies <= 3 for scene in plan.scenes)
        assert len({scene.color for scene in plan.scenes}) == len(plan.scenes)
        assert len({scene.shape for scene in plan.scenes}) == len(plan.scenes)
        assert VideoPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_splits_and_evaluation_videos_differ(folder: Path) -> None:
    content = videos(folder)
    assert len(content) == len(set(content.values())) == sum(COUNTS.values())
    test = plan_split(split="test", count=200, seed=0, scenes=(3, 4))
    assert len({frozenset(shown(plan)) for plan in test}) == 200
