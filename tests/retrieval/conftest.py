"""A small retrieval model in a folder, and videos in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from reference_inputs import tiny_config

from clipbert_hf import ClipBertForVideoTextRetrieval, ClipBertProcessor


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    vocab = folder / "vocab.txt"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "color", "shape", "is", "it", "?"]
    vocab.write_text("\n".join(words))
    torch.manual_seed(0)
    model = ClipBertForVideoTextRetrieval(tiny_config()).eval()
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.mul_(30)
    model.save_pretrained(folder)
    options = {"size": {"longest_edge": 64}, "num_clips": 3, "image_std": (100.0, 100.0, 100.0)}
    ClipBertProcessor.from_pretrained_parts(text=vocab, **options).save_pretrained(folder)
    return folder


def make_frames(seed: int, number: int = 30, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, height, width, 3), dtype=np.uint8)


@pytest.fixture
def frames():
    return make_frames
