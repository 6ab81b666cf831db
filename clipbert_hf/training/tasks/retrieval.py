"""Text-to-video and video-to-text retrieval: does a caption fit a video?

The model learns it from captions that do and captions that do not. In evaluations every text is scored against every
video; a video passes the CNN once for all texts. Ranks are those of unrounded logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from ...metrics import retrieval_metrics
from ...model.pair_scoring_clipbert import ranking_scores
from ...model.processing_clipbert import ClipBertProcessor
from ..contrastive import KEY, ContrastiveLoss, ContrastiveSettings, trains_contrastive
from ..data.clips import adds_single_clip
from ..data.row_tables import Row
from ..data.rows import as_rows
from ..sharding import forward_method
from .clip_scores import clips_by_count, logits_by_clips
from .first_stage import FirstStage
from .found_videos import found_videos
from .kept_scores import KeptScores, Record
from .pair_scoring import EvaluationScorer
from .retrieval_batches import SINGLE_CLIP, RetrievalRecipe

_TEXTS_AT_ONCE = 4096


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
        contrast: How a contrastive head trains; None: the model has none.
        first_stage: What an evaluation tells of that head; None: nothing.
        keep_in: Where an evaluation keeps its scores until it is done, to go on after a kill; None: nowhere.
    """

    single_clip = SINGLE_CLIP

    @classmethod
    def from_recipe(
        cls,
        recipe: RetrievalRecipe,
        model: Any,
        processor: ClipBertProcessor,
        rows: Sequence[Row],
        inference_clips: Sequence[int],
        *,
        is_test: bool = False,
    ) -> RetrievalTask:
        """The task of a run.

        Args:
            recipe: The settings.
            model: Not prepared yet; what does not train under these settings is frozen.
            processor: Of the model.
            rows: The split to evaluate.
            inference_clips: The numbers of clips to evaluate.
            is_test: Whether the split is that of the test, which chooses nothing.

        Raises:
            RecipeError: If the settings ask for a contrastive head that the model does not have.
        """
        trains, first_stage = trains_contrastive(model, recipe), None
        if model.contrastive is not None:
            first_stage = FirstStage(recipe.candidates, chooses=not is_test, matches=recipe.matching_weight > 0)
        return cls(
            processor,
            rows,
            inference_clips,
            eval_pairs=recipe.eval_pairs,
            dual_softmax_scale=recipe.dual_softmax_scale if is_test else None,
            retrieval_loss=model.config.retrieval_loss,
            contrast=recipe if trains else None,
            first_stage=first_stage,
            # Validations in training are short, and their weights are gone after a kill.
            keep_in=Path(recipe.output_dir) / "unfinished_scores"
            if not recipe.dry_run and (is_test or not recipe.trains)
            else None,
        )

    def __init__(
        self,
        processor: ClipBertProcessor,
        rows: Sequence[Row],
        inference_clips: Sequence[int],
        *,
        eval_pairs: int,
        dual_softmax_scale: float | None = None,
        retrieval_loss: str = "cross_entropy",
        contrast: ContrastiveSettings | None = None,
        first_stage: FirstStage | None = None,
        keep_in: Path | None = None,
    ) -> None:
        self.contrast = None if contrast is None else ContrastiveLoss(contrast)
        self.first_stage = first_stage
        self.keep_in, self._kept = keep_in, cast("KeptScores | None", None)
        self.processor, self.eval_pairs, self.dual_softmax_scale = processor, eval_pairs, dual_softmax_scale
        self.retrieval_loss, self.scoring = retrieval_loss, EvaluationScorer(eval_pairs)
        self.inference_clips = sorted(inference_clips)
        self.texts, self.ids = ([*as_rows(rows).values(name)] for name in ("caption", "id"))
        codes, videos = as_rows(rows).codes("video")
        self.columns, self.video_of_text = {video: index for index, video in enumerate(videos)}, codes.astype(np.int64)

    @property
    def metric_names(self) -> list[str]:
        """See :class:`clipbert_hf.training.evaluation.Task`."""
        of_both_ways = retrieval_metrics(np.zeros((1, 1)), np.zeros(1, dtype=np.int64))
        names = [f"{way}/{name}" for way, values in of_both_ways.items() for name in values]
        dual = [] if self.dual_softmax_scale is None else [f"dual_softmax/{name}" for name in names]
        more = [] if self.first_stage is None else self.first_stage.metric_names
        return [*(f"r1_by_inference_clips/{count}" for count in self.inference_clips), *names, *dual, *more]

    @property
    def evaluation_size(self) -> str:
        """How many clips are scored with how many texts."""
        clips = max(self.inference_clips) + adds_single_clip(self.inference_clips, self.single_clip)
        pairs = len(self.texts) * len(self.columns) * clips
        return f"{len(self.texts):,} texts x {len(self.columns):,} videos x {clips} clips are {pairs:,} pairs"

    def begin_step(self, accelerator: Any, model: nn.Module, batches: list[Any], finish: Callable[[Any], Any]) -> None:
        """See :class:`ContrastiveLoss`."""
        if self.contrast is not None:
            self.contrast.begin_step(accelerator, model, batches, finish)

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor | dict[str, torch.Tensor]:
        """Cross-entropy or rank loss of the aggregated logits; beside it that of a contrastive head."""
        if self.contrast is None:
            return model(**batch["inputs"], labels=batch["labels"]).loss
        output, contrastive = self.contrast.forward(model, batch, **batch["inputs"], labels=batch.get("labels"))
        losses = {"contrastive": contrastive}
        if output.loss is not None:
            losses["matching"] = self.contrast.settings.matching_weight * output.loss
        return losses

    def label_counts(self, batch: dict[str, Any]) -> int | dict[str, int]:
        """Captions; with the rank loss, pairs of a caption that fits a video and one that does not."""
        matching = self._matching_count(batch) if "labels" in batch else None
        if self.contrast is None:
            return matching or 0
        of_matching = {} if matching is None else {"matching": matching}
        return {"contrastive": len(batch[KEY]["captions"]), **of_matching}

    def _matching_count(self, batch: dict[str, Any]) -> int:
        if self.retrieval_loss == "cross_entropy":
            return len(batch["labels"])
        of_videos = batch["labels"].cpu().split(batch["inputs"]["texts_per_video"].tolist())
        return sum(int(labels.sum()) * int((1 - labels).sum()) for labels in of_videos)

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """For each video its name, and with each number of clips its scores with every text: (kinds of scores, N)."""
        kept = self._kept_scores(model)
        records = None if kept is None else kept.get(batch["videos"])
        if records is None:
            records = self._score(model, batch)
            if kept is not None:
                kept.put(batch["videos"], records)
        return list(zip(batch["videos"], records, strict=True))

    def _kept_scores(self, model: nn.Module) -> KeptScores | None:
        """What is kept of these weights; nothing where weights lie in pieces."""
        scorer = None if self.keep_in is None else self.scoring.of(model)
        if self.keep_in is None or scorer is None:
            return None
        if self._kept is None:
            options = {
                **self.processor.video_processor.to_dict(),
                "inference_clips": self.inference_clips,
                "kinds": None if self.first_stage is None else ["first_stage", self.first_stage.matches],
                "dtype": str(scorer.current_dtype),
            }
            self._kept = KeptScores(self.keep_in, scorer.model, self._tokens, list(self.columns), options)
        return self._kept

    def _score(self, model: nn.Module, batch: dict[str, Any]) -> list[Record]:
        config: Any = getattr(model, "module", model).config
        vectors: list[torch.Tensor] = []
        parts: dict[int, list[torch.Tensor]] = {count: [] for count in self.inference_clips}
        for clip_logits in self._clip_logits(model, batch, vectors):  # (B, n, K, L) of n of the texts
            by_clips = logits_by_clips(
                clip_logits.flatten(0, 1), config.score_aggregation, self.inference_clips, single_clip=self.single_clip
            )
            for count, logits in by_clips.items():
                parts[count].append(ranking_scores(logits).unflatten(0, clip_logits.shape[:2]))
        scores = {count: [torch.cat(some, dim=1).float()] if some else [] for count, some in parts.items()}
        if self.first_stage is not None:
            of_counts = clips_by_count(vectors[0].shape[1], self.inference_clips, single_clip=self.single_clip)
            for count, some in of_counts.items():
                scores[count].append(self.first_stage.similarities(model, self._tokens, vectors[0][:, some]))
        arrays = {count: torch.stack(kinds, dim=1).cpu().numpy() for count, kinds in scores.items()}
        return [{count: arrays[count][place] for count in arrays} for place in range(len(batch["videos"]))]

    def _clip_logits(
        self, model: nn.Module, batch: dict[str, Any], vectors: list[torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        """Of each video's clips with some of the texts at a time; a video passes the CNN once for all of them.

        Args:
            model: As accelerate has prepared it.
            batch: Videos.
            vectors: To which those of the clips are added, (B, K, C), if a contrastive head is evaluated.
        """
        clips = {name: batch[name] for name in ("frame_indices",) if name in batch} | batch["inputs"]
        scorer = self.scoring.of(model)
        if scorer is None:
            yield from self._clip_logits_of_forward(model, clips, vectors)
            return
        videos, tokens = scorer.encode_videos(**clips), self._tokens
        if self.first_stage is not None:
            of_clips = forward_method(model, "embed_clips")(videos.tokens)
            vectors.append(of_clips[videos.clip_places.to(of_clips.device)])
            if not self.first_stage.matches:
                return
        for first in range(0, len(self.texts), _TEXTS_AT_ONCE):
            some = slice(first, first + _TEXTS_AT_ONCE)
            output = scorer.score_pairs(tokens["input_ids"][some], tokens["attention_mask"][some], videos=videos)
            yield cast("torch.Tensor", output.clip_logits).transpose(0, 1)

    def _clip_logits_of_forward(
        self, model: nn.Module, clips: dict[str, Any], vectors: list[torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        grid = forward_method(model, "get_grid_features")(**clips)
        if self.first_stage is not None:
            vectors.append(forward_method(model, "embed_videos")(grid))
            if not self.first_stage.matches:
                return
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
        for count in self.inference_clips:
            scores = self._table(records, count)
            result = retrieval_metrics(scores[0], self.video_of_text)
            metrics[f"r1_by_inference_clips/{count}"] = result["text_to_video"]["r1"]
        metrics |= {f"{way}/{name}": value for way, values in result.items() for name, value in values.items()}
        if self.dual_softmax_scale is not None:
            dual = retrieval_metrics(scores[0], self.video_of_text, dual_softmax_scale=self.dual_softmax_scale)
            metrics |= {f"dual_softmax/{way}/{name}": x for way, values in dual.items() for name, x in values.items()}
        if self._kept is not None:
            self._kept.remove()
            self._kept = None
        if self.first_stage is not None:
            self.first_stage.release()
            metrics |= self.first_stage.metrics(scores[-1], scores[0], self.video_of_text)
        return metrics

    def predictions(self, records: list[Any]) -> list[dict[str, Any]]:
        """What was found for each text with the most clips, for predictions.jsonl."""
        if not records:  # there was no test
            return []
        scores = self._table(records, max(self.inference_clips))[0]
        found = {"ids": self.ids, "texts": self.texts, "videos": list(self.columns)}
        return found_videos(scores, self.video_of_text, **found)

    def _table(self, records: list[Any], count: int) -> np.ndarray:
        """All scores with one number of clips, (kinds of scores, texts, videos); the first kind ranks."""
        kinds = 2 if self.first_stage is not None and self.first_stage.matches else 1
        scores = np.empty((kinds, len(self.texts), len(self.columns)), dtype=np.float32)
        for video, by_clips in records:
            scores[:, :, self.columns[video]] = by_clips[count]
        return scores

    def adopt(self, model: nn.Module, metrics: dict[str, float]) -> None:
        """Take what the validation of the weights that are kept chose, before the test."""
        if self.first_stage is not None:
            self.first_stage.adopt(getattr(model, "module", model).config, metrics)
