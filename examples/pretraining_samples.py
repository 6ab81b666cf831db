"""Frames with captions, masked and mismatched: the samples of pre-training (paper, section 3.2).

Each frame comes with captions of which words are masked (masked language modelling), and with texts that do or do not
describe the frame (image-text matching). One text cannot serve for both: where the words that tell a mismatch are
masked, there is nothing to see. Several texts a frame cost little, since the frame passes the CNN once for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from data_loading import Row
from recipe import RecipeError

from clipbert_hf import ClipBertProcessor
from clipbert_hf.model.video_decoding_clipbert import open_video

IGNORED = -100
Moment = tuple[float | None, float | None]  # start and end in seconds, None where the video's own


class TextMasker:
    """Chooses the tokens that the model has to guess.

    Key words are chosen with one probability and replaced by [MASK]; all others with another, and then, as BERT does
    it, 80 % become [MASK], 10 % a random token and 10 % stay. Each text loses at least one token.

    Args:
        processor: Of the model.
        probability: For ordinary words.
        key_word_probability: For the words that the data set names.
    """

    def __init__(self, processor: ClipBertProcessor, *, probability: float, key_word_probability: float) -> None:
        for name, value in (("mask_probability", probability), ("key_word_mask_probability", key_word_probability)):
            if not 0 <= value <= 1:
                raise RecipeError(f"{name} must be from 0 to 1; got {value}")
        self.tokenizer = processor.tokenizer
        self.limit = processor.max_text_length
        self.probability, self.key_word_probability = probability, key_word_probability

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        return self.tokenizer(text, truncation=True, max_length=self.limit)["input_ids"]

    def mask(self, text: str, key_words: Sequence[str], generator: np.random.Generator) -> tuple[list[int], list[int]]:
        """Mask a text.

        Args:
            text: The caption.
            key_words: Words of it that are worth guessing.
            generator: Where the choices come from.

        Returns:
            The tokens, and the labels: the token where it has to be guessed, -100 elsewhere.
        """
        encoding = self.tokenizer(text, truncation=True, max_length=self.limit, return_offsets_mapping=True)
        tokens = list(encoding["input_ids"])
        offsets, words = encoding["offset_mapping"], set(key_words)
        spans = [encoding.word_to_chars(word) if word is not None else None for word in encoding.word_ids()]
        is_key = [span is not None and text[span.start : span.end] in words for span in spans]
        candidates = [place for place, (start, end) in enumerate(offsets) if end > start]
        if not candidates:
            return tokens, [IGNORED] * len(tokens)
        chances = {place: self.key_word_probability if is_key[place] else self.probability for place in candidates}
        chosen = [place for place in candidates if generator.random() < chances[place]]
        if not chosen:
            most = max(chances.values())
            chosen = [int(generator.choice([place for place in candidates if chances[place] == most]))]
        labels = [IGNORED] * len(tokens)
        for place in chosen:
            labels[place] = tokens[place]
            fate = 0.0 if is_key[place] else generator.random()
            if fate < 0.8:
                tokens[place] = self.tokenizer.mask_token_id
            elif fate < 0.9:
                tokens[place] = int(generator.integers(len(self.tokenizer)))
        return tokens, labels


class PretrainingSamples:
    """Reads frames of a video and draws their texts.

    Args:
        processor: Of the model.
        masker: Masks captions.
        captions: Captions of the split, for mismatches where a row has no hard negatives.
        frames: Frames of a video in a sample. Each frame shows a moment that its own texts speak about.
        masked_texts: Texts of a frame for masked language modelling.
        matched_texts: Texts of a frame for image-text matching.
        hard_negatives: How many of the mismatches are hard, where the row has some.
    """

    def __init__(
        self,
        processor: ClipBertProcessor,
        masker: TextMasker,
        captions: Sequence[str],
        *,
        frames: int,
        masked_texts: int,
        matched_texts: int,
        hard_negatives: float,
    ) -> None:
        self.processor, self.masker, self.captions = processor, masker, captions
        self.frames, self.hard_negatives = frames, hard_negatives
        self.masked_texts, self.matched_texts = masked_texts, matched_texts

    def __call__(self, rows: list[Row], generator: np.random.Generator) -> dict[str, Any]:
        """One sample: ``pixels`` (F, 1, 1, 3, L, L), and the tokens and labels of F groups of texts."""
        texts, moments = self._texts(rows, generator)
        return {"pixels": self._read(rows[0]["video"], moments, generator), **texts}

    def without_video(self, rows: list[Row], generator: np.random.Generator) -> dict[str, Any]:
        """The sample of a video that cannot be read: the mean colour instead of its frames."""
        texts, moments = self._texts(rows, generator)
        side = self.processor.video_processor.size["longest_edge"]
        return {"pixels": torch.zeros(len(moments), 1, 1, 3, side, side), **texts}

    def _texts(self, rows: list[Row], generator: np.random.Generator) -> tuple[dict[str, Any], list[Moment]]:
        """The tokens and labels of F groups of texts, and the F moments that they speak about."""
        moments = [list(group) for _, group in groupby(rows, key=_moment)]
        # Each moment once before one comes twice.
        order = [int(m) for _ in range(0, self.frames, len(moments)) for m in generator.permutation(len(moments))]
        chosen = [moments[index] for index in order[: self.frames]]
        tokens: list[list[int]] = []
        mlm_labels: list[list[int]] = []
        itm_labels: list[int] = []
        for group in chosen:
            for _ in range(self.masked_texts):
                row = group[int(generator.integers(len(group)))]
                masked, labels = self.masker.mask(row["caption"], row.get("key_words") or (), generator)
                tokens.append(masked)
                mlm_labels.append(labels)
                itm_labels.append(IGNORED)
            for _ in range(self.matched_texts):
                text, match = self._matching_text(group, generator)
                tokens.append(self.masker.encode(text))
                mlm_labels.append([])
                itm_labels.append(match)
        texts = {"tokens": tokens, "mlm_labels": mlm_labels, "itm_labels": itm_labels}
        return texts, [_moment(group[0]) for group in chosen]

    def _matching_text(self, group: list[Row], generator: np.random.Generator) -> tuple[str, int]:
        """A text and whether it matches, half of the time each."""
        row = group[int(generator.integers(len(group)))]
        if generator.random() < 0.5:
            return row["caption"], 1
        hard = row.get("hard_negatives") or ()
        if hard and generator.random() < self.hard_negatives:
            return hard[int(generator.integers(len(hard)))], 0
        own = {other["caption"] for other in group}
        for _ in range(100):
            text = self.captions[int(generator.integers(len(self.captions)))]
            if text not in own:
                return text, 0
        return row["caption"], 1  # every video has the same caption

    def _read(self, video: str, moments: list[Moment], generator: np.random.Generator) -> torch.Tensor:
        """A random frame of each moment, (F, 1, 1, 3, L, L)."""
        with open_video(video) as reader:
            seconds = reader.frame_seconds
            indices = []
            for start, end in moments:
                first = 0 if start is None else int(np.searchsorted(seconds, start))
                stop = len(seconds) if end is None else int(np.searchsorted(seconds, end))
                indices.append(int(generator.integers(first, max(stop, first + 1))))
            frames = reader.read(np.minimum(indices, len(seconds) - 1))
        # Each frame is a video of one clip.
        return self.processor.video_processor(frames[:, None], do_sample_frames=False)["pixel_values_videos"]


class PretrainingCollator:
    """Samples to a batch: what the model takes, labels included."""

    def __init__(self, processor: ClipBertProcessor) -> None:
        self.padding = processor.tokenizer.pad_token_id

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Lay the texts of all frames out in one tensor."""
        tokens = [text for sample in samples for text in sample["tokens"]]
        labels = [text for sample in samples for text in sample["mlm_labels"]]
        longest = max(len(text) for text in tokens)
        input_ids = torch.tensor([text + [self.padding] * (longest - len(text)) for text in tokens])
        lengths = torch.tensor([len(text) for text in tokens])
        pixels = torch.cat([sample["pixels"] for sample in samples])
        return {
            "inputs": {
                "pixel_values_videos": pixels,
                "input_ids": input_ids,
                "attention_mask": (torch.arange(longest) < lengths[:, None]).long(),
                "texts_per_video": torch.full((len(pixels),), len(tokens) // len(pixels)),
                "mlm_labels": torch.tensor([text + [IGNORED] * (longest - len(text)) for text in labels]),
                "itm_labels": torch.tensor([label for sample in samples for label in sample["itm_labels"]]),
            },
            "texts": [len(sample["tokens"]) for sample in samples],
        }


def _moment(row: Row) -> Moment:
    return row.get("start"), row.get("end")
