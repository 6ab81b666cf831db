"""What retrieval trains on and is evaluated on: settings, batches of videos with captions, loaders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader

from ...model.processing_clipbert import ClipBertProcessor
from ..contrastive import KEY, ContrastiveSettings, contrastive_part
from ..data.captions import CaptionPool, RetrievalSamples
from ..data.clips import ClipSamples, ClipSettings, frame_indices, join_visual
from ..data.grid_cache import GridCache
from ..data.loaders import create_loader
from ..data.media import EmbeddedMedia
from ..data.row_tables import Row
from ..data.rows import as_rows, group_by_video
from ..recipe import RecipeError, ScriptSettings, check_at_least, setting

# One clip lies a third into the video, as published for this task.
SINGLE_CLIP = "middle"


@dataclass(kw_only=True)
class RetrievalRecipe(ScriptSettings, ClipSettings, ContrastiveSettings):
    """Retrieval. The loss, cross-entropy or rank, is model.retrieval_loss."""

    captions_per_video: int = setting(1, "captions of a video in a training sample; an epoch has every caption once")
    negatives: Literal["random", "hard", "in_batch"] = setting(
        "random", "where wrong captions come from; hard: those of the data set, else of other videos the most alike"
    )
    negatives_per_caption: int = setting(1, "wrong captions for each right one in training")
    hard_candidates: int = setting(16, "of how many captions drawn a hard negative is the most alike")
    eval_pairs: int = setting(512, "most pairs of a text and a clip that are scored at once in an evaluation")
    matching_videos: int | None = setting(
        None, "videos of a batch that matching trains on, beside a contrastive loss on all of it; null: all"
    )
    matching_clips: int | None = setting(None, "clips of these that matching sees; null: training_clips")
    candidates: list[int] = setting(
        [10, 50], "numbers of videos that a contrastive head leaves to be matched, of which evaluations tell"
    )
    grid_cache: str | None = setting(
        None,
        "a folder where the grid features of frozen [grid_features] are kept: training then decodes nothing",
        may_change=True,
    )
    dual_softmax_scale: float | None = setting(
        None, "the test is also reported with a dual softmax of so much times the logits; needs all queries at once"
    )

    def check(self) -> None:
        """See the base."""
        super().check()
        names = ("captions_per_video", "negatives_per_caption", "hard_candidates", "eval_pairs")
        check_at_least(self, dict.fromkeys((*names, "matching_videos", "matching_clips"), 1))
        if any(count < 1 for count in self.candidates):
            raise RecipeError(f"candidates must be at least 1 each; got {self.candidates}")
        if self.dual_softmax_scale is not None and self.dual_softmax_scale <= 0:
            raise RecipeError(f"dual_softmax_scale must be above 0; got {self.dual_softmax_scale}")
        if (self.matching_clips or 0) > self.training_clips:
            raise RecipeError(
                f"matching_clips must be at most training_clips, {self.training_clips}; got {self.matching_clips}"
            )


class RetrievalCollator:
    """Samples to a batch: each video with its captions and wrong ones.

    Args:
        processor: Of the model.
        pool: Says which captions are true of a video.
        in_batch: How many captions of other videos of the batch each right caption is set against.
        contrasts: Whether the batch is also for a contrastive head.
        matching_videos: How many of the videos have captions to be matched, the first ones; None: all.
        matching_clips: How many of their clips are seen for that, beside a contrastive head; None: all.
    """

    def __init__(
        self,
        processor: ClipBertProcessor,
        pool: CaptionPool,
        *,
        in_batch: int = 0,
        contrasts: bool = False,
        matching_videos: int | None = None,
        matching_clips: int | None = None,
    ) -> None:
        self.processor, self.pool, self.in_batch, self.contrasts = processor, pool, in_batch, contrasts
        self.matching_videos, self.matching_clips = matching_videos, matching_clips

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """``inputs`` of the model, ``labels`` of its captions and the rows' ``ids``; see also the contrastive part."""
        ids = [row["id"] for sample in samples for row in sample["rows"]]
        inputs: dict[str, Any] = join_visual(samples)
        batch: dict[str, Any] = {"inputs": inputs, "ids": ids}
        if self.contrasts:
            texts, batch[KEY] = contrastive_part(samples, self.pool)
            tokens = self.processor(text=texts)
            inputs |= {f"contrastive_{name}": tokens[name] for name in ("input_ids", "attention_mask")}
            inputs |= {"matching_clips": self.matching_clips}
        matched = len(samples) if self.matching_videos is None else min(self.matching_videos, len(samples))
        if matched:
            texts_and_labels = self._captions(samples, matched)
            inputs |= texts_and_labels.pop("inputs")
            batch |= texts_and_labels
        return batch

    def _captions(self, samples: list[dict[str, Any]], matched: int) -> dict[str, Any]:
        """Labels are 1 for captions that fit, 0 for the others."""
        texts, labels = [], []
        for place, sample in enumerate(samples[:matched]):
            right = [row["caption"] for row in sample["rows"]]
            others = self.pool.of_others(samples, place) if self.in_batch else []
            wrong = sample["wrong"] + others[: self.in_batch * len(right)]
            texts.append(right + wrong)
            labels += [1] * len(right) + [0] * len(wrong)
        inputs = dict(self.processor(text=texts))
        inputs["texts_per_video"] = torch.tensor([*map(len, texts), *[0] * (len(samples) - matched)])
        return {"inputs": inputs, "labels": torch.tensor(labels)}


