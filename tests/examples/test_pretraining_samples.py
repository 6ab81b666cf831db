from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_loading import group_by_video, load_splits
from hypothesis import given
from hypothesis import strategies as st
from pretraining_samples import IGNORED, PretrainingCollator, PretrainingSamples, TextMasker
from recipe import DataSettings, RecipeError, StartSettings
from start_points import create_processor

from clipbert_hf import ClipBertProcessor, read_video_frames

WORDS = ["a", "red", "ring", "and", "two", "blue", "stars", "are", "there"]


def make_processor(rows: list[dict[str, Any]]) -> ClipBertProcessor:
    options = {"size": {"longest_edge": 64}, "num_frames": 1}
    return create_processor(StartSettings(), DataSettings(data_dir="x", processor=options), rows, num_clips=1)


PROCESSOR = make_processor([{"caption": " ".join(WORDS)}])


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


def test_samples_of_moving_shapes(small_data: Path) -> None:
    rows = load_splits(DataSettings(data_dir=str(small_data)), "pretraining")["train"]
    processor = make_processor(rows)
    masker = TextMasker(processor, probability=0.0, key_word_probability=0.5)
    read = PretrainingSamples(
        processor, masker, ["other"], frames=3, masked_texts=2, matched_texts=1, hard_negatives=1.0
    )
    group = group_by_video(rows)[0]
    true = {row["caption"] for row in group}
    false = {text for row in group for text in row["hard_negatives"]}
    matches = 0
    for seed in range(40):
        sample = read(group, np.random.default_rng(seed))
        assert sample["pixels"].shape == (3, 1, 1, 3, 64, 64)
        assert sample["itm_labels"][0::3] == sample["itm_labels"][1::3] == [IGNORED] * 3
        assert [bool(labels) for labels in sample["mlm_labels"]] == [True, True, False] * 3
        for text, match in zip(sample["tokens"][2::3], sample["itm_labels"][2::3], strict=True):
            words = processor.tokenizer.decode(text, skip_special_tokens=True)
            assert words in (true if match else false)
            matches += match
    assert 40 < matches < 80
    batch = PretrainingCollator(processor)([sample, sample])
    inputs = batch["inputs"]
    assert inputs["pixel_values_videos"].shape == (6, 1, 1, 3, 64, 64)
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == inputs["mlm_labels"].shape
    assert inputs["texts_per_video"].tolist() == [3] * 6
    assert inputs["attention_mask"].sum(1).tolist() == [len(text) for text in sample["tokens"]] * 2
    assert batch["texts"] == [9, 9]


def test_a_frame_shows_its_moment(small_data: Path) -> None:
    rows = load_splits(DataSettings(data_dir=str(small_data)), "pretraining")["train"]
    processor = make_processor(rows)
    masker = TextMasker(processor, probability=0.0, key_word_probability=0.5)
    read = PretrainingSamples(processor, masker, [], frames=1, masked_texts=1, matched_texts=1, hard_negatives=1.0)
    moment = group_by_video(rows)[0][0]
    seen = set()
    frames = read_video_frames(moment["video"], range(32)).float()
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    for seed in range(60):
        pixels = read([moment], np.random.default_rng(seed))["pixels"][0, 0, 0] + mean
        seen.add(int((frames - pixels).abs().amax((1, 2, 3)).argmin()))
    # Frames are 1/4 s apart.
    assert seen == set(range(round(moment["start"] * 4), round(moment["end"] * 4)))


def test_mismatches_without_hard_negatives(small_data: Path) -> None:
    video = load_splits(DataSettings(data_dir=str(small_data)), "qa")["train"][0]["video"]
    masker = TextMasker(PROCESSOR, probability=0.15, key_word_probability=0.5)
    captions = ["a red ring", "two stars"]
    read = PretrainingSamples(
        PROCESSOR, masker, captions, frames=1, masked_texts=1, matched_texts=1, hard_negatives=1.0
    )
    texts = set()
    for seed in range(30):
        sample = read([{"id": "1", "video": video, "caption": "a red ring"}], np.random.default_rng(seed))
        text = PROCESSOR.tokenizer.decode(sample["tokens"][1], skip_special_tokens=True)
        texts.add((text, sample["itm_labels"][1]))
    assert texts == {("a red ring", 1), ("two stars", 0)}
