"""Pre-train ClipBERT on single frames or images with captions: masked language modelling and image-text matching.

    accelerate launch examples/run_pretraining.py examples/recipes/pretraining_moving_shapes.yaml \
        --data_dir data/moving_shapes --output_dir runs/pretraining

Paper, section 3.2. Mismatched texts are hard ones where the data set has them: a wrong word in a true caption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from data_loading import create_loader, group_by_video, load_splits
from experiment import open_run, run_script, train_and_test
from pretraining_samples import IGNORED, PretrainingCollator, PretrainingSamples, TextMasker
from recipe import ScriptSettings, parse_recipe, setting
from start_points import create_model, create_processor
from torch import nn

from clipbert_hf import ClipBertForPreTraining


@dataclass(kw_only=True)
class PretrainingRecipe(ScriptSettings):
    """Pre-training on frames and captions."""

    frames_per_video: int = setting(1, "frames of a video in a sample; batch_size counts videos")
    masked_texts: int = setting(1, "texts of a frame for masked language modelling")
    matched_texts: int = setting(1, "texts of a frame for image-text matching")
    mask_probability: float = setting(0.15, "how often a word is masked")
    key_word_mask_probability: float = setting(0.5, "how often a key word is masked, where the data set names some")
    hard_negatives: float = setting(1.0, "share of hard negatives among mismatches, where the data set has some")


class PretrainingTask:
    """See ``training_loop.Task``."""

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """The sum of both losses."""
        return model(**batch["inputs"]).loss

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[dict[str, int]]:
        """For each video how many tokens and matches there were, and how many were right."""
        inputs = batch["inputs"]
        output = model(**inputs)
        guesses = {"mlm": output.mlm_logits[:, 0].argmax(-1), "itm": output.logits.argmax(-1)}
        labels = {"mlm": inputs["mlm_labels"], "itm": inputs["itm_labels"]}
        records: list[dict[str, int]] = [{} for _ in batch["texts"]]
        for name, guess in guesses.items():
            asked = labels[name] != IGNORED
            right = asked & (guess == labels[name])
            for kind, mask in (("asked", asked), ("right", right)):
                per_text = mask.reshape(len(mask), -1).sum(1)
                for record, texts in zip(records, per_text.split(batch["texts"]), strict=True):
                    record[f"{name}_{kind}"] = int(texts.sum())
        return records

    def metrics(self, records: list[dict[str, int]]) -> dict[str, float]:
        """Accuracy of masked words and of matches, and their mean."""
        total = {name: sum(record[name] for record in records) for name in records[0]}
        mlm = total["mlm_right"] / max(total["mlm_asked"], 1)
        itm = total["itm_right"] / max(total["itm_asked"], 1)
        return {"mlm_accuracy": mlm, "itm_accuracy": itm, "mean_accuracy": (mlm + itm) / 2}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the script; returns what it writes to results.json."""
    recipe = parse_recipe(PretrainingRecipe, arguments)
    accelerator = open_run(recipe)
    with accelerator.main_process_first():
        splits = load_splits(recipe, recipe.dataset_config or "pretraining")
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
        read = PretrainingSamples(
            processor,
            masker,
            [row["caption"] for row in splits[split]],
            frames=recipe.frames_per_video,
            masked_texts=recipe.masked_texts,
            matched_texts=recipe.matched_texts,
            hard_negatives=recipe.hard_negatives,
        )
        collate = PretrainingCollator(processor)
        return create_loader(
            group_by_video(splits[split]),
            read,
            collate,
            recipe,
            training=training,
            blank=read.without_video,
        )

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
