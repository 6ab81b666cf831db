from __future__ import annotations

import numpy as np

from clipbert_hf.training.data.captions import CaptionPool

ROWS = [
    {"id": "0", "video": "a", "caption": "a red ring"},
    {"id": "1", "video": "a", "caption": "one ring"},
    {"id": "2", "video": "b", "caption": "two stars"},
    {"id": "3", "video": "c", "caption": "a red ring"},
]


def drawn(pool: CaptionPool, video: str) -> set[str | None]:
    return {pool.draw(video, np.random.default_rng(seed)) for seed in range(40)}


def test_captions_of_others() -> None:
    pool = CaptionPool(ROWS)
    assert drawn(pool, "a") == {"two stars"}
    assert drawn(pool, "b") == {"a red ring", "one ring"}
    assert drawn(pool, "c") == {"one ring", "two stars"}


def test_there_may_be_no_negative() -> None:
    assert CaptionPool(ROWS[:2]).draw("a", np.random.default_rng(0)) is None


def test_wrong_captions_are_of_the_same_data_set() -> None:
    others = [{"video": "d", "caption": "the sky"}, {"video": "e", "caption": "a hat"}]
    pool = CaptionPool([{**row, "source": "coco"} for row in ROWS] + [{**row, "source": "vg"} for row in others])
    assert drawn(pool, "b") == {"a red ring", "one ring"}
    assert drawn(pool, "d") == {"a hat"}
    batch = [{"rows": [row]} for row in (ROWS[2], others[0], others[1], ROWS[0])]
    assert [pool.of_others(batch, place) for place in range(4)] == [
        ["a red ring"],
        ["a hat"],
        ["the sky"],
        ["two stars"],
    ]


def test_captions_of_the_batch() -> None:
    pool = CaptionPool(ROWS)
    batch = [{"rows": ROWS[:2]}, {"rows": ROWS[2:3]}, {"rows": ROWS[3:]}]
    assert [pool.of_others(batch, place) for place in range(3)] == [
        ["two stars"],  # that of c is true of a as well
        ["a red ring", "one ring"],  # the first is there twice
        ["one ring", "two stars"],
    ]
    assert pool.of_others(batch[:1], 0) == []


def test_the_caption_most_alike() -> None:
    rows = [{"video": str(n), "caption": text} for n, text in enumerate(["red ring", "blue star", "red star"])]
    pool = CaptionPool(rows)
    assert pool.draw_alike(rows[0], np.random.default_rng(0), among=40) == "red star"
    drawn = {pool.draw_alike(rows[0], np.random.default_rng(seed), among=1) for seed in range(20)}
    assert drawn == {"blue star", "red star"}
