"""The order in which an epoch has its samples: it follows from the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from .rows import compact_places


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index), in an order that follows from the seed and the epoch.

    Args:
        length: Number of samples.
        shuffle: Whether the order is random.
        seed: Seed of the order.
    """

    def __init__(self, length: int, *, shuffle: bool, seed: int) -> None:
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self.epoch = 0

    @property
    def described(self) -> str:
        """What the order depends on, beside the seed, the epoch and the number of samples."""
        return ""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields; without shuffling every pass is the same, epoch 0."""
        if self.shuffle:
            self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def order(self) -> np.ndarray:
        """The samples of the epoch, each once."""
        places = compact_places(np.arange(self.length), self.length)
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch]).shuffle(places)
        return places

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, int(index)) for index in self.order())


class Part(NamedTuple):
    """One of several data sets that are read together.

    Args:
        shards: How many it has; what is not streamed is one.
        streamed: Whether its samples are to come shard by shard; otherwise they come in any order.
    """

    shards: int
    streamed: bool


class StreamSampler(EpochSampler):
    """Yields (epoch, index) in an order in which each reader reads on in shards of its own.

    Batches go round: to one process after the other, and in each to one worker after the other. So every reader has the
    batches of a stretch of the shards, and all have as many, however the shards differ in size. Of several data sets
    each is read at a pace of its own, so that every part of an epoch has all of them, each by its size.

    Args:
        shard_of: For each sample the shard that it is in; samples of a shard are in its order.
        parts: The data sets, by which the shards are numbered one after the other; without them all are of one.
        readers: Workers in all processes.
        batch_size: Samples of a batch.
        buffer: Among how many samples of a stretch the next one is drawn.
        seed: Seed of the order.
    """

    def __init__(
        self,
        shard_of: np.ndarray,
        *,
        parts: Sequence[Part] = (),
        readers: int,
        batch_size: int,
        buffer: int,
        seed: int,
    ) -> None:
        super().__init__(len(shard_of), shuffle=True, seed=seed)
        self.parts = parts
        self.shard_of, self.readers, self.batch_size, self.buffer = shard_of, readers, batch_size, buffer

    @property
    def described(self) -> str:
        """See the base. Another number of workers would have other stretches."""
        return f"streamed by {self.readers} workers in all"

    def order(self) -> np.ndarray:
        """The samples of the epoch, each once."""
        generator = np.random.default_rng([self.seed, self.epoch])
        in_shards = self._together(self._in_shards(generator), generator)
        reader_of = np.arange(self.length) // self.batch_size % self.readers
        order, first = np.empty(self.length, dtype=np.int64), 0
        for reader in range(self.readers):
            places = np.flatnonzero(reader_of == reader)
            stretch = in_shards[first : first + len(places)]
            order[places] = buffered(stretch, self.buffer, np.random.default_rng([self.seed, self.epoch, reader]))
            first += len(places)
        return order

    def _in_shards(self, generator: np.random.Generator) -> np.ndarray:
        """All samples, shard by shard in a random order."""
        numbers = generator.permutation(int(self.shard_of.max(initial=0)) + 1)
        return np.argsort(numbers[self.shard_of], kind="stable")

    def _together(self, samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Samples of several data sets, all of which begin and end with the epoch."""
        if len(self.parts) < 2:
            return samples
        part_of = np.repeat(np.arange(len(self.parts)), [part.shards for part in self.parts])[self.shard_of]
        passed = np.empty(self.length)  # of the epoch when a sample comes, from 0 to 1
        for number, part in enumerate(self.parts):
            own = samples[part_of[samples] == number]
            if not part.streamed:
                own = generator.permutation(own)
            passed[own] = (np.arange(len(own)) + 0.5) / max(len(own), 1)
        return np.argsort(passed, kind="stable")


def buffered(samples: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Samples in the order in which they leave a buffer that the following ones fill up.

    Example:
        >>> buffered(np.arange(5), 1, np.random.default_rng(0))
        array([0, 1, 2, 3, 4])
    """
    size = min(size, len(samples))
    buffer, left = samples[:size].tolist(), []
    drawn = generator.integers(size, size=len(samples) - size).tolist() if size else []
    for place, following in zip(drawn, samples[size:].tolist(), strict=True):
        left.append(buffer[place])
        buffer[place] = following
    return np.array([*left, *(buffer[place] for place in generator.permutation(size))], dtype=np.int64)
