from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.training.data.loaders import EpochSampler, create_loader
from clipbert_hf.training.data.rows import group_by_video
from clipbert_hf.training.recipe import ScriptSettings


def draw(rows: list[dict[str, Any]], generator: np.random.Generator) -> tuple[int, float]:
    return rows[0]["x"], float(generator.random())


def passes(workers: int, *, training: bool, epochs: int = 2) -> list[list[tuple[int, float]]]:
    settings = ScriptSettings(output_dir="x", data_dir="x", batch_size=3, num_workers=workers, seed=5)
    loader = create_loader([[{"x": i}] for i in range(10)], draw, list, settings, training=training)
    seen = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        seen.append([sample for batch in loader for sample in batch])
    return seen


def test_draws_do_not_depend_on_the_number_of_workers() -> None:
    alone = passes(0, training=True)
    assert alone == passes(1, training=True) == passes(2, training=True)
    assert alone[0] != alone[1]
    for samples in alone:
        assert sorted(x for x, _ in samples) == list(range(10))
        assert len({value for _, value in samples}) == 10


def test_each_pass_over_an_evaluation_split_is_the_same() -> None:
    first, second = passes(1, training=False)
    assert first == second
    assert [x for x, _ in first] == list(range(10))


def test_a_loader_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    passes(1, training=True)
    assert torch.equal(torch.get_rng_state(), state)


@given(st.integers(0, 50), st.integers(0, 2**31), st.integers(0, 99))
def test_sampler_yields_each_index_once(length: int, seed: int, epoch: int) -> None:
    sampler = EpochSampler(length, shuffle=True, seed=seed)
    sampler.set_epoch(epoch)
    positions = list(sampler)
    assert positions == list(sampler)
    assert {number for number, _ in positions} <= {epoch}
    assert sorted(index for _, index in positions) == list(range(length))


def test_rows_of_a_video_come_together() -> None:
    rows = [{"video": name, "id": number} for number, name in enumerate("abacb")]
    assert [[row["id"] for row in group] for group in group_by_video(rows)] == [[0, 2], [1, 4], [3]]
