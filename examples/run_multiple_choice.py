"""Fine-tune and evaluate ClipBERT on multiple choice questions about videos.

    accelerate launch examples/run_multiple_choice.py examples/recipes/multiple_choice_moving_shapes.yaml \
        --data_dir data/moving_shapes --start_from runs/pretraining --output_dir runs/multiple_choice

With ``--answer_by retrieval --epochs 0`` a retrieval model chooses, without further training, the option that fits the
video best; the options are captions then, as in MSR-VTT multiple choice, and the question is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from clip_samples import ClipSamples, QuestionSettings, check_inference_clips, logits_by_clips, question_groups
from data_loading import create_loader
from data_splits import Row, load_task_splits
from experiment import open_run, run_script, train_and_test
from recipe import RecipeError, ScriptSettings, parse_recipe, setting
from run_retrieval import match_scores
from start_points import create_model, create_processor
from torch import nn

from clipbert_hf import ClipBertForMultipleChoice, ClipBertForVideoTextRetrieval, ClipBertProcessor
from clipbert_hf.metrics import choice_accuracy

AnswerBy = Literal["choice", "retrieval"]


@dataclass(kw_only=True)
class MultipleChoiceRecipe(ScriptSettings, QuestionSettings):
    """Multiple choice."""

    answer_by: Literal["choice", "retrieval"] = setting(
        "choice", "the model: one that compares choices, or a retrieval model as it is"
    )


class ChoiceCollator:
    """Samples to a batch: what the model takes, and the index of the right option.

    Args:
        processor: Of the model.
        answer_by: Whether options are read with their question, or as captions.
    """

    def __init__(self, processor: ClipBertProcessor, answer_by: AnswerBy) -> None:
        self.processor, self.answer_by = processor, answer_by

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """All questions of a batch have the same number of options."""
        groups: list[list[Row]] = [sample["rows"] for sample in samples]
        rows = [row for group in groups for row in group]
        if self.answer_by == "retrieval":
            inputs = dict(self.processor(text=[[text for row in group for text in row["options"]] for group in groups]))
        else:
            inputs = dict(
                self.processor(
                    text=[[row["question"] for row in group] for group in groups],
                    choices=[row["options"] for row in rows],
                )
            )
        inputs["pixel_values_videos"] = torch.cat([sample["pixels"] for sample in samples])
        return {
            "inputs": inputs,
            "labels": torch.tensor([row["answer"] for row in rows]),
            "questions": [len(group) for group in groups],
            "ids": [row["id"] for row in rows],
        }


class MultipleChoiceTask:
    """See ``training_loop.Task``.

    Args:
        score_aggregation: Of the model.
        inference_clips: The numbers of clips to evaluate; batches hold as many as the largest.
        answer_by: The kind of model.
    """

    def __init__(self, score_aggregation: Any, inference_clips: Sequence[int], answer_by: AnswerBy) -> None:
        self.score_aggregation, self.answer_by = score_aggregation, answer_by
        self.inference_clips = sorted(inference_clips)

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """Cross-entropy over the choices."""
        return model(**batch["inputs"], labels=batch["labels"]).loss

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """For each video a list of (right choice, {number of clips: chosen one})."""
        clip_logits = model(**batch["inputs"]).clip_logits  # (N, K, L), or (N * L, K, 2 or 1) of a retrieval model
        chosen = {}
        for count, logits in logits_by_clips(clip_logits, self.score_aggregation, self.inference_clips).items():
            if self.answer_by == "retrieval":
                logits = match_scores(logits).unflatten(0, (len(batch["labels"]), -1))
            chosen[count] = logits.argmax(-1).tolist()
        rights = batch["labels"].tolist()
        questions = [(right, {count: chosen[count][place] for count in chosen}) for place, right in enumerate(rights)]
        ends = np.cumsum(batch["questions"]).tolist()
        return [questions[end - number : end] for number, end in zip(batch["questions"], ends, strict=True)]

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """Accuracy with the most clips, and with each number of clips."""
        questions = [question for video in records for question in video]
        rights = np.array([right for right, _ in questions])
        metrics = {}
        for count in self.inference_clips:
            chosen = np.array([by_clips[count] for _, by_clips in questions])
            metrics["accuracy"] = choice_accuracy(chosen, rights)["accuracy"]
            metrics[f"accuracy_by_inference_clips/{count}"] = metrics["accuracy"]
        return metrics


def check_options(rows: Sequence[Row]) -> None:
    """Check that the model can compare the options.

    Raises:
        RecipeError: If questions differ in their number of options, or an answer is none of them.
    """
    numbers = {len(row["options"]) for row in rows}
    if len(numbers) > 1:
        raise RecipeError(f"all questions must have the same number of options; got {sorted(numbers)}")
    for row in rows:
        if not 0 <= row["answer"] < len(row["options"]):
            raise RecipeError(f"answer of question {row['id']} must be an index of its options; got {row['answer']}")


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the script; returns what it writes to results.json."""
    recipe = parse_recipe(MultipleChoiceRecipe, arguments)
    check_inference_clips(recipe.inference_clips)
    by_retrieval = recipe.answer_by == "retrieval"
    if by_retrieval and recipe.trains:
        raise RecipeError("answer_by=retrieval takes a trained model as it is: give --epochs 0")
    accelerator = open_run(recipe)
    with accelerator.main_process_first():
        splits = load_task_splits(recipe, "multiple_choice")
        for rows in splits.values():
            check_options(rows)
        processor = create_processor(recipe, recipe, splits["train"], num_clips=max(recipe.inference_clips))
    model_class: Any = ClipBertForVideoTextRetrieval if by_retrieval else ClipBertForMultipleChoice
    model = create_model(model_class, recipe, processor)
    collate = ChoiceCollator(processor, recipe.answer_by)

    def loader(split: str, clips: int, training: bool = False) -> Any:
        if split not in splits:
            return None
        read = ClipSamples(
            processor,
            clips=clips,
            training=training,
            most_rows=recipe.questions_per_video,
            text_only=recipe.text_only,
            training_sampling=recipe.training_sampling,
            single_clip="middle",
        )
        groups = question_groups(splits[split], recipe, training=training)
        return create_loader(groups, read, collate, recipe, training=training, blank=read.without_video)

    def task(clips: list[int]) -> MultipleChoiceTask:
        return MultipleChoiceTask(model.config.score_aggregation, [1] if recipe.text_only else clips, recipe.answer_by)

    return train_and_test(
        accelerator,
        model,
        processor,
        recipe,
        task=task([recipe.validation_clips]),
        train_loader=loader("train", recipe.training_clips, training=True),
        validation_loader=loader("validation", recipe.validation_clips),
        test_task=task(recipe.inference_clips),
        test_loader=loader("test", max(recipe.inference_clips)),
    )


if __name__ == "__main__":
    run_script(main)
