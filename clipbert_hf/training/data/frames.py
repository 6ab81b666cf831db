"""Frames with captions, masked and mismatched: the samples of pre-training (paper, section 3.2).

Each frame comes with captions of which words are masked (masked language modelling), and with texts that do or do not
describe the frame (image-text matching). One text cannot serve for both: where the words that tell a mismatch are
masked, there is nothing to see. Several texts a frame cost little, since the frame passes the CNN once for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import torch

from ...model.processing_clipbert import ClipBertProcessor
from ...video.reading import open_video
from .captions import CaptionPool, Negatives
from .clips import blank_clips, pixel_dtype
from .masking import IGNORED, TextMasker
from .media import readable
from .row_tables import Row

Moment = tuple[float | None, float | None]  # start and end in seconds, None where the video's own


class PretrainingSamples:
    """Reads frames of a video and draws their texts.

    Args:
        processor: Of the model.
        masker: Masks captions.
        pool: Captions of the split, for mismatches.
        frames: Frames of a video in a sample. Each frame shows a moment that its own texts speak about.
        masked_texts: Texts of a frame for masked language modelling.
        matched_texts: Texts of a frame for image-text matching.
        negatives: Where mismatches come from. ``random``: other videos; ``hard``: the row's ``hard_negatives``, and
            where it has none other videos, those whose captions are most alike; ``in_batch``: other videos of the
            batch, which the collator puts in the place of random ones.
        hard_negatives: The share of the mismatches that are hard where negatives are; the others are random.
        hard_candidates: Of how many captions drawn the one most alike is taken.
        in_turn: Whether the texts of a frame take its captions in turn, each once before one comes twice; otherwise
            each text draws one.
    """

    def __init__(
        self,
        processor: ClipBertProcessor,
        masker: TextMasker,
        pool: CaptionPool,
        *,
        frames: int,
        masked_texts: int,
        matched_texts: int,
        negatives: Negatives = "hard",
        hard_negatives: float = 1.0,
        hard_candidates: int = 16,
        in_turn: bool = False,
    ) -> None:
        self.processor, self.masker, self.pool = processor.video_processor, masker, pool
        self.frames, self.masked_texts, self.matched_texts = frames, masked_texts, matched_texts
        self.negatives, self.hard_negatives, self.hard_candidates = negatives, hard_negatives, hard_candidates
        self.in_turn = in_turn

    def __call__(self, rows: list[Row], generator: np.random.Generator) -> dict[str, Any]:
        """One sample.

        Returns:
            ``pixels`` (F, 1, 1, 3, L, L); ``tokens``, ``mlm_labels`` and ``itm_labels`` of F groups of texts; ``rows``,
            those that were asked to match; ``ids`` and ``captions`` of all rows used, these as rows, each caption once;
            ``in_batch``, the places of the texts that the collator replaces.
        """
        texts, moments = self._texts(rows, generator)
        return {"pixels": self._read(rows[0]["video"], moments, generator), **texts}

    def without_video(self, rows: list[Row], generator: np.random.Generator) -> dict[str, Any]:
        """The sample of a video that cannot be read: the mean colour instead of its frames."""
        texts, moments = self._texts(rows, generator)
        return {"pixels": blank_clips(self.processor, videos=len(moments), clips=1, frames=1), **texts}

    def _texts(self, rows: list[Row], generator: np.random.Generator) -> tuple[dict[str, Any], list[Moment]]:
        """All of a sample but its pixels, and the F moments that its texts speak about."""
        moments = [list(group) for _, group in groupby(rows, key=_moment)]
        # Each moment once before one comes twice.
        order = [int(m) for _ in range(0, self.frames, len(moments)) for m in generator.permutation(len(moments))]
        chosen = [moments[index] for index in order[: self.frames]]
        sample: dict[str, Any] = {"tokens": [], "mlm_labels": [], "itm_labels": [], "rows": [], "in_batch": []}
        used: list[Row] = []
        for group in chosen:
            for row in self._captions(group, self.masked_texts, generator):
                tokens, labels = self.masker.mask(row["caption"], row.get("key_words") or (), generator)
                _add_text(sample, tokens, labels, IGNORED)
                used.append(row)
            for row in self._captions(group, self.matched_texts, generator):
                text = None if generator.random() < 0.5 else self._wrong(row, generator)
                if text is not None and self.negatives == "in_batch":
                    sample["in_batch"].append(len(sample["tokens"]))
                match = int(text is None)  # it is also where all videos have the same caption
                _add_text(sample, self.masker.encode(row["caption"] if text is None else text), [], match)
                sample["rows"].append(row)
                used.append(row)
        sample["captions"] = list({row["caption"]: row for row in used}.values())
        return {**sample, "ids": list({row["id"]: None for row in used})}, [_moment(group[0]) for group in chosen]

    def _captions(self, group: list[Row], number: int, generator: np.random.Generator) -> Iterator[Row]:
        """A row for each of so many texts."""
        turn: list[int] = []
        for _ in range(number):
            if self.in_turn:
                turn = turn or generator.permutation(len(group)).tolist()
                yield group[turn.pop()]
            else:
                yield group[int(generator.integers(len(group)))]

    def _wrong(self, row: Row, generator: np.random.Generator) -> str | None:
        """A caption that does not match; None where there seems to be none."""
        wants_hard = self.negatives == "hard" and generator.random() < self.hard_negatives
        hard = self.pool.wrong(row["video"], row.get("hard_negatives") or ()) if wants_hard else []
        if hard:
            return hard[int(generator.integers(len(hard)))]
        return self.pool.draw_alike(row, generator, among=self.hard_candidates if wants_hard else 1)

    def _read(self, video: str, moments: list[Moment], generator: np.random.Generator) -> torch.Tensor:
        """A random frame of each moment, (F, 1, 1, 3, L, L)."""
        with open_video(readable(video), square_pixels=self.processor.square_pixels) as reader:
            seconds = reader.frame_seconds
            indices = []
            for start, end in moments:
                first = 0 if start is None else int(np.searchsorted(seconds, start))
                stop = len(seconds) if end is None else int(np.searchsorted(seconds, end))
                indices.append(int(generator.integers(first, max(stop, first + 1))))
            frames = reader.read(np.minimum(indices, len(seconds) - 1))
        # Each frame is a video of one clip.
        options: dict[str, Any] = {"do_sample_frames": False, "pixel_dtype": pixel_dtype(self.processor)}
        return self.processor(frames[:, None], **options)["pixel_values_videos"]


def _add_text(sample: dict[str, Any], tokens: list[int], mlm_labels: list[int], itm_label: int) -> None:
    sample["tokens"].append(tokens)
    sample["mlm_labels"].append(mlm_labels)
    sample["itm_labels"].append(itm_label)


def _moment(row: Row) -> Moment:
    return row.get("start"), row.get("end")
