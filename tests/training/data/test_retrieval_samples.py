from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipbert_hf import ClipBertProcessor
from clipbert_hf.training.data.captions import CaptionPool, RetrievalSamples
from clipbert_hf.training.data.clips import ClipSamples
from clipbert_hf.training.data.rows import group_rows
from clipbert_hf.training.data.splits import load_splits
from clipbert_hf.training.recipe import DataSettings, StartSettings
from clipbert_hf.training.starting_points import create_processor
from clipbert_hf.training.tasks.clip_scores import logits_by_clips
from clipbert_hf.training.tasks.retrieval_batches import RetrievalCollator

ROWS = [
    {"id": "0", "video": "a", "caption": "a red ring"},
    {"id": "1", "video": "a", "caption": "one ring"},
    {"id": "2", "video": "b", "caption": "two stars"},
    {"id": "3", "video": "c", "caption": "a red ring"},
]


class Blank:
    """Stands for the clips, which these tests do not look at."""

    def __call__(self, rows: list[dict[str, Any]], generator: np.random.Generator) -> dict[str, Any]:
        return {"pixels": torch.zeros(1, 1, 1, 3, 64, 64), "rows": rows}


def processor_of(rows: list[dict[str, Any]]) -> ClipBertProcessor:
    options = {"size": {"longest_edge": 64}, "num_frames": 1}
    return create_processor(StartSettings(), DataSettings(data_dir="x", processor=options), rows, num_clips=1)


def samples(negatives: Any, number: int) -> RetrievalSamples:
    return RetrievalSamples(Blank(), CaptionPool(ROWS), negatives=negatives, negatives_per_caption=number)  # type: ignore[arg-type]


def test_random_negatives_are_never_true() -> None:
    read = samples("random", 2)
    for seed in range(20):
        assert read(ROWS[:1], np.random.default_rng(seed))["wrong"] == ["two stars"] * 2
        assert "two stars" not in read(ROWS[2:3], np.random.default_rng(seed))["wrong"]
    assert len(read(ROWS[:2], np.random.default_rng(0))["wrong"]) == 4


def test_hard_negatives_come_first() -> None:
    row = {**ROWS[2], "hard_negatives": ["two rings", "one star"]}
    wrong = samples("hard", 3)([row], np.random.default_rng(0))["wrong"]
    assert sorted(wrong[:2]) == ["one star", "two rings"]
    assert wrong[2] in {"a red ring", "one ring"}
    assert len(samples("hard", 1)([row], np.random.default_rng(0))["wrong"]) == 1


def test_in_batch_negatives() -> None:
    read = samples("in_batch", 2)
    batch = [read(ROWS[:1], np.random.default_rng(0)), read(ROWS[2:3], np.random.default_rng(0))]
    batch.append(read(ROWS[3:], np.random.default_rng(0)))
    processor = processor_of(ROWS)
    made = RetrievalCollator(processor, CaptionPool(ROWS), in_batch=2)(batch)
    texts = processor.tokenizer.batch_decode(made["inputs"]["input_ids"], skip_special_tokens=True)
    # Video c shows a red ring as well, which is no negative for a, nor a's for c.
    assert texts == ["a red ring", "two stars", "two stars", "a red ring", "a red ring", "two stars"]
    assert made["inputs"]["texts_per_video"].tolist() == [2, 2, 2]
    assert made["labels"].tolist() == [1, 0, 1, 0, 1, 0]
    assert made["ids"] == ["0", "2", "3"]


def test_every_caption_once_an_epoch() -> None:
    groups = group_rows(ROWS, 1)
    assert [row["id"] for group in groups for row in group] == ["0", "1", "2", "3"]
    assert [len(group) for group in group_rows(ROWS, 5)] == [2, 1, 1]


def test_where_one_inference_clip_lies(small_data: Path) -> None:
    rows = load_splits(DataSettings(data_dir=str(small_data)), "retrieval")["test"][:1]
    processor = processor_of(rows)
    read = {kind: ClipSamples(processor, clips=1, training=False, single_clip=kind) for kind in ("dense", "middle")}
    pixels = {kind: one(rows, np.random.default_rng(0))["pixels"] for kind, one in read.items()}
    for kind in read:
        expected = processor.video_processor(rows[0]["video"], num_clips=1, sampling_strategy=kind)
        assert torch.equal(processor.video_processor.normalize_clips(pixels[kind]), expected["pixel_values_videos"])
    assert not torch.equal(pixels["dense"], pixels["middle"])


@pytest.mark.parametrize(("aggregation", "one", "two"), [("mean", 1.0, 2.0), ("max", 1.0, 3.0)])
def test_some_of_the_clips(aggregation: str, one: float, two: float) -> None:
    logits = torch.tensor([[[1.0], [9.0], [3.0], [9.0]]])
    result = logits_by_clips(logits, aggregation, [1, 2])
    assert {count: value.item() for count, value in result.items()} == {1: one, 2: two}


def test_dense_training_clips(small_data: Path) -> None:
    rows = load_splits(DataSettings(data_dir=str(small_data)), "retrieval")["train"][:1]
    processor = processor_of(rows)
    dense = ClipSamples(processor, clips=4, training=True, training_sampling="dense")
    inference = ClipSamples(processor, clips=4, training=False)
    pixels = [read(rows, np.random.default_rng(seed))["pixels"] for seed, read in enumerate((dense, inference))]
    assert torch.equal(*pixels)
