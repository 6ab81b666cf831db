"""Every sample once an epoch, and in an order in which each reader of a stream reads on in shards of its own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.training.data.order import Part, StreamSampler, buffered


def sampler(sizes: list[int], **options: int) -> StreamSampler:
    given_options = {"readers": 1, "batch_size": 1, "buffer": 1, "seed": 0, **options}
    return StreamSampler(np.repeat(np.arange(len(sizes)), sizes), **given_options)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=6),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(0, 3),
)
def test_each_sample_once_and_every_reader_as_many_batches(
    sizes: list[int], readers: int, batch_size: int, buffer: int, epoch: int
) -> None:
    order = sampler(sizes, readers=readers, batch_size=batch_size, buffer=buffer)
    order.set_epoch(epoch)
    positions = [*order]
    assert sorted(positions) == [(epoch, index) for index in range(sum(sizes))]
    assert positions == [*order]


def test_each_reader_has_a_stretch_of_the_shards() -> None:
    order = sampler([10, 2, 7, 5], readers=3, batch_size=2)
    order.set_epoch(1)
    indices = [index for _, index in order]
    batches = [indices[first : first + 2] for first in range(0, 24, 2)]
    shards = np.random.default_rng([0, 1]).permutation(4)
    starts = {0: range(10), 1: range(10, 12), 2: range(12, 19), 3: range(19, 24)}
    in_shards = [index for shard in np.argsort(shards) for index in starts[int(shard)]]
    read = [[index for batch in batches[reader::3] for index in batch] for reader in range(3)]
    assert read == [in_shards[:8], in_shards[8:16], in_shards[16:]]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=4), st.integers(0, 3))
def test_each_sample_of_several_data_sets_once(parts: list[tuple[int, bool]], epoch: int) -> None:
    shard_of = np.repeat(np.arange(len(parts)), [size for size, _ in parts])
    order = StreamSampler(
        shard_of, parts=[Part(1, streamed) for _, streamed in parts], readers=2, batch_size=2, buffer=2, seed=0
    )
    order.set_epoch(epoch)
    assert sorted(index for _, index in order) == list(range(len(shard_of)))


def test_several_data_sets_are_read_at_once_each_by_its_size() -> None:
    """One of three shards of 20, one of a shard of 20, and 40 samples that are not streamed."""
    shard_of = np.repeat([0, 1, 2, 3, 4], [20, 20, 20, 20, 40])
    parts = [Part(3, True), Part(1, True), Part(1, False)]
    order = StreamSampler(shard_of, parts=parts, readers=1, batch_size=1, buffer=1, seed=1)
    indices = np.array([index for _, index in order])
    for first in range(0, 120, 12):
        tenth = indices[first : first + 12]
        assert [sum(tenth < 60), sum((tenth >= 60) & (tenth < 80)), sum(tenth >= 80)] == [6, 2, 4]
    first, second, third = (
        indices[(indices >= low) & (indices < high)] for low, high in ((0, 60), (60, 80), (80, 120))
    )
    assert sorted(np.unique(first // 20, return_index=True)[1]) == [0, 20, 40]  # shard after shard, each
    assert all((np.diff(first % 20) == 1) | (np.diff(first // 20) != 0))  # from front to back
    assert second.tolist() == list(range(60, 80))
    assert sorted(third) == list(range(80, 120))
    assert third.tolist() != sorted(third)


def test_epochs_differ() -> None:
    order = sampler([5, 5, 5, 5], buffer=3)
    seen = []
    for epoch in range(3):
        order.set_epoch(epoch)
        seen.append([index for _, index in order])
    assert len({tuple(indices) for indices in seen}) == 3


@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 99))
def test_a_buffer_shuffles_nearby(length: int, size: int, seed: int) -> None:
    left = buffered(np.arange(length), size, np.random.default_rng(seed)).tolist()
    assert sorted(left) == list(range(length))
    # What leaves first has to be in the buffer by then.
    assert all(index < place + size for place, index in enumerate(left))
