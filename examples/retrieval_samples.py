"""Videos with captions that fit and captions that do not: the samples of retrieval training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from clip_samples import ClipSamples
from data_loading import Row

from clipbert_hf import ClipBertProcessor

Negatives = Literal["random", "hard", "in_batch"]


class CaptionPool:
    """The captions of a split, and which of them are true of a video."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.captions = [row["caption"] for row in rows]
        self.own: dict[str, set[str]] = {}
        for row in rows:
            self.own.setdefault(row["video"], set()).add(row["caption"])

    def draw_alike(self, row: Row, generator: np.random.Generator, *, among: int) -> str | None:
        """Of several captions of other videos the one that has the most words in common with the row's."""
        words = set(row["caption"].split())
        drawn = [self.draw(row["video"], generator) for _ in range(among)]
        candidates = [text for text in drawn if text is not None]
        return max(candidates, key=lambda text: len(words & set(text.split())), default=None)

    def draw(self, video: str, generator: np.random.Generator) -> str | None:
        """A caption of another video; None where there seems to be none."""
        for _ in range(100):
            text = self.captions[int(generator.integers(len(self.captions)))]
            if text not in self.own[video]:
                return text
        return None


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


class RetrievalCollator:
    """Samples to a batch: each video with its captions and wrong ones.

    Args:
        processor: Of the model.
        pool: Says which captions are true of a video.
        in_batch: How many captions of other videos of the batch each right caption is set against.
    """

    def __init__(self, processor: ClipBertProcessor, pool: CaptionPool, *, in_batch: int = 0) -> None:
        self.processor, self.pool, self.in_batch = processor, pool, in_batch

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Labels are 1 for captions that fit, 0 for the others."""
        texts, labels = [], []
        for place, sample in enumerate(samples):
            right = [row["caption"] for row in sample["rows"]]
            wrong = sample["wrong"] + self._of_others(samples, place)
            texts.append(right + wrong)
            labels += [1] * len(right) + [0] * len(wrong)
        inputs = dict(self.processor(text=texts))
        inputs["pixel_values_videos"] = torch.cat([sample["pixels"] for sample in samples])
        ids = [row["id"] for sample in samples for row in sample["rows"]]
        return {"inputs": inputs, "labels": torch.tensor(labels), "ids": ids}

    def _of_others(self, samples: list[dict[str, Any]], place: int) -> list[str]:
        """Captions of the samples that follow, around the end to the start; the sampler has shuffled them."""
        rows = samples[place]["rows"]
        own = self.pool.own[rows[0]["video"]]
        following = samples[place + 1 :] + samples[:place]
        others = [row["caption"] for sample in following for row in sample["rows"] if row["caption"] not in own]
        return list(dict.fromkeys(others))[: self.in_batch * len(rows)]


class PixelCollator:
    """Videos to a batch without texts, for evaluations that score all texts against each video."""

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """``pixels`` (B, K, T, 3, L, L) and the videos' names."""
        return {
            "pixels": torch.cat([sample["pixels"] for sample in samples]),
            "videos": [sample["rows"][0]["video"] for sample in samples],
        }
