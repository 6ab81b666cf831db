"""Pixels on their way: bytes from a loader's workers to the device, a quarter of the floats, and normalised there."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from training_loop import Task

from clipbert_hf import ClipBertVideoProcessor


def pixel_dtype(processor: ClipBertVideoProcessor) -> str:
    """In what workers hand pixels over: bytes, unless frames are resized exactly, which gives fractions."""
    return "float32" if processor.exact_resize else "uint8"


def blank_clips(processor: ClipBertVideoProcessor, *, videos: int, clips: int, frames: int) -> torch.Tensor:
    """Clips of nothing, (videos, clips, frames, 3, L, L): as near to the mean colour as bytes come."""
    side = processor.size["longest_edge"]
    colour = torch.tensor(processor.image_mean).round().to(torch.uint8)[:, None, None]
    pixels = colour.repeat(videos, clips, frames, 1, side, side)
    return pixels if pixel_dtype(processor) == "uint8" else processor.normalize_clips(pixels)


class TaskOnPixels:
    """A task whose batches come with bytes for pixels; see ``training_loop.Task``.

    Args:
        task: Takes normalised pixels, ``batch["inputs"]["pixel_values_videos"]``.
        processor: Normalises them.
    """

    def __init__(self, task: Task, processor: ClipBertVideoProcessor) -> None:
        self.task, self.processor = task, processor

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """The task's."""
        return self.task.loss(model, self._normalize(batch))

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """The task's."""
        return self.task.predict(model, self._normalize(batch))

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """The task's."""
        return self.task.metrics(records)

    def _normalize(self, batch: dict[str, Any]) -> dict[str, Any]:
        pixels = batch["inputs"]["pixel_values_videos"]
        if pixels.dtype != torch.uint8:
            return batch
        inputs = {**batch["inputs"], "pixel_values_videos": self.processor.normalize_clips(pixels)}
        return {**batch, "inputs": inputs}