class PixelCollator:
    """Videos to a batch without texts, for evaluations that score all texts against each video."""

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """``inputs`` with ``pixel_values_videos`` (B, K, T, 3, L, L), ``frame_indices`` and the videos' names."""
        return {
            "inputs": join_visual(samples),
            **frame_indices(samples),
            "videos": [sample["rows"][0]["video"] for sample in samples],
        }


def fill_grid_cache(
    accelerator: Any, model: Any, recipe: RetrievalRecipe, processor: ClipBertProcessor, rows: Sequence[Row]
) -> GridCache | None:
    """The grid features of the training videos, computed if they are not there; None where none are to be kept.

    Raises:
        RecipeError: If what gives them is not frozen.
    """
    if recipe.grid_cache is None or not recipe.trains:
        return None
    cache = GridCache(recipe.grid_cache, model, processor.video_processor)
    videos = as_rows(rows).unique("video")
    if videos and isinstance(videos[0], EmbeddedMedia):
        raise RecipeError("grid_cache keeps grid features of files, and the videos of this data set are embedded in it")
    cache.fill(accelerator, model, videos)
    return cache


def create_training_loader(
    rows: Sequence[Row],
    recipe: RetrievalRecipe,
    processor: ClipBertProcessor,
    *,
    contrasts: bool = False,
    cache: GridCache | None = None,
) -> DataLoader[Any]:
    """A loader of videos with captions that fit and captions that do not.

    Args:
        rows: Of the training split.
        recipe: The settings.
        processor: Of the model.
        contrasts: Whether the model has a contrastive head.
        cache: Of grid features, in place of pixels.
    """
    pool = CaptionPool(rows)
    clips = ClipSamples(
        processor,
        clips=recipe.training_clips,
        training=True,
        training_sampling=recipe.training_sampling,
        cache=cache,
    )
    read = RetrievalSamples(
        clips,
        pool,
        negatives=recipe.negatives,
        negatives_per_caption=recipe.negatives_per_caption,
        hard_candidates=recipe.hard_candidates,
    )
    collate = RetrievalCollator(
        processor,
        pool,
        in_batch=recipe.negatives_per_caption if recipe.negatives == "in_batch" else 0,
        contrasts=contrasts,
        matching_videos=recipe.matching_videos if recipe.matching_weight else 0,
        matching_clips=recipe.matching_clips,
    )
    return create_loader(pool.groups.cut(recipe.captions_per_video), read, collate, recipe, training=True)


def create_evaluation_loader(
    rows: Sequence[Row], recipe: RetrievalRecipe, processor: ClipBertProcessor, *, clips: int | Sequence[int]
) -> DataLoader[Any]:
    """A loader of videos alone, each once, against which the task scores the split's texts.

    Args:
        rows: Of a split.
        recipe: The settings.
        processor: Of the model.
        clips: Clips of a video, or the numbers of clips that the evaluation compares.
    """
    read = ClipSamples(processor, clips=clips, training=False, single_clip=SINGLE_CLIP)
    return create_loader(group_by_video(rows), read, PixelCollator(), recipe, training=False, blank=read.without_video)
