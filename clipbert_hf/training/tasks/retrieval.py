"""Text-to-video and video-to-text retrieval: does a caption fit a video?

The model learns it from captions that do and captions that do not. In evaluations every text is scored against every
video; a video passes the CNN once for all texts. Ranks are those of unrounded logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from ...metrics import retrieval_metrics
from ...model.pair_scoring_clipbert import ranking_scores
from ...model.processing_clipbert import ClipBertProcessor
from ..data.captions import CaptionPool, RetrievalSamples
from ..data.clips import ClipSamples, ClipSettings, adds_single_clip
from ..data.loaders import create_loader, group_by_video, group_rows
from ..data.splits import Row
from ..recipe import ScriptSettings, check_at_least, setting
from ..sharding import forward_method
from .clip_scores import logits_by_clips
from .pair_scoring import EvaluationScorer

_TEXTS_AT_ONCE = 4096


@dataclass(kw_only=True)
class RetrievalRecipe(ScriptSettings, ClipSettings):
    """Retrieval. The loss, cross-entropy or rank, is model.retrieval_loss."""

    captions_per_video: int = setting(1, "captions of a video in a training sample; an epoch has every caption once")
    negatives: Literal["random", "hard", "in_batch"] = setting(
        "random", "where wrong captions come from; hard: those of the data set, else of other videos the most alike"
    )
    negatives_per_caption: int = setting(1, "wrong captions for each right one in training")
    hard_candidates: int = setting(16, "of how many captions drawn a hard negative is the most alike")
    eval_pairs: int = setting(512, "most pairs of a text and a clip that are scored at once in an evaluation")
    dual_softmax_scale: float | None = setting(
        None, "the test is also reported with a dual softmax of so much times the logits; needs all queries at once"
    )

    def check(self) -> None:
        """See the base."""
        super().check()
        names = ("captions_per_video", "negatives_per_caption", "hard_candidates", "eval_pairs")
        check_at_least(self, dict.fromkeys(names, 1))


class RetrievalCollator:
    """Samples to a batch: each video with its captions and wrong ones.

    Args:
        processor: Of the model.
        pool: Says which captions are true of a video.
        in_batch: How many captions of other videos of the batch each right caption is set against.
    """

    def __init__(self, processor: ClipBertProcessor, pool: CaptionPool, *, in_batch: int = 0) -> None:
        self.processor, self.pool, self.in_batch = processor, pool, in_batch

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Labels are 1 for captions that fit, 0 for the others."""
        texts, labels = [], []
        for place, sample in enumerate(samples):
            right = [row["caption"] for row in sample["rows"]]
            others = self.pool.of_others(samples, place) if self.in_batch else []
            wrong = sample["wrong"] + others[: self.in_batch * len(right)]
            texts.append(right + wrong)
            labels += [1] * len(right) + [0] * len(wrong)
        inputs = dict(self.processor(text=texts))
        inputs["pixel_values_videos"] = torch.cat([sample["pixels"] for sample in samples])
        ids = [row["id"] for sample in samples for row in sample["rows"]]
        return {"inputs": inputs, "labels": torch.tensor(labels), "ids": ids}


class PixelCollator:
    """Videos to a batch without texts, for evaluations that score all texts against each video."""

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """``inputs`` with ``pixel_values_videos`` (B, K, T, 3, L, L), and the videos' names."""
        return {
            "inputs": {"pixel_values_videos": torch.cat([sample["pixels"] for sample in samples])},
            "videos": [sample["rows"][0]["video"] for sample in samples],
        }


