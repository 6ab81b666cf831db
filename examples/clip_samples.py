"""Videos with what is asked about them: what the scripts that score texts against clips have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from clip_pixels import blank_clips, pixel_dtype
from data_loading import group_by_video, group_rows
from data_splits import Row
from recipe import RecipeError, setting

from clipbert_hf import ClipBertProcessor, aggregate_clip_logits


@dataclass(kw_only=True)
class ClipSettings:
    """How many clips of a video a model sees."""

    training_clips: int = setting(4, "clips of a video in training")
    training_sampling: Literal["random", "dense"] = setting(
        "random", "training clips are drawn at random, or lie densely as those of inference (paper, table 4)"
    )
    validation_clips: int = setting(4, "clips of a video in the evaluations during training")
    inference_clips: list[int] = field(
        default_factory=lambda: [16],
        metadata={"help": "numbers of clips of a video in the test; each divides the largest"},
    )


@dataclass(kw_only=True)
class QuestionSettings(ClipSettings):
    """Clips, and questions about them."""

    questions_per_video: int | None = setting(None, "most questions of a video in a training step; null: all")
    epoch_of: Literal["videos", "questions"] = setting(
        "videos", "an epoch has every video once, with questions drawn at random; or every question once"
    )
    text_only: bool = setting(False, "no video, in training and test: how far do the texts alone lead?")


def question_groups(rows: Sequence[Row], settings: QuestionSettings, *, training: bool) -> list[list[Row]]:
    """What a sample of a split holds: a video with all its questions, or in training with some of them."""
    if training and settings.epoch_of == "questions":
        return group_rows(rows, settings.questions_per_video or len(rows))
    return group_by_video(rows)


def check_inference_clips(counts: Sequence[int]) -> None:
    """Check that one pass over the largest number of clips serves all.

    Raises:
        RecipeError: If not.
    """
    if not counts or min(counts) < 1 or any(max(counts) % count for count in counts):
        raise RecipeError(f"inference_clips must be numbers of at least 1 that divide the largest; got {list(counts)}")


def logits_by_clips(clip_logits: torch.Tensor, aggregation: Any, counts: Sequence[int]) -> dict[int, torch.Tensor]:
    """Aggregated logits with each number of clips, from one pass over the largest.

    Args:
        clip_logits: (N, K, L).
        aggregation: Of the model.
        counts: Numbers of clips that divide K.

    Returns:
        (N, L) for each number.
    """
    clips = clip_logits.shape[1]
    # Dense clips start at delta * i / N: those of N are every (K / N)-th of those of K.
    return {count: aggregate_clip_logits(clip_logits[:, :: clips // count], aggregation) for count in counts}


class ClipSamples:
    """Reads the clips of a video, and chooses among its rows.

    Args:
        processor: Of the model.
        clips: Clips a video.
        training: Whether clips are drawn at random, and rows chosen.
        training_sampling: Where training clips lie.
        most_rows: In training, the most rows of a video; null: all.
        text_only: Whether there is no video to see.
        single_clip: Where one inference clip lies: at the start for questions, a third into the video for retrieval
            and multiple choice, as published.
    """

    def __init__(
        self,
        processor: ClipBertProcessor,
        *,
        clips: int,
        training: bool,
        most_rows: int | None = None,
        text_only: bool = False,
        single_clip: str = "dense",
        training_sampling: str = "random",
    ) -> None:
        self.processor, self.clips, self.training = processor.video_processor, clips, training
        self.most_rows, self.text_only = most_rows, text_only
        self.strategy = training_sampling if training else single_clip if clips == 1 else "dense"

    def __call__(self, rows: list[Row], generator: np.random.Generator) -> dict[str, Any]:
        """One sample: ``pixels`` (1, K, T, 3, L, L) and ``rows``."""
        if self.text_only:
            pixels = self._nothing(clips=1)  # all clips would be the same
        else:
            pixels = self.processor(
                rows[0]["video"],
                num_clips=self.clips,
                sampling_strategy=self.strategy,
                generator=generator,
                pixel_dtype=pixel_dtype(self.processor),
            )["pixel_values_videos"]
        return {"pixels": pixels, "rows": self._some(rows, generator)}

    def without_video(self, rows: list[Row], generator: np.random.Generator) -> dict[str, Any]:
        """The sample of a video that cannot be read: as many clips, of nothing."""
        return {"pixels": self._nothing(clips=self.clips), "rows": self._some(rows, generator)}

    def _some(self, rows: list[Row], generator: np.random.Generator) -> list[Row]:
        if not self.training or self.most_rows is None or len(rows) <= self.most_rows:
            return rows
        return [rows[index] for index in np.sort(generator.permutation(len(rows))[: self.most_rows])]

    def _nothing(self, *, clips: int) -> torch.Tensor:
        return blank_clips(self.processor, videos=1, clips=clips, frames=self.processor.num_frames)
