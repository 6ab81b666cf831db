"""Pre-train ClipBERT on single frames or images with captions: masked language modelling and image-text matching.

    accelerate launch examples/run_pretraining.py examples/recipes/pretraining_moving_shapes.yaml \
        --data_dir data/moving_shapes --output_dir runs/pretraining

Paper, section 3.2. Mismatched texts are captions of other videos, of the whole split or of the batch, or hard ones
where the data set has them: a wrong word in a true caption. Evaluations never draw from the batch, so that their
figures do not depend on its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from caption_pool import CaptionPool
from data_loading import create_loader, group_by_video, group_rows
from data_splits import load_task_splits
from experiment import open_run, run_script, train_and_test
from pretraining_samples import PretrainingCollator, PretrainingSamples
from recipe import RecipeError, ScriptSettings, parse_recipe, setting
from start_points import create_model, create_processor
from text_masking import IGNORED, TextMasker
from torch import nn

from clipbert_hf import ClipBertForPreTraining
from clipbert_hf.metrics import choice_accuracy


@dataclass(kw_only=True)
class PretrainingRecipe(ScriptSettings):
    """Pre-training on frames and captions."""

    frames_per_video: int = setting(1, "frames of a video in a sample; batch_size counts videos")
    captions_per_video: int | None = setting(
        None, "captions of a video in a sample, an epoch then has every caption once; null: every video once"
    )
    masked_texts: int = setting(1, "texts of a frame for masked language modelling")
    matched_texts: int = setting(1, "texts of a frame for image-text matching")
    mask_probability: float = setting(0.15, "how often a word is masked")
    key_word_mask_probability: float = setting(0.5, "how often a key word is masked, where the data set names some")
    negatives: Literal["random", "hard", "in_batch"] = setting(
        "hard", "where mismatches come from; hard: those of the data set, else of other videos the most alike"
    )
    hard_negatives: float = setting(1.0, "share of hard ones among mismatches with negatives=hard; others are random")
    hard_candidates: int = setting(16, "of how many captions drawn a hard negative is the most alike")

    def __post_init__(self) -> None:
        super().__post_init__()
        lowest = {"frames_per_video": 1, "captions_per_video": 1, "hard_candidates": 1, "masked_texts": 0}
        for name, least in {**lowest, "matched_texts": 0}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise RecipeError(f"{name} must be at least {least}; got {value}")
        if not self.masked_texts + self.matched_texts:
            raise RecipeError("masked_texts and matched_texts are both 0: there is nothing to learn")
        if not 0 <= self.hard_negatives <= 1:
            raise RecipeError(f"hard_negatives must be from 0 to 1; got {self.hard_negatives}")


class PretrainingTask:
    """See ``training_loop.Task``."""

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """The sum of both losses."""
        return model(**batch["inputs"]).loss

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[dict[str, np.ndarray]]:
        """For each video, of the masked tokens and of the matches, what was guessed and what is right: (2, asked)."""
        inputs = batch["inputs"]
        output = model(**inputs)
        guesses = {"mlm": output.mlm_logits[:, 0].argmax(-1), "itm": output.logits.argmax(-1)}
        records: list[dict[str, np.ndarray]] = [{} for _ in batch["texts"]]
        for name, guess in guesses.items():
            pairs = torch.stack([guess, inputs[f"{name}_labels"]]).cpu()
            for record, of_video in zip(records, pairs.split(batch["texts"], dim=1), strict=True):
                record[name] = of_video[:, of_video[1] != IGNORED].numpy()
        return records

    def metrics(self, records: list[dict[str, np.ndarray]]) -> dict[str, float]:
        """Accuracy of masked words and of matches, as far as there are any, and their mean."""
        metrics = {}
        for name in ("mlm", "itm"):
            guesses, rights = np.concatenate([record[name] for record in records], axis=1)
            if len(rights):
                metrics[f"{name}_accuracy"] = choice_accuracy(guesses, rights)["accuracy"]
        return {**metrics, "mean_accuracy": sum(metrics.values()) / len(metrics)}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the script; returns what it writes to results.json."""
    recipe = parse_recipe(PretrainingRecipe, arguments)
    accelerator = open_run(recipe)
    with accelerator.main_process_first():
        splits = load_task_splits(recipe, "pretraining")
        processor = create_processor(recipe, recipe, splits["train"], num_clips=1)
    model = create_model(ClipBertForPreTraining, recipe, processor)
    masker = TextMasker(
        processor,
        probability=recipe.mask_probability,
        key_word_probability=recipe.key_word_mask_probability,
    )

    def loader(split: str, training: bool = False) -> Any:
        if split not in splits:
            return None
        pool = CaptionPool(splits[split])
        names = ("masked_texts", "matched_texts", "hard_negatives", "hard_candidates")
        options: dict[str, Any] = {name: getattr(recipe, name) for name in names}
        options["negatives"] = "random" if recipe.negatives == "in_batch" and not training else recipe.negatives
        most = recipe.captions_per_video if training else None
        in_turn = most is not None
        read = PretrainingSamples(processor, masker, pool, frames=recipe.frames_per_video, in_turn=in_turn, **options)
        groups = group_by_video(splits[split]) if most is None else group_rows(splits[split], most)
        collate = PretrainingCollator(masker, pool)
        return create_loader(groups, read, collate, recipe, training=training, blank=read.without_video)

    task = PretrainingTask()
    return train_and_test(
        accelerator,
        model,
        processor,
        recipe,
        task=task,
        train_loader=loader("train", training=True),
        validation_loader=loader("validation"),
        test_task=task,
        test_loader=loader("test"),
    )


if __name__ == "__main__":
    run_script(main)
