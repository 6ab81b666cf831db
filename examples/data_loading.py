"""From rows to batches: random clips that do not depend on the number of workers, and loaders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
import torch
from data_splits import Row
from recipe import DataSettings, LoopSettings
from torch.utils.data import DataLoader, Dataset, Sampler


def group_by_video(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each video, in order of the videos' first rows; so that a video passes the CNN once for all."""
    groups: dict[str, list[Row]] = {}
    for video, together in groupby(rows, key=lambda row: row["video"]):
        groups.setdefault(video, []).extend(together)
    return list(groups.values())


def group_rows(rows: Iterable[Row], most: int) -> list[list[Row]]:
    """The rows of each video in groups of at most so many; an epoch over the groups has every row once.

    Example:
        >>> rows = [{"video": name, "caption": str(number)} for number, name in enumerate("aaab")]
        >>> [[row["caption"] for row in group] for group in group_rows(rows, 2)]
        [['0', '1'], ['2'], ['3']]
    """
    return [group[first : first + most] for group in group_by_video(rows) for first in range(0, len(group), most)]


class VideoDataset(Dataset[Any]):
    """Samples of videos, each drawn with a generator of its own.

    It is indexed by (epoch, index), as :class:`EpochSampler` yields, so that what is drawn depends on the seed, the
    epoch and the index, and not on the worker that draws it.

    Args:
        groups: What there is for each index, such as the rows of a video.
        read: Turns one of these into a sample, drawing from the generator it is given.
        seed: Seed of all draws.
    """

    def __init__(
        self, groups: list[list[Row]], read: Callable[[list[Row], np.random.Generator], Any], *, seed: int
    ) -> None:
        self.groups, self.read, self.seed = groups, read, seed

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, position: tuple[int, int]) -> Any:
        epoch, index = position
        return self.read(self.groups[index], np.random.default_rng([self.seed, epoch, index]))


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

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields; without shuffling every pass is the same, epoch 0."""
        if self.shuffle:
            self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        return ((self.epoch, int(index)) for index in order)


def create_loader(
    dataset: VideoDataset,
    collate: Callable[[list[Any]], Any],
    loop: LoopSettings,
    data: DataSettings,
    *,
    training: bool,
) -> DataLoader[Any]:
    """A loader for the training loop.

    Args:
        dataset: The samples.
        collate: Turns a list of samples into a batch.
        loop: Batch size and seed.
        data: Number of workers.
        training: Whether samples are shuffled; otherwise they come in order, and in each pass the same.
    """
    batch_size = loop.batch_size if training else loop.eval_batch_size or loop.batch_size
    workers = min(data.num_workers, -(-len(dataset) // batch_size))
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(len(dataset), shuffle=training, seed=loop.seed),
        num_workers=workers,
        collate_fn=collate,
        # The training workers stay, those of an evaluation leave the cores to the training.
        persistent_workers=training and workers > 0,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
        # A loader draws a seed for its workers: from this generator, so that the global one stays as it is.
        generator=torch.Generator().manual_seed(loop.seed),
    )
