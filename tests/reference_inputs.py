"""Regenerates the inputs of the recorded cases in tests/data, and small models to try things on."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipbert_hf import ClipBertConfig, ClipBertProcessor

DATA = Path(__file__).parent / "data"
PIXEL_MEAN = np.array([123.675, 116.28, 103.53], dtype=np.float32)[:, None, None]
CASES: dict[str, Any] = json.loads((DATA / "model_cases.json").read_text())
TASK_OF_CLASS = {
    "ClipBertForSequenceClassification": "qa",
    "ClipBertForMultipleChoice": "multiple-choice",
    "ClipBertForVideoTextRetrieval": "retrieval",
    "ClipBertForPreTraining": "pretraining",
}


def _generator(key: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=zlib.crc32(key.encode())))


def published_parameter(name: str, shape: list[int]) -> torch.Tensor:
    values = _generator(name).standard_normal(shape)
    if name.endswith("running_var"):
        values = 1 + 0.1 * np.abs(values)
    elif "norm.weight" in name or "LayerNorm.weight" in name:
        values = 1 + 0.1 * values
    elif name.endswith(("bias", "running_mean")):
        values = 0.02 * values
    elif "embeddings" in name:
        values = 0.1 * values
    else:
        values = values / np.sqrt(np.prod(shape[1:]) if len(shape) > 1 else shape[0])
    return torch.tensor(values, dtype=torch.float32)


def published_state(case: dict[str, Any]) -> dict[str, torch.Tensor]:
    shapes = dict(CASES["parameter_shapes"][case["original_class"]])
    if case["config"].get("loss_type") == "rank":
        shapes["transformer.classifier.2.weight"] = [1, 128]
        shapes["transformer.classifier.2.bias"] = [1]
    return {name: published_parameter(name, shape) for name, shape in shapes.items()}


def case_inputs(case: dict[str, Any]) -> dict[str, Any]:
    """input_ids and attention_mask (texts, tokens), pixel_values_videos (videos, clips, frames, 3, H, W)."""
    tag, clips, frames = case["tag"], case["n_clips"], case["n_frames"]
    videos, texts, lengths = len(case["n_examples_list"]), len(case["text_lengths"]), case["text_lengths"]
    pixels = _generator(f"pixels/{tag}").integers(0, 256, size=(videos, clips * frames, 3, *case["size"]))
    pixels = torch.from_numpy(pixels.astype(np.float32) - PIXEL_MEAN).unflatten(1, (clips, frames))
    input_ids = torch.from_numpy(_generator(f"tokens/{tag}").integers(1000, 30000, size=(texts, 10)))
    attention_mask = torch.ones_like(input_ids)
    input_ids[:, 0] = 101
    for row, length in enumerate(lengths):
        input_ids[row, length - 1] = 102
        input_ids[row, length:] = 0
        attention_mask[row, length:] = 0
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "pixel_values_videos": pixels,
        "texts_per_video": case["n_examples_list"],
    }


def tiny_config(**options: Any) -> ClipBertConfig:
    """A model that runs in milliseconds: a CNN of stride 32, two layers, 64 px frames give one grid cell."""
    sizes: dict[str, Any] = {
        "vocab_size": 60,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "backbone": "test_resnet",
        "backbone_stride_in_1x1": False,
    }
    if "id2label" not in options:
        sizes["num_labels"] = 5
    return ClipBertConfig(**(sizes | options))


def save_tiny(model_class: Any, folder: Path, vocab: Path, options: dict[str, Any], *, seed: int = 0) -> None:
    """Save a tiny model with random weights, and its processor."""
    torch.manual_seed(seed)
    model_class(tiny_config(initializer_range=0.3, **options)).eval().save_pretrained(folder)
    processor = ClipBertProcessor.from_pretrained_parts(text=vocab, size={"longest_edge": 64}, num_clips=2)
    processor.save_pretrained(folder)


def tiny_inputs(
    *, videos: int = 2, clips: int = 3, frames: int = 2, texts: int | None = None, tokens: int = 6, side: int = 64
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    texts = texts or videos
    attention_mask = torch.ones(texts, tokens, dtype=torch.long)
    attention_mask[0, tokens - 2 :] = 0
    return {
        "input_ids": torch.randint(1, 60, (texts, tokens), generator=generator),
        "attention_mask": attention_mask,
        "pixel_values_videos": torch.randn(videos, clips, frames, 3, side, side, generator=generator),
    }
