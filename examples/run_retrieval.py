"""Fine-tune and evaluate ClipBERT on text-to-video and video-to-text retrieval.

    accelerate launch examples/run_retrieval.py examples/recipes/retrieval_moving_shapes.yaml \
        --data_dir data/moving_shapes --start_from runs/pretraining --output_dir runs/retrieval

The model learns whether a caption fits a video, from captions that do and captions that do not. In evaluations every
text is scored against every video; a video passes the CNN once for all texts. Ranks are those of unrounded logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from caption_pool import CaptionPool
from clip_samples import ClipSamples, ClipSettings, check_inference_clips, logits_by_clips
from data_loading import create_loader, group_by_video, group_rows
from data_splits import Row, load_task_splits
from experiment import open_run, run_script, train_and_test
from recipe import RecipeError, ScriptSettings, parse_recipe, setting
from retrieval_samples import PixelCollator, RetrievalCollator, RetrievalSamples
from start_points import create_model, create_processor
from torch import nn

from clipbert_hf import ClipBertForVideoTextRetrieval, ClipBertProcessor
from clipbert_hf.metrics import retrieval_metrics


@dataclass(kw_only=True)
class RetrievalRecipe(ScriptSettings, ClipSettings):
    """Retrieval. The loss, cross-entropy or rank, is model.retrieval_loss."""

    captions_per_video: int = setting(1, "captions of a video in a training sample; an epoch has every caption once")
    negatives: Literal["random", "hard", "in_batch"] = setting(
        "random", "where wrong captions come from; hard: those of the data set, else of other videos the most alike"
    )
    negatives_per_caption: int = setting(1, "wrong captions for each right one in training")
    hard_candidates: int = setting(16, "of how many captions drawn a hard negative is the most alike")
    eval_pairs: int = setting(512, "most pairs of text and video that are scored at once in an evaluation")
    dual_softmax_scale: float | None = setting(
        None, "the test is also reported with a dual softmax of so much times the logits; needs all queries at once"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("captions_per_video", "negatives_per_caption", "hard_candidates", "eval_pairs"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name} must be at least 1; got {getattr(self, name)}")


class RetrievalTask:
    """See ``training_loop.Task``.

    Args:
        processor: Of the model.
        rows: The split to evaluate.
        inference_clips: The numbers of clips to evaluate; batches hold as many as the largest.
        eval_pairs: Most pairs that are scored at once.
        dual_softmax_scale: Of further metrics.
    """

    def __init__(
        self,
        processor: ClipBertProcessor,
        rows: Sequence[Row],
        inference_clips: Sequence[int],
        *,
        eval_pairs: int,
        dual_softmax_scale: float | None = None,
    ) -> None:
        self.processor, self.eval_pairs, self.dual_softmax_scale = processor, eval_pairs, dual_softmax_scale
        self.inference_clips = sorted(inference_clips)
        self.texts = [row["caption"] for row in rows]
        names = {group[0]["video"]: index for index, group in enumerate(group_by_video(rows))}
        self.columns, self.video_of_text = names, np.array([names[row["video"]] for row in rows], dtype=np.int64)

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """Cross-entropy or rank loss of the aggregated logits."""
        return model(**batch["inputs"], labels=batch["labels"]).loss

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """For each video its name, and with each number of clips its score with every text."""
        bare: Any = getattr(model, "module", model)  # what accelerate wraps around it knows no get_grid_features
        grid = bare.get_grid_features(**batch["inputs"])  # once for all texts
        videos, step = len(grid), max(self.eval_pairs // len(grid), 1)
        parts: dict[int, list[torch.Tensor]] = {count: [] for count in self.inference_clips}
        for first in range(0, len(self.texts), step):
            some = self.texts[first : first + step]
            tokens = self.processor(text=some)
            inputs = {name: tokens[name].repeat(videos, 1).to(grid.device) for name in ("input_ids", "attention_mask")}
            output = model(**inputs, grid_features=grid, texts_per_video=[len(some)] * videos)
            by_clips = logits_by_clips(output.clip_logits, bare.config.score_aggregation, self.inference_clips)
            for count, logits in by_clips.items():
                parts[count].append(match_scores(logits).unflatten(0, (videos, len(some))))
        scores = {count: torch.cat(some, dim=1).float().cpu().numpy() for count, some in parts.items()}
        return [
            (video, {count: scores[count][place] for count in scores}) for place, video in enumerate(batch["videos"])
        ]

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """Both directions with the most clips, and R@1 of text to video with each number of clips."""
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


def match_scores(logits: torch.Tensor) -> torch.Tensor:
    """How well text and video match, (N,), in the order of the probabilities but without their rounding to 1.

    Args:
        logits: Two of cross-entropy or one of the rank loss, aggregated, (N, 2) or (N, 1).
    """
    return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the script; returns what it writes to results.json."""
    recipe = parse_recipe(RetrievalRecipe, arguments)
    check_inference_clips(recipe.inference_clips)
    accelerator = open_run(recipe)
    with accelerator.main_process_first():
        splits = load_task_splits(recipe, "retrieval")
        processor = create_processor(recipe, recipe, splits["train"], num_clips=max(recipe.inference_clips))
    model = create_model(ClipBertForVideoTextRetrieval, recipe, processor)

    def training_loader() -> Any:
        pool = CaptionPool(splits["train"])
        names = ("negatives", "negatives_per_caption", "hard_candidates")
        options: dict[str, Any] = {name: getattr(recipe, name) for name in names}
        clips = ClipSamples(
            processor, clips=recipe.training_clips, training=True, training_sampling=recipe.training_sampling
        )
        groups = group_rows(splits["train"], recipe.captions_per_video)
        read = RetrievalSamples(clips, pool, **options)
        in_batch = recipe.negatives_per_caption if recipe.negatives == "in_batch" else 0
        collate = RetrievalCollator(processor, pool, in_batch=in_batch)
        return create_loader(groups, read, collate, recipe, training=True)

    def evaluation(split: str, clips: list[int], **options: Any) -> tuple[Any, RetrievalTask]:
        rows = splits.get(split, [])
        task = RetrievalTask(processor, rows, clips, eval_pairs=recipe.eval_pairs, **options)
        if not rows:
            return None, task
        read = ClipSamples(processor, clips=max(clips), training=False, single_clip="middle")
        loader = create_loader(
            group_by_video(rows), read, PixelCollator(), recipe, training=False, blank=read.without_video
        )
        return loader, task

    validation_loader, task = evaluation("validation", [recipe.validation_clips])
    test_loader, test_task = evaluation("test", recipe.inference_clips, dual_softmax_scale=recipe.dual_softmax_scale)
    return train_and_test(
        accelerator,
        model,
        processor,
        recipe,
        task=task,
        train_loader=training_loader(),
        validation_loader=validation_loader,
        test_task=test_task,
        test_loader=test_loader,
    )


if __name__ == "__main__":
    run_script(main)
