"""Every sample once an epoch, and in an order in which each reader of a stream reads on in shards of its own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.training.data.order import StreamSampler, buffered


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
