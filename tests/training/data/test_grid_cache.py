"""Cached grid features: those of the CNN itself, keyed by weights, options and videos, whole or not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from clipbert_hf import ClipBertForVideoTextRetrieval, ClipBertProcessor, VideoDecodeError
from clipbert_hf.training.data.clips import ClipSamples
from clipbert_hf.training.data.grid_cache import GridCache, GridCacheError
from clipbert_hf.training.recipe import RecipeError


@pytest.fixture
def model(pretrained: Path) -> ClipBertForVideoTextRetrieval:
    model = ClipBertForVideoTextRetrieval.from_pretrained(pretrained)
    model.clipbert.grid_backbone.requires_grad_(False)
    return model


@pytest.fixture
def processor(pretrained: Path) -> ClipBertProcessor:
    return ClipBertProcessor.from_pretrained(pretrained)


@pytest.fixture
def videos(small_data: Path, tmp_path: Path) -> list[str]:
    paths = sorted(small_data.rglob("*.mp4"))[:3]
    return [str(shutil.copy(path, tmp_path / path.name)) for path in paths]


def filled(tmp_path: Path, model, processor, videos) -> GridCache:
    cache = GridCache(tmp_path / "cache", model, processor.video_processor)
    cache.fill(Accelerator(), model, videos)
    return cache


@pytest.mark.parametrize("index_by", ["frame", "time"])
def test_training_clips_are_those_that_would_be_read(index_by, model, processor, videos, tmp_path) -> None:
    processor.video_processor.index_by = index_by
    cache = filled(tmp_path, model, processor, videos)
    for video in videos:
        options = {"clips": 5, "training": True}
        cached = ClipSamples(processor, cache=cache, **options)([{"video": video}], np.random.default_rng(3))
        read = ClipSamples(processor, **options)([{"video": video}], np.random.default_rng(3))
        pixels = processor.video_processor.normalize_clips(read["pixels"])
        with torch.inference_mode():
            wanted = model.eval().get_grid_features(pixels)
        torch.testing.assert_close(cached["grids"], wanted, atol=1e-5, rtol=0)


def test_frames_come_in_parts(model, processor, videos, tmp_path, monkeypatch) -> None:
    whole = filled(tmp_path / "whole", model, processor, videos)
    monkeypatch.setattr("clipbert_hf.training.data.grid_cache._FRAMES_AT_ONCE", 5)
    parts = filled(tmp_path / "parts", model, processor, videos)
    for video in videos:
        one, other = whole.read(video), parts.read(video)
        assert (one.frames, one.fps, one.duration) == (other.frames, other.fps, other.duration)
        torch.testing.assert_close(one.grids, other.grids, atol=1e-5, rtol=0)
        assert np.array_equal(one.frame_seconds, other.frame_seconds)


def test_what_is_there_is_not_computed_again(model, processor, videos, tmp_path) -> None:
    cache = filled(tmp_path, model, processor, videos[:2])
    before = {path: path.stat().st_mtime_ns for path in cache.folder.rglob("*.safetensors")}
    cache.fill(Accelerator(), model, videos)
    after = {path: path.stat().st_mtime_ns for path in cache.folder.rglob("*.safetensors")}
    assert len(after) == 3
    assert before.items() <= after.items()


def test_nothing_of_it_is_ever_stale(model, processor, videos, tmp_path) -> None:
    cache = filled(tmp_path, model, processor, videos)
    with torch.no_grad():
        next(model.clipbert.grid_backbone.parameters()).add_(1e-3)
    assert GridCache(tmp_path / "cache", model, processor.video_processor).folder != cache.folder
    os.utime(videos[0], ns=(1, 1))  # another video under the same name
    with pytest.raises(VideoDecodeError, match="its grid features are not in"):
        cache.read(videos[0])
    processor.video_processor.image_mean = (1.0, 2.0, 3.0)
    other = GridCache(tmp_path / "cache", model, processor.video_processor).folder
    processor.video_processor.num_clips = 7  # which changes no frame
    assert GridCache(tmp_path / "cache", model, processor.video_processor).folder == other


def test_a_video_that_cannot_be_read_is_an_error_when_it_is_its_turn(model, processor, videos, tmp_path) -> None:
    torn = Path(videos[0])
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    cache = filled(tmp_path, model, processor, [*videos, str(tmp_path / "missing.mp4")])
    assert cache.read(videos[1]).frames > 0
    with pytest.raises(VideoDecodeError, match=torn.name):
        cache.read(str(torn))
    with pytest.raises(VideoDecodeError, match=r"missing\.mp4"):
        cache.read(str(tmp_path / "missing.mp4"))


def test_a_folder_that_cannot_be_written(model, processor, videos, tmp_path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(GridCacheError, match="cannot be written"):
        filled(tmp_path, model, processor, videos)


def test_what_still_trains_is_refused(model, processor, tmp_path) -> None:
    model.clipbert.grid_backbone.grid_encoder.requires_grad_(True)
    with pytest.raises(RecipeError, match=r"set frozen to \[grid_features\]"):
        GridCache(tmp_path, model, processor.video_processor)
