"""Scores of an evaluation of retrieval, kept until it is done: one that was killed goes on where it was.

It takes hours to score every text with every video. Each process keeps the scores of a batch of videos as soon as it
has them, and takes from the disk what any process of an earlier try has kept.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...retrieval.score_blocks import ScoreBlocks, describe_job

Record = dict[int, np.ndarray]
"""By number of clips the scores of a video with all texts, (kinds of scores, N)."""


class KeptScores:
    """Records of the videos that are done.

    Args:
        folder: Under which scores of these weights, texts, videos and options have a folder of their own.
        model: The model, not wrapped.
        tokens: Of all texts.
        videos: Names of all videos.
        options: What else the scores depend on.
    """

    def __init__(
        self,
        folder: Path,
        model: torch.nn.Module,
        tokens: Mapping[str, torch.Tensor],
        videos: Sequence[str],
        options: Mapping[str, Any],
    ) -> None:
        job = describe_job(model, tokens, videos, options)
        name = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:16]
        self.counts = [int(count) for count in options["inference_clips"]]
        self.places = {video: place for place, video in enumerate(videos)}
        self.blocks = ScoreBlocks(folder / name, job)
        self.columns = self.blocks.read()

    def get(self, videos: Sequence[str]) -> list[Record] | None:
        """The records of a batch if all of them are there.

        Args:
            videos: Of the batch.
        """
        columns = [self.columns.get(self.places[video]) for video in videos]
        if any(column is None for column in columns):
            return None
        return [
            dict(zip(self.counts, column.transpose(1, 2, 0), strict=True)) for column in columns if column is not None
        ]

    def put(self, videos: Sequence[str], records: Sequence[Record]) -> None:
        """Keep the records of a batch.

        Args:
            videos: Of the batch; one that fills up the last batch of a process may come again.
            records: Of these.
        """
        by_place = {
            self.places[video]: np.stack([record[count] for count in self.counts])  # (counts, kinds, N)
            for video, record in zip(videos, records, strict=True)
        }
        self.blocks.write(list(by_place), np.stack([scores.transpose(2, 0, 1) for scores in by_place.values()], axis=1))

    def remove(self) -> None:
        """Delete them, when all processes have all scores; another process may do so at the same time."""
        shutil.rmtree(self.blocks.folder, ignore_errors=True)
        with suppress(OSError):  # it holds other scores, or another process has removed it
            self.blocks.folder.parent.rmdir()
