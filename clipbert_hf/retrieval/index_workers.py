"""Rows of an index made by workers: processes of this machine, or of a cluster, each of which loads the model once.

What hands out the work is given by the caller: anything with ``run`` as :class:`Executor` has it, such as what
``datasets_scripts.execution`` offers. It tries again what a lost worker had; rows are written by the caller alone.
"""

from __future__ import annotations

import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers.utils.logging import disable_progress_bar

from ..errors import InvalidInputError
from .collection import Item
from .fingerprint import fingerprint
from .index_rows import UNKNOWN_SIZE, make_row
from .pair_scorer import PairScorer
from .video_encoder import VideoEncoder

# What a process has to import before it forks workers.
PRELOAD = (__name__,)


class Executor(Protocol):
    """Does work in some other place."""

    def run(self, do: Callable[[Any], Any], todo: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Do all work.

        Args:
            do: A function that can be pickled, and may be called twice for the same work.
            todo: What to call it with.

        Yields:
            The work and what came of it, in any order; a text where all attempts were lost.
        """
        ...


@dataclass(frozen=True)
class MadeRow:
    """A video of a collection after it was read.

    Args:
        item: The video.
        digest: Of its content, if that could be fetched.
        size: See :class:`~clipbert_hf.retrieval.video_encoder.EncodedItem`.
        row: For the index; None if its content is known.
    """

    item: Item
    digest: str | None
    size: int
    row: dict[str, Any] | None


def rows_made_here(
    encoder: VideoEncoder, items: Iterable[Item], is_known: Callable[[Item, str], bool]
) -> Iterator[MadeRow]:
    """Encode videos in this process, in order; see :meth:`VideoEncoder.encode`."""
    for each in encoder.encode(items, is_known):
        row = None if each.encoded is None else make_row(each.item, each.digest, each.size, each.encoded)
        yield MadeRow(each.item, each.digest, each.size, row)


def rows_made_by(
    executor: Executor, maker: RowMaker, items: Iterable[Item], known: Iterable[Mapping[str, Any]]
) -> Iterator[MadeRow]:
    """Encode videos by workers, in any order.

    Args:
        executor: Hands out the work.
        maker: What they do.
        items: The videos.
        known: ``path``, ``size`` and ``content_hash`` of each row that is there.
    """
    of_path, of_size = {}, defaultdict(list)
    for row in known:
        of_path[row["path"]] = row["content_hash"]
        if row["size"] != UNKNOWN_SIZE:
            of_size[row["size"]].append(row["content_hash"])
    # A content that is known has a size that is: so each worker is told of few. Of URLs it learns the size too late.
    todo = ((item, frozenset([of_path.get(item.name), *of_size.get(item.size, ())])) for item in items)
    for (item, _), made in executor.run(maker, todo):
        if isinstance(made, str):  # why there is none
            yield MadeRow(item, None, UNKNOWN_SIZE, make_row(item, None, UNKNOWN_SIZE, made))
        else:
            yield made


@dataclass(frozen=True)
class RowMaker:
    """Makes the row of a video, wherever it is called; the first call of a process loads the model.

    Args:
        model: A folder that is at the same place everywhere, or a repository of the Hub.
        video_options: See :class:`PairScorer`.
        clip_every: See :class:`VideoEncoder`.
        dtype: See :class:`PairScorer`.
        device: Likewise.
        made_with: What the index was made with, see :func:`fingerprint`.
    """

    model: str
    video_options: dict[str, Any]
    clip_every: float | None
    dtype: torch.dtype | None
    device: str
    made_with: dict[str, str]

    def __call__(self, work: tuple[Item, frozenset[str]]) -> MadeRow:
        """The row of a video, unless its content is one of those that are known.

        Raises:
            InvalidInputError: If another model lies there than the index was made with.
        """
        item, known = work
        (made,) = rows_made_here(self._encoder(), [item], lambda _, digest: digest in known)
        return made

    def _encoder(self) -> VideoEncoder:
        global _loaded
        if _loaded is None or _loaded[0] != self:
            _loaded = self, self._load()
        return _loaded[1]

    def _load(self) -> VideoEncoder:
        if multiprocessing.parent_process() is not None:  # one of several; Ray sees to its own
            disable_progress_bar()
            torch.set_num_threads(1)
        scorer = PairScorer.from_pretrained(self.model, dtype=self.dtype, device=self.device, **self.video_options)
        if fingerprint(scorer.model, scorer.processor, scorer.video_options) != self.made_with:
            raise InvalidInputError(
                f"model: what workers load from {self.model} is not what the index was made with; save the model that "
                "it was made with there, or build without an executor"
            )
        return VideoEncoder(scorer, self.clip_every)


_loaded: tuple[RowMaker, VideoEncoder] | None = None  # in this process
