"""How prepared videos are compared with their originals, through the reader that trains on both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from clipbert_hf.video.reading import open_video
from datasets_scripts.preparation.encoding import EncodingSettings
from datasets_scripts.preparation.one_video import Job, Prepared, prepare_one


def prepare_file(source: Path, target: Path, settings: EncodingSettings | None = None) -> Prepared | str:
    return prepare_one(Job(target.name, str(source), str(target), settings or EncodingSettings(), 20.0))


def assert_same_to_the_reader(original: Path, prepared: Path, *, least_psnr: float = 30.0) -> None:
    """Equal frames, rate, duration and times; each picture is that of the original, and no neighbour's."""
    with open_video(original) as before, open_video(prepared) as after:
        assert (after.frames, after.fps) == (before.frames, before.fps)
        assert after.duration == pytest.approx(before.duration, rel=1e-15)  # Pillow's is a quotient of floats
        np.testing.assert_array_equal(after.frame_seconds, before.frame_seconds)
        expected = before.read(range(before.frames)).float()
        found = after.read(range(after.frames)).float()
    expected = functional.interpolate(expected, size=found.shape[-2:], mode="bilinear", antialias=True)
    errors = torch.stack([((expected - frame) ** 2).mean(dim=(1, 2, 3)) for frame in found])  # (prepared, original)
    assert float(errors.diagonal().max()) < 255**2 / 10 ** (least_psnr / 10)
    assert torch.all(errors.diagonal() == errors.min(dim=1).values)
