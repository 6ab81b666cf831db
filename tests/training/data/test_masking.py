from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.training.data.masking import IGNORED, TextMasker
from clipbert_hf.training.recipe import DataSettings, RecipeError, StartSettings
from clipbert_hf.training.starting_points import create_processor

WORDS = ["a", "red", "ring", "and", "two", "blue", "stars", "are", "there"]
PROCESSOR = create_processor(StartSettings(), DataSettings(data_dir="x"), [{"caption": " ".join(WORDS)}], num_clips=1)


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9), st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
def test_masking(words: list[str], seed: int, probability: float, key_probability: float) -> None:
    masker = TextMasker(PROCESSOR, probability=probability, key_word_probability=key_probability)
    text, keys = " ".join(words), ["red", "stars"]
    whole = masker.encode(text)
    tokens, labels = masker.mask(text, keys, np.random.default_rng(seed))
    assert len(tokens) == len(labels) == len(whole) == len(words) + 2
    asked = [place for place, label in enumerate(labels) if label != IGNORED]
    assert asked
    assert 0 not in asked
    assert len(words) + 1 not in asked
    for place, (before, after, label) in enumerate(zip(whole, tokens, labels, strict=True)):
        assert label in (IGNORED, before)
        if label == IGNORED:
            assert after == before
        elif words[place - 1] in keys:
            assert after == PROCESSOR.tokenizer.mask_token_id


def test_only_key_words_are_masked_where_others_are_not_to_be() -> None:
    masker = TextMasker(PROCESSOR, probability=0.0, key_word_probability=0.5)
    masked = np.zeros(len(WORDS))
    for seed in range(300):
        _, labels = masker.mask(" ".join(WORDS), ["red", "two", "stars"], np.random.default_rng(seed))
        masked += np.array(labels[1:-1]) != IGNORED
    places = [WORDS.index(word) for word in ("red", "two", "stars")]
    assert masked.sum() == masked[places].sum()
    # 1/2, and a little more since one of the three is masked in any case.
    assert np.all(np.abs(masked[places] / 300 - (0.5 + 1 / 24)) < 0.1)


def test_ordinary_words_are_masked_as_bert_does() -> None:
    masker = TextMasker(PROCESSOR, probability=1.0, key_word_probability=0.5)
    whole = masker.encode(" ".join(WORDS))
    fates = {"mask": 0, "same": 0, "other": 0}
    for seed in range(400):
        tokens, _ = masker.mask(" ".join(WORDS), [], np.random.default_rng(seed))
        for before, after in zip(whole[1:-1], tokens[1:-1], strict=True):
            fates["mask" if after == 4 else "same" if after == before else "other"] += 1
    total = sum(fates.values())
    assert fates["mask"] / total == pytest.approx(0.8, abs=0.03)
    assert fates["same"] / total == pytest.approx(0.1, abs=0.03)


def test_wrong_probability() -> None:
    with pytest.raises(RecipeError, match="mask_probability must be from 0 to 1; got 15"):
        TextMasker(PROCESSOR, probability=15, key_word_probability=0.5)
