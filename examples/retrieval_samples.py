"""Videos with captions that fit and captions that do not: the samples of retrieval training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from caption_pool import CaptionPool, Negatives
from clip_samples import ClipSamples
from data_splits import Row

from clipbert_hf import ClipBertProcessor


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
            others = self.pool.of_others(samples, place) if self.in_batch else []
            wrong = sample["wrong"] + others[: self.in_batch * len(right)]
            texts.append(right + wrong)
            labels += [1] * len(right) + [0] * len(wrong)
        inputs = dict(self.processor(text=texts))
        inputs["pixel_values_videos"] = torch.cat([sample["pixels"] for sample in samples])
        ids = [row["id"] for sample in samples for row in sample["rows"]]
        return {"inputs": inputs, "labels": torch.tensor(labels), "ids": ids}


class PixelCollator:
    """Videos to a batch without texts, for evaluations that score all texts against each video."""

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """``inputs`` with ``pixel_values_videos`` (B, K, T, 3, L, L), and the videos' names."""
        return {
            "inputs": {"pixel_values_videos": torch.cat([sample["pixels"] for sample in samples])},
            "videos": [sample["rows"][0]["video"] for sample in samples],
        }
