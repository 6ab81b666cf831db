from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from miniature_files import write_media

from clipbert_hf import ClipBertProcessor, read_video_frames
from clipbert_hf.training.data.captions import CaptionPool
from clipbert_hf.training.data.frames import PretrainingSamples
from clipbert_hf.training.data.masking import IGNORED, TextMasker
from clipbert_hf.training.data.rows import group_by_video, group_rows
from clipbert_hf.training.data.splits import load_splits
from clipbert_hf.training.recipe import DataSettings, StartSettings
from clipbert_hf.training.starting_points import create_processor
from clipbert_hf.training.tasks.pretraining import PretrainingCollator

WORDS = ["a", "red", "ring", "and", "two", "blue", "stars", "are", "there"]


def make_processor(rows: list[dict[str, Any]]) -> ClipBertProcessor:
    options = {"size": {"longest_edge": 64}, "num_frames": 1}
    return create_processor(StartSettings(), DataSettings(data_dir="x", processor=options), rows, num_clips=1)


PROCESSOR = make_processor([{"caption": " ".join(WORDS)}])


def test_samples_of_moving_shapes(small_data: Path) -> None:
    rows = load_splits(DataSettings(data_dir=str(small_data)), "pretraining")["train"]
    processor = make_processor(rows)
    masker = TextMasker(processor, probability=0.0, key_word_probability=0.5)
    pool = CaptionPool(rows)
    read = PretrainingSamples(processor, masker, pool, frames=3, masked_texts=2, matched_texts=1)
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
    batch = PretrainingCollator(masker, pool)([sample, sample])
    inputs = batch["inputs"]
    assert inputs["pixel_values_videos"].shape == (6, 1, 1, 3, 64, 64)
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == inputs["mlm_labels"].shape
    assert inputs["texts_per_video"].tolist() == [3] * 6
    assert inputs["attention_mask"].sum(1).tolist() == [len(text) for text in sample["tokens"]] * 2
    assert batch["texts"] == [9, 9]
    assert set(batch["ids"]) <= {row["id"] for row in group}


def test_a_frame_shows_its_moment(small_data: Path) -> None:
    rows = load_splits(DataSettings(data_dir=str(small_data)), "pretraining")["train"]
    processor = make_processor(rows)
    masker = TextMasker(processor, probability=0.0, key_word_probability=0.5)
    read = PretrainingSamples(processor, masker, CaptionPool(rows), frames=1, masked_texts=1, matched_texts=1)
    moment = group_by_video(rows)[0][0]
    seen = set()
    frames = read_video_frames(moment["video"], range(32)).float()
    for seed in range(60):
        pixels = read([moment], np.random.default_rng(seed))["pixels"][0, 0, 0]
        seen.add(int((frames - pixels).abs().amax((1, 2, 3)).argmin()))
    # Frames are 1/4 s apart.
    assert seen == set(range(round(moment["start"] * 4), round(moment["end"] * 4)))


# --- Mismatches ---

# Three images; 0 and 2 have a caption in common, and 3 is of another data set.
CAPTIONS = {
    "0": ["a red ring", "one ring"],
    "1": ["two blue stars", "two stars"],
    "2": ["a red ring", "a ring and stars"],
    "3": ["blue are there"],
}
MASKER = TextMasker(PROCESSOR, probability=0.15, key_word_probability=0.5)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = write_media(tmp_path_factory.mktemp("images"), *(f"{name}.jpg" for name in CAPTIONS))
    return {name: str(folder / f"{name}.jpg") for name in CAPTIONS}


def rows_of(images: dict[str, str], names: str = "012") -> list[dict[str, Any]]:
    return [
        {"id": f"{name}_{n}", "video": images[name], "caption": caption, "source": "b" if name == "3" else "a"}
        for name in names
        for n, caption in enumerate(CAPTIONS[name])
    ]


def samples(rows: list[dict[str, Any]], texts: int = 1, **options: Any) -> PretrainingSamples:
    numbers: dict[str, Any] = {"frames": 1, "masked_texts": 0, "matched_texts": texts}
    return PretrainingSamples(PROCESSOR, MASKER, CaptionPool(rows), **{**numbers, **options})


def decoded(tokens: Any) -> str:
    return str(PROCESSOR.tokenizer.decode(tokens, skip_special_tokens=True))


def drawn(rows: list[dict[str, Any]], group: list[dict[str, Any]], **options: Any) -> set[tuple[str, int]]:
    """Every (text, label) that many samples of a group show."""
    read = samples(rows, 4, **options)
    made = [read(group, np.random.default_rng(seed)) for seed in range(60)]
    pairs = [zip(sample["tokens"], sample["itm_labels"], strict=True) for sample in made]
    return {(decoded(tokens), label) for pair in pairs for tokens, label in pair}


def test_random_mismatches(images: dict[str, str]) -> None:
    rows = rows_of(images, "0123")
    own = {("a red ring", 1), ("one ring", 1)}
    # Never "a red ring" of 2, which 0 has too, nor what another data set says.
    wrong = {("two blue stars", 0), ("two stars", 0), ("a ring and stars", 0)}
    assert drawn(rows, rows[:2], negatives="random") == own | wrong


