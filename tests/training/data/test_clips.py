from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from clipbert_hf import ClipBertVideoProcessor
from clipbert_hf.training.data.clips import TaskOnPixels, blank_clips, pixel_dtype

COLOUR = {"image_mean": [100.4, 50.6, 0.0], "image_std": [2.0, 4.0, 1.0], "size": {"longest_edge": 6}}


class SeeingTask:
    """Remembers the pixels that it was given."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        self.seen.append(batch["inputs"]["pixel_values_videos"])
        return torch.tensor(0.0)

    def predict(self, model: nn.Module, batch: Any) -> list[Any]:
        self.seen.append(batch["inputs"]["pixel_values_videos"])
        return batch["ids"]

    def metrics(self, records: list[Any]) -> dict[str, float]:
        return {"number": float(len(records))}


def test_a_task_sees_what_the_processor_would_have_made_of_floats() -> None:
    processor = ClipBertVideoProcessor(**COLOUR)
    video = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    whole = processor(video, do_sample_frames=False).pixel_values_videos
    assert pixel_dtype(processor) == "uint8"
    pixels = processor(video, do_sample_frames=False, pixel_dtype=pixel_dtype(processor)).pixel_values_videos
    assert pixels.dtype == torch.uint8
    batch = {"inputs": {"pixel_values_videos": pixels, "input_ids": torch.tensor([[1]])}, "ids": ["a"]}
    inner = SeeingTask()
    task = TaskOnPixels(inner, processor)
    task.loss(nn.Linear(1, 1), batch)
    assert task.predict(nn.Linear(1, 1), batch) == ["a"]
    assert task.metrics(["a"]) == {"number": 1.0}
    assert len(inner.seen) == 2
    assert all(torch.equal(seen, whole) for seen in inner.seen)
    assert batch["inputs"]["pixel_values_videos"] is pixels  # the loader's batch stays as it was


def test_exactly_resized_frames_travel_as_floats() -> None:
    processor = ClipBertVideoProcessor(**COLOUR, exact_resize=True)
    assert pixel_dtype(processor) == "float32"
    pixels = torch.randn(1, 1, 1, 3, 6, 6)
    inner = SeeingTask()
    TaskOnPixels(inner, processor).loss(nn.Linear(1, 1), {"inputs": {"pixel_values_videos": pixels}})
    assert inner.seen[0] is pixels
    assert blank_clips(processor, videos=1, clips=1, frames=1).dtype == torch.float32


@pytest.mark.parametrize("exact", [False, True])
def test_blank_clips_are_of_the_mean_colour(exact: bool) -> None:
    processor = ClipBertVideoProcessor(**COLOUR, exact_resize=exact)
    clips = blank_clips(processor, videos=2, clips=3, frames=4)
    assert clips.shape == (2, 3, 4, 3, 6, 6)
    pixels = clips if exact else processor.normalize_clips(clips)
    expected = torch.tensor([(100 - 100.4) / 2, (51 - 50.6) / 4, 0.0])[:, None, None]
    torch.testing.assert_close(pixels, expected.expand(pixels.shape), atol=1e-5, rtol=0)
