"""Captions: which are true of a video, which serve as wrong ones, and the videos with both that retrieval trains on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .clips import ClipSamples
from .splits import Row

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


class RetrievalSamples:
    """Reads clips of a video, and draws the captions that do not fit.

    Args:
        read: Reads the clips.
        pool: Captions of the split.
        negatives: Where wrong captions come from. ``random``: other videos; ``hard``: the row's ``hard_negatives``,
            and where these do not suffice other videos, those whose captions are most alike; ``in_batch``: other
            videos of the batch, which the collator adds.
        negatives_per_caption: Wrong captions for each right one.
        hard_candidates: Of how many captions drawn the one most alike is taken.
    """

    def __init__(
        self,
        read: ClipSamples,
        pool: CaptionPool,
        *,
        negatives: Negatives,
        negatives_per_caption: int,
        hard_candidates: int = 16,
    ) -> None:
        self.read, self.pool, self.negatives, self.number = read, pool, negatives, negatives_per_caption
        self.among = hard_candidates if negatives == "hard" else 1

    def __call__(self, rows: list[Row], generator: np.random.Generator) -> dict[str, Any]:
        """One sample: ``pixels``, ``rows``, and ``wrong`` captions."""
        sample = self.read(rows, generator)
        wrong: list[str] = []
        if self.negatives != "in_batch":
            for row in sample["rows"]:
                hard = list(row.get("hard_negatives") or ()) if self.negatives == "hard" else []
                order = generator.permutation(len(hard))[: self.number]
                wrong += [hard[index] for index in order]
                missing = self.number - len(order)
                drawn = [self.pool.draw_alike(row, generator, among=self.among) for _ in range(missing)]
                wrong += [text for text in drawn if text is not None]
        return {**sample, "wrong": wrong}
