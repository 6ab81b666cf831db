"""The captions of a split: which are true of a video, and which ones serve as wrong captions of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from data_splits import Row

# Where wrong captions come from: other videos; the data set's own, else the most alike of other videos; other videos of
# the batch.
Negatives = Literal["random", "hard", "in_batch"]


class CaptionPool:
    """The captions of a split, and which of them are true of a video.

    Of several data sets, a wrong caption comes from the one that the video is of: the style of another would give it
    away.

    Args:
        rows: Of the split; ``source`` names the data set of a row where there are several.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.captions: dict[str, list[str]] = {}
        self.own: dict[str, set[str]] = {}
        self.sources: dict[str, str] = {}
        for row in rows:
            source = self.sources.setdefault(row["video"], row.get("source", ""))
            self.captions.setdefault(source, []).append(row["caption"])
            self.own.setdefault(row["video"], set()).add(row["caption"])

    def draw(self, video: str, generator: np.random.Generator) -> str | None:
        """A caption of another video; None where there seems to be none."""
        captions = self.captions[self.sources[video]]
        for _ in range(100):
            text = captions[int(generator.integers(len(captions)))]
            if text not in self.own[video]:
                return text
        return None

    def draw_alike(self, row: Row, generator: np.random.Generator, *, among: int) -> str | None:
        """Of several captions of other videos the one that has the most words in common with the row's."""
        words = set(row["caption"].split())
        drawn = [self.draw(row["video"], generator) for _ in range(among)]
        candidates = [text for text in drawn if text is not None]
        return max(candidates, key=lambda text: len(words & set(text.split())), default=None)

    def of_others(self, samples: Sequence[dict[str, Any]], place: int) -> list[str]:
        """Wrong captions for a sample of a batch, each once: those in the ``rows`` of the others.

        They come in the order of the samples that follow, around the end to the start; the sampler has shuffled them.
        """
        video = samples[place]["rows"][0]["video"]
        following = [*samples[place + 1 :], *samples[:place]]
        rows = [row for sample in following for row in sample["rows"]]
        wrong = [
            row["caption"]
            for row in rows
            if self.sources[row["video"]] == self.sources[video] and row["caption"] not in self.own[video]
        ]
        return list(dict.fromkeys(wrong))
