"""Small retrieval models in folders, videos in memory and in files, and an index of these."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from reference_inputs import tiny_config
from video_indexes import build, save_model, write_video

from clipbert_hf import ClipBertForVideoTextRetrieval, ClipBertProcessor
from clipbert_hf.retrieval.video_index import VideoIndex


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


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "contrastive", contrastive_size=8)


@pytest.fixture(scope="session")
def originals(tmp_path_factory) -> Path:
    """Seven videos, one of them long, one cut short."""
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(5):
        write_video(folder / f"{seed}.mp4", seed)
    write_video(folder / "it's long.mp4", 5, seconds=21)
    content = write_video(folder / "torn.mp4", 6).read_bytes()
    (folder / "torn.mp4").write_bytes(content[: len(content) // 2])
    return folder


@pytest.fixture
def folder(originals, tmp_path) -> Path:
    return shutil.copytree(originals, tmp_path / "videos")


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("index")


@pytest.fixture(scope="session")
def index(originals, model, uninterrupted) -> VideoIndex:
    return build(originals, uninterrupted, model)
