"""From rows to batches: random clips that do not depend on the number of workers, and loaders."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch.utils.data import DataLoader, Dataset

from ...errors import VideoDecodeError
from ..faults import KEY, Unreadable, ignore_termination
from ..recipe import ScriptSettings
from .order import EpochSampler, Part, StreamSampler
from .prepared import check_prepared_size, preparations
from .row_tables import Row, RowTable
from .rows import Groups, as_groups, give_back_memory
from .workers import batches_ahead, choose_workers

# So many videos in a row that cannot be read are no accident.
_ATTEMPTS = 100


class VideoDataset(Dataset[Any]):
    """Samples of videos, each drawn with a generator of its own.

    It is indexed by (epoch, index), as :class:`EpochSampler` yields, so that what is drawn depends on the seed, the
    epoch and the index, and not on the worker that draws it. An item is a sample and what could not be read for it;
    the sample is None where nothing could.

    Args:
        groups: What there is for each index, such as the rows of a video; lists of lists of rows will do.
        read: Turns one of these into a sample, drawing from the generator it is given.
        seed: Seed of all draws.
        replace: Whether the next video that can be read takes the place of one that cannot, so that batches stay whole.
        blank: What makes a sample of a video that cannot be read instead, so that its questions still count.
        order: What the order of an epoch depends on, beside the seed; a run that resumes needs the same.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Row]],
        read: Callable[[list[Row], np.random.Generator], Any],
        *,
        seed: int,
        replace: bool = False,
        blank: Callable[[list[Row], np.random.Generator], Any] | None = None,
        order: str = "",
    ) -> None:
        self.groups, self.read, self.seed = as_groups(groups), read, seed
        self.replace, self.blank, self.order = replace, blank, order

    def __len__(self) -> int:
        return len(self.groups)

    def fingerprint(self) -> str:
        """A hash of all rows but for where their videos lie, which may be moved; and of how these were prepared."""
        digest = hashlib.sha256(self.groups.fingerprint().encode())
        for how in preparations(self.groups.video_files()):
            digest.update(how.encode())
        give_back_memory(len(self.groups.rows))  # of the paths of all videos
        return digest.hexdigest()[:16] + (f" {self.order}" if self.order else "")

    def __getitem__(self, position: tuple[int, int]) -> tuple[Any, list[Unreadable]]:
        epoch, index = position
        unreadable: list[Unreadable] = []
        for attempt in range(min(len(self.groups), _ATTEMPTS) if self.replace else 1):
            group = self.groups[(index + attempt) % len(self.groups)]
            seeds = [self.seed, epoch, index, *([attempt] if attempt else [])]
            try:
                return self.read(group, np.random.default_rng(seeds)), unreadable
            except VideoDecodeError as error:
                ids = [row.get("id") for row in group]
                unreadable.append(Unreadable(str(group[0]["video"]), f"{error.reason} ({error.backend})", ids))
                if self.blank is not None:
                    return self.blank(group, np.random.default_rng(seeds)), unreadable
        return None, unreadable


class _ReportingCollator:
    """Collates the samples, and adds to the batch what could not be read."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, items: list[tuple[Any, list[Unreadable]]]) -> Any:
        unreadable = [entry for _, entries in items for entry in entries]
        samples = [sample for sample, _ in items]
        if any(sample is None for sample in samples):
            return {KEY: unreadable}
        batch = self.collate(samples)
        return {**batch, KEY: unreadable} if unreadable else batch


def _begin_worker(worker: int) -> None:
    """What a worker does first: ``worker_init_fn``."""
    # A collection of garbage writes into every object there is, which would give a forked worker a copy of all that
    # its parent has imported and read, 160 MB. Those objects live as long as the worker.
    gc.freeze()
    ignore_termination(worker)


def create_loader(
    groups: Sequence[Sequence[Row]],
    read: Callable[[list[Row], np.random.Generator], Any],
    collate: Callable[[list[Any]], Any],
    settings: ScriptSettings,
    *,
    training: bool,
    blank: Callable[[list[Row], np.random.Generator], Any] | None = None,
) -> DataLoader[Any]:
    """A loader for the training loop.

    Args:
        groups: What there is for each index, such as the rows of a video; lists of lists of rows will do.
        read: Turns one of these into a sample, drawing from the generator it is given.
        collate: Turns a list of samples into a batch.
        settings: Batch size, seed, number of workers if it is not to be chosen, and what to do about videos that
            cannot be read.
        training: Whether samples are shuffled, and those that cannot be read may be replaced; otherwise they come in
            order, and in each pass the same.
        blank: In an evaluation, what makes a sample of a video that cannot be read.

    Raises:
        RecipeError: If ``read`` has a processor that resizes to more than videos were prepared for.
    """
    size = getattr(getattr(read, "processor", None), "size", None)
    groups = as_groups(groups)
    if size is not None:
        check_prepared_size(groups.video_files(), size["longest_edge"])
    skips = settings.on_unreadable_video == "skip"
    batch_size = settings.batch_size if training else settings.eval_batch_size or settings.batch_size
    workers = min(choose_workers(settings), -(-len(groups) // batch_size))
    readers = PartialState().num_processes * max(workers, 1)
    sampler = create_sampler(groups, settings, training=training, readers=readers, batch_size=batch_size)
    dataset = VideoDataset(
        groups,
        read,
        seed=settings.seed,
        replace=skips and training,
        blank=blank if skips and not training else None,
        order=sampler.described,
    )
    give_back_memory(len(groups.rows))  # before there are workers
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=_ReportingCollator(collate),
        worker_init_fn=_begin_worker,
        # The training workers stay, those of an evaluation leave the cores to the training.
        persistent_workers=training and workers > 0,
        prefetch_factor=batches_ahead(settings.prefetch, workers),
        pin_memory=torch.cuda.is_available(),
        # A loader draws a seed for its workers: from this generator, so that the global one stays as it is.
        generator=torch.Generator().manual_seed(settings.seed),
    )


def create_sampler(
    groups: Groups, settings: ScriptSettings, *, training: bool, readers: int, batch_size: int
) -> EpochSampler:
    """The order of the samples: at random in training, or so that shards are read from front to back.

    Args:
        groups: What there is for each index.
        settings: Seed, and the size of the buffer.
        training: Whether the order is random at all.
        readers: Workers in all processes.
        batch_size: Samples of a batch.
    """
    shard_of = groups.shards()
    if shard_of is None:
        return EpochSampler(len(groups), shuffle=training, seed=settings.seed)
    groups.expect(settings.shuffle_buffer if training else batch_size)
    if not training:
        return EpochSampler(len(groups), shuffle=False, seed=settings.seed)
    parts = [
        Part(len(table.shard_starts()), isinstance(table, RowTable) and table.stream is not None)
        for table in groups.rows.tables
    ]
    return StreamSampler(
        shard_of,
        parts=parts,
        readers=readers,
        batch_size=batch_size,
        buffer=settings.shuffle_buffer,
        seed=settings.seed,
    )
