"""Masked words: what a model has to guess in masked language modelling (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...model.processing_clipbert import ClipBertProcessor
from ..recipe import check_shares

IGNORED = -100


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
        check_shares(mask_probability=probability, key_word_mask_probability=key_word_probability)
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
