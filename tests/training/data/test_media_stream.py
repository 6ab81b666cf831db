"""Videos out of shards: any at any time, and in the order of an epoch each shard is read once."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

from clipbert_hf import VideoDecodeError
from clipbert_hf.training.data.media_stream import MediaStream
from clipbert_hf.training.data.order import StreamSampler

LENGTHS = [7, 1, 12, 0, 5]


class Counted:
    """Shards in memory that note from where they were read, and how many videos."""

    def __init__(self) -> None:
        self.opened: list[tuple[int, int]] = []
        self.read = 0

    def __len__(self) -> int:
        return len(LENGTHS)

    def media(self, number: int, column: str, first: int) -> Iterator[bytes | None]:
        self.opened.append((number, first))
        for row in range(first, LENGTHS[number]):
            self.read += 1
            yield None if (number, row) == (4, 4) else f"{column} {number} {row}".encode()


def stream() -> tuple[MediaStream, Counted]:
    shards = Counted()
    return MediaStream(shards, "video", LENGTHS), shards  # type: ignore[arg-type]


NAMES = [f"video {number} {row}".encode() for number, length in enumerate(LENGTHS) for row in range(length)]


def test_any_video_at_any_time() -> None:
    media, _ = stream()
    for row in np.random.default_rng(0).integers(0, len(NAMES) - 1, 60).tolist():
        assert media.read(row) == NAMES[row]
    with pytest.raises(VideoDecodeError, match="the column 'video' has no video there"):
        media.read(len(NAMES) - 1)


def test_one_after_the_other_is_read_on() -> None:
    media, shards = stream()
    for row in range(0, len(NAMES) - 1, 2):
        assert media.read(row) == media.read(row) == NAMES[row]
    assert shards.opened == [(0, 0), (2, 0), (4, 0)]


@pytest.mark.parametrize("buffer", [1, 4, 30])
def test_in_the_order_of_an_epoch_all_is_read_once(buffer: int) -> None:
    media, shards = stream()
    rows = np.arange(0, len(NAMES) - 1)
    media.keep(rows, buffer)
    shard_of = np.searchsorted(media.starts[:-1], rows, side="right") - 1
    order = StreamSampler(shard_of, readers=1, batch_size=4, buffer=buffer, seed=3)
    assert [media.read(row) for _, row in order] == [NAMES[row] for _, row in order]
    assert shards.read <= len(NAMES)
    assert len(shards.opened) == 4


def test_a_resumed_reader_reads_again_what_its_buffer_held() -> None:
    media, shards = stream()
    rows = np.arange(len(NAMES) - 1)
    media.keep(rows, 3)
    shard_of = np.searchsorted(media.starts[:-1], rows, side="right") - 1
    order = [row for _, row in StreamSampler(shard_of, readers=1, batch_size=1, buffer=3, seed=3)][10:]
    assert [media.read(row) for row in order] == [NAMES[row] for row in order]
    assert shards.read <= len(order) + 2 * 3


def test_a_forked_worker_reads_for_itself() -> None:
    media, _ = stream()
    media.read(3)
    again: MediaStream = pickle.loads(pickle.dumps(media))  # noqa: S301 (made here)
    assert again.read(4) == NAMES[4]

    def ask(connection: Any) -> None:
        connection.send([media.read(row) for row in (4, 5, 2)])

    here, there = get_context("fork").Pipe()
    worker = get_context("fork").Process(target=ask, args=(there,))
    worker.start()
    assert here.recv() == [NAMES[row] for row in (4, 5, 2)]
    worker.join()
    assert media.read(4) == NAMES[4]