def test_hard_mismatches(images: dict[str, str]) -> None:
    rows = rows_of(images)
    group = [{**rows[0], "hard_negatives": ["a blue ring"]}]
    assert drawn(rows, group, negatives="hard") == {("a red ring", 1), ("a blue ring", 0)}
    others = {*CAPTIONS["1"], "a ring and stars"}
    wrong = {(text, 0) for text in others}
    mixed = drawn(rows, group, negatives="hard", hard_negatives=0.5)
    assert mixed == {("a red ring", 1), ("a blue ring", 0)} | wrong
    assert drawn(rows, group, negatives="hard", hard_negatives=0.0) == {("a red ring", 1)} | wrong
    # Without any, what is most like "a red ring" among the captions of others: two words in common.
    assert drawn(rows, rows[:1], negatives="hard", hard_candidates=40) == {("a red ring", 1), ("a ring and stars", 0)}


@pytest.mark.parametrize("negatives", ["random", "hard", "in_batch"])
def test_half_of_the_texts_match(negatives: Any, images: dict[str, str]) -> None:
    rows = rows_of(images)
    read = samples(rows, 1, negatives=negatives)
    labels = [read(rows[:2], np.random.default_rng(seed))["itm_labels"][0] for seed in range(200)]
    assert 70 < sum(labels) < 130  # 100, and four standard deviations of 7
    same = [{**row, "caption": "a red ring"} for row in rows]
    assert drawn(same, same[:1], negatives=negatives) == {("a red ring", 1)}


def test_in_batch_mismatches_are_captions_of_the_batch(images: dict[str, str]) -> None:
    """Against a naive walk over the batch: labels stay with their texts, and no text of label 0 is the video's own."""
    rows = rows_of(images, "0123")
    groups = group_by_video(rows)
    read = samples(rows, 3, negatives="in_batch")
    mismatches = 0
    for seed in range(40):
        batch = [read(group, np.random.default_rng([seed, place])) for place, group in enumerate(groups)]
        made = PretrainingCollator(MASKER, CaptionPool(rows))(batch)["inputs"]
        texts, labels = [decoded(tokens) for tokens in made["input_ids"]], made["itm_labels"].tolist()
        assert labels == [label for sample in batch for label in sample["itm_labels"]]
        for place, group in enumerate(groups):
            own = {row["caption"] for row in group}
            others: list[str] = []
            for step in range(1, len(groups)):
                for row in batch[(place + step) % len(groups)]["rows"]:
                    if row["caption"] not in own | set(others) and row["source"] == group[0]["source"]:
                        others.append(row["caption"])
            asked = list(zip(texts, labels, strict=True))[3 * place : 3 * place + 3]
            assert all(text in own for text, label in asked if label)
            wrong = [text for text, label in asked if not label]
            assert not own & set(wrong)
            assert wrong == [others[number % len(others)] for number in range(len(wrong) if others else 0)]
            mismatches += len(wrong)
    assert mismatches > 100


def test_in_batch_table(images: dict[str, str]) -> None:
    """By hand: what each text of a batch becomes. Where a text is to be replaced, the sample says "there are two"."""
    rows = rows_of(images, "0123")

    def sample(name: str, *texts: tuple[str, int]) -> dict[str, Any]:
        labels = [label for _, label in texts]
        return {
            "pixels": torch.zeros(1, 1, 1, 3, 64, 64),
            "tokens": [MASKER.encode(text if label else "there are two") for text, label in texts],
            "mlm_labels": [[] for _ in texts],
            "itm_labels": labels,
            "rows": [{"video": images[name], "caption": text} for text, _ in texts],
            "ids": [],
            "in_batch": [place for place, label in enumerate(labels) if not label],
        }

    batch = [
        sample("0", ("a red ring", 1), ("one ring", 0)),
        sample("1", ("two stars", 0), ("two blue stars", 0)),
        sample("2", ("a red ring", 0), ("a ring and stars", 0)),
        sample("3", ("blue are there", 1), ("blue are there", 0)),
    ]
    made = PretrainingCollator(MASKER, CaptionPool(rows))(batch)["inputs"]
    texts = [decoded(tokens) for tokens in made["input_ids"]]
    assert list(zip(texts, made["itm_labels"].tolist(), strict=True)) == [
        ("a red ring", 1),
        ("two stars", 0),  # the next sample's first
        ("a red ring", 0),  # of 2, the next
        ("a ring and stars", 0),
        ("one ring", 0),  # of 0, around the end: its "a red ring" is true of 2 as well
        ("two stars", 0),
        ("blue are there", 1),
        ("there are two", 0),  # nothing else of its data set is in the batch
    ]
    assert batch[0]["tokens"][1] == MASKER.encode("there are two")  # the samples are as they were


def test_captions_in_turn(images: dict[str, str]) -> None:
    read = samples(rows_of(images), 2, masked_texts=3, in_turn=True)
    for group in group_rows(rows_of(images), 2):
        captions = [row["caption"] for row in group]
        for seed in range(10):
            sample = read(group, np.random.default_rng(seed))
            assert sorted(row["caption"] for row in sample["rows"]) == sorted(captions)
            assert sorted(sample["ids"]) == sorted(row["id"] for row in group)
            masked = [
                decoded([token if label == IGNORED else label for token, label in zip(*text, strict=True)])
                for text in zip(sample["tokens"][:3], sample["mlm_labels"][:3], strict=True)
            ]
            assert sorted(masked[:2]) == sorted(captions)
            assert masked[2] in captions