class RetrievalTask:
    """See :class:`clipbert_hf.training.evaluation.Task`.

    Args:
        processor: Of the model.
        rows: The split to evaluate.
        inference_clips: The numbers of clips to evaluate; batches hold what
            :class:`~clipbert_hf.training.data.clips.ClipSamples` reads for these.
        eval_pairs: Most pairs of a text and a clip that are scored at once.
        dual_softmax_scale: Of further metrics.
        retrieval_loss: Of the model.
    """

    single_clip = "middle"  # one clip lies a third into the video, as published for this task

    def __init__(
        self,
        processor: ClipBertProcessor,
        rows: Sequence[Row],
        inference_clips: Sequence[int],
        *,
        eval_pairs: int,
        dual_softmax_scale: float | None = None,
        retrieval_loss: str = "cross_entropy",
    ) -> None:
        self.processor, self.eval_pairs, self.dual_softmax_scale = processor, eval_pairs, dual_softmax_scale
        self.retrieval_loss, self.scoring = retrieval_loss, EvaluationScorer(eval_pairs)
        self.inference_clips = sorted(inference_clips)
        self.texts = [row["caption"] for row in rows]
        names = {group[0]["video"]: index for index, group in enumerate(group_by_video(rows))}
        self.columns, self.video_of_text = names, np.array([names[row["video"]] for row in rows], dtype=np.int64)

    @property
    def metric_names(self) -> list[str]:
        """See :class:`clipbert_hf.training.evaluation.Task`."""
        of_both_ways = retrieval_metrics(np.zeros((1, 1)), np.zeros(1, dtype=np.int64))
        names = [f"{way}/{name}" for way, values in of_both_ways.items() for name in values]
        dual = [] if self.dual_softmax_scale is None else [f"dual_softmax/{name}" for name in names]
        return [*(f"r1_by_inference_clips/{count}" for count in self.inference_clips), *names, *dual]

    @property
    def evaluation_size(self) -> str:
        """How many clips are scored with how many texts."""
        clips = max(self.inference_clips) + adds_single_clip(self.inference_clips, self.single_clip)
        pairs = len(self.texts) * len(self.columns) * clips
        return f"{len(self.texts):,} texts x {len(self.columns):,} videos x {clips} clips are {pairs:,} pairs"

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """Cross-entropy or rank loss of the aggregated logits."""
        return model(**batch["inputs"], labels=batch["labels"]).loss

    def label_counts(self, batch: dict[str, Any]) -> int:
        """Captions; with the rank loss, pairs of a caption that fits a video and one that does not."""
        if self.retrieval_loss == "cross_entropy":
            return len(batch["labels"])
        of_videos = batch["labels"].cpu().split(batch["inputs"]["texts_per_video"].tolist())
        return sum(int(labels.sum()) * int((1 - labels).sum()) for labels in of_videos)

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """For each video its name, and with each number of clips its score with every text."""
        config: Any = getattr(model, "module", model).config
        parts: dict[int, list[torch.Tensor]] = {count: [] for count in self.inference_clips}
        for clip_logits in self._clip_logits(model, batch["inputs"]):  # (B, n, K, L) of n of the texts
            by_clips = logits_by_clips(
                clip_logits.flatten(0, 1), config.score_aggregation, self.inference_clips, single_clip=self.single_clip
            )
            for count, logits in by_clips.items():
                parts[count].append(ranking_scores(logits).unflatten(0, clip_logits.shape[:2]))
        scores = {count: torch.cat(some, dim=1).float().cpu().numpy() for count, some in parts.items()}
        return [
            (video, {count: scores[count][place] for count in scores}) for place, video in enumerate(batch["videos"])
        ]

    def _clip_logits(self, model: nn.Module, inputs: dict[str, Any]) -> Iterator[torch.Tensor]:
        """Of each video's clips with some of the texts at a time; a video passes the CNN once for all of them."""
        scorer = self.scoring.of(model)
        if scorer is None:
            yield from self._clip_logits_of_forward(model, inputs)
            return
        videos, tokens = scorer.encode_videos(**inputs), self._tokens
        for first in range(0, len(self.texts), _TEXTS_AT_ONCE):
            some = slice(first, first + _TEXTS_AT_ONCE)
            output = scorer.score_pairs(tokens["input_ids"][some], tokens["attention_mask"][some], videos=videos)
            yield cast("torch.Tensor", output.clip_logits).transpose(0, 1)

    def _clip_logits_of_forward(self, model: nn.Module, inputs: dict[str, Any]) -> Iterator[torch.Tensor]:
        grid = forward_method(model, "get_grid_features")(**inputs)
        videos, step = len(grid), max(self.eval_pairs // len(grid), 1)
        for first in range(0, len(self.texts), step):
            tokens = self.processor(text=self.texts[first : first + step])
            number = len(tokens["input_ids"])
            texts = {name: tokens[name].repeat(videos, 1).to(grid.device) for name in ("input_ids", "attention_mask")}
            output = model(**texts, grid_features=grid, texts_per_video=[number] * videos)
            yield output.clip_logits.unflatten(0, (videos, number))

    @cached_property
    def _tokens(self) -> dict[str, torch.Tensor]:
        return dict(self.processor(text=self.texts))

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """Both directions with the most clips, and R@1 of text to video with each number of clips."""
        self.scoring.release()
        metrics: dict[str, float] = {}
        scores = np.empty((len(self.texts), len(self.columns)), dtype=np.float32)
        for count in self.inference_clips:
            for video, by_clips in records:
                scores[:, self.columns[video]] = by_clips[count]
            result = retrieval_metrics(scores, self.video_of_text)
            metrics[f"r1_by_inference_clips/{count}"] = result["text_to_video"]["r1"]
        metrics |= {f"{way}/{name}": value for way, values in result.items() for name, value in values.items()}
        if self.dual_softmax_scale is not None:
            dual = retrieval_metrics(scores, self.video_of_text, dual_softmax_scale=self.dual_softmax_scale)
            metrics |= {f"dual_softmax/{way}/{name}": x for way, values in dual.items() for name, x in values.items()}
        return metrics


def create_training_loader(
    rows: Sequence[Row], recipe: RetrievalRecipe, processor: ClipBertProcessor
) -> DataLoader[Any]:
    """A loader of videos with captions that fit and captions that do not.

    Args:
        rows: Of the training split.
        recipe: The settings.
        processor: Of the model.
    """
    pool = CaptionPool(rows)
    clips = ClipSamples(
        processor, clips=recipe.training_clips, training=True, training_sampling=recipe.training_sampling
    )
    read = RetrievalSamples(
        clips,
        pool,
        negatives=recipe.negatives,
        negatives_per_caption=recipe.negatives_per_caption,
        hard_candidates=recipe.hard_candidates,
    )
    in_batch = recipe.negatives_per_caption if recipe.negatives == "in_batch" else 0
    collate = RetrievalCollator(processor, pool, in_batch=in_batch)
    return create_loader(group_rows(rows, recipe.captions_per_video), read, collate, recipe, training=True)


def create_evaluation_loader(
    rows: Sequence[Row], recipe: RetrievalRecipe, processor: ClipBertProcessor, *, clips: int | Sequence[int]
) -> DataLoader[Any]:
    """A loader of videos alone, each once, against which :class:`RetrievalTask` scores the split's texts.

    Args:
        rows: Of a split.
        recipe: The settings.
        processor: Of the model.
        clips: Clips of a video, or the numbers of clips that the evaluation compares.
    """
    read = ClipSamples(processor, clips=clips, training=False, single_clip=RetrievalTask.single_clip)
    return create_loader(group_by_video(rows), read, PixelCollator(), recipe, training=False, blank=read.without_video)
