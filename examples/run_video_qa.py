"""Fine-tune and evaluate ClipBERT on questions about videos: open-ended ones, counting, and image VQA.

    accelerate launch examples/run_video_qa.py examples/recipes/video_qa_moving_shapes.yaml \
        --data_dir data/moving_shapes --start_from runs/pretraining --output_dir runs/qa

Training clips are drawn at random, inference clips lie densely over the video (paper, section 3.1). The questions of a
video share its CNN features. ``--text_only true`` shows the model no video at all, the blind baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from answers import AnswerKind, answer_scores, answer_vocabulary, drop_unanswered_test, learned_answers
from clip_samples import ClipSamples, QuestionSettings, check_inference_clips, logits_by_clips, question_groups
from data_loading import create_loader
from data_splits import Row, load_task_splits
from experiment import open_run, run_script, train_and_test
from recipe import RecipeError, ScriptSettings, parse_recipe, setting
from start_points import create_model, create_processor
from torch import nn

from clipbert_hf import ClipBertForVideoQuestionAnswering, ClipBertForVideoRegression, ClipBertProcessor
from clipbert_hf.metrics import QAAccuracy, count_error, vqa_score


@dataclass(kw_only=True)
class VideoQARecipe(ScriptSettings, QuestionSettings):
    """Question answering."""

    answer_kind: Literal["open_ended", "count", "soft"] = setting(
        "open_ended", "answers are words; numbers of repetitions; or soft: the words of several people (VQA v2)"
    )
    answer_vocabulary_size: int | None = setting(None, "only so many answers, the most frequent; null: all")


class QACollator:
    """Samples to a batch: what the model takes, the labels, and the rows for the metric.

    Args:
        processor: Of the model.
        answers: The vocabulary; empty for counts.
        answer_kind: What the labels are.
    """

    def __init__(
        self, processor: ClipBertProcessor, answers: Sequence[str], answer_kind: AnswerKind = "open_ended"
    ) -> None:
        self.processor, self.answer_kind = processor, answer_kind
        self.labels = {answer: index for index, answer in enumerate(answers)}

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Answers outside of the vocabulary have the label -100, which the loss leaves out."""
        rows = [sample["rows"] for sample in samples]
        inputs = dict(self.processor(text=[[row["question"] for row in group] for group in rows]))
        inputs["pixel_values_videos"] = torch.cat([sample["pixels"] for sample in samples])
        return {
            "inputs": inputs,
            "labels": self._labels([row for group in rows for row in group]),
            "rows": rows,
            "ids": [row["id"] for group in rows for row in group],
        }

    def _labels(self, rows: Sequence[Row]) -> torch.Tensor:
        if self.answer_kind == "count":
            return torch.tensor([float(row["answer"]) for row in rows])
        if self.answer_kind == "open_ended":
            return torch.tensor([self.labels.get(row["answer"], -100) for row in rows])
        labels = torch.zeros(len(rows), len(self.labels))
        for place, row in enumerate(rows):
            for answer, score in answer_scores(row).items():
                if answer in self.labels:
                    labels[place, self.labels[answer]] = score
        return labels


class VideoQATask:
    """See ``training_loop.Task``.

    Args:
        answers: The vocabulary.
        score_aggregation: Of the model.
        inference_clips: The numbers of clips to evaluate; batches hold as many as the largest.
        answer_kind: What is predicted.
    """

    def __init__(
        self,
        answers: Sequence[str],
        score_aggregation: Any,
        inference_clips: Sequence[int],
        answer_kind: AnswerKind = "open_ended",
    ) -> None:
        self.answers, self.score_aggregation, self.answer_kind = answers, score_aggregation, answer_kind
        self.inference_clips = sorted(inference_clips)

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        """Cross-entropy of the aggregated logits, binary with soft labels; squared error of counts."""
        return model(**batch["inputs"], labels=batch["labels"]).loss

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[Any]:
        """For each video a list of (row, {number of clips: predicted answer})."""
        clip_logits = model(**batch["inputs"]).clip_logits  # (N, K, L)
        by_clips = logits_by_clips(clip_logits, self.score_aggregation, self.inference_clips)
        chosen: dict[int, list[Any]] = {}
        for count, logits in by_clips.items():
            if self.answer_kind == "count":
                chosen[count] = logits.squeeze(-1).tolist()
            else:
                chosen[count] = [self.answers[index] for index in logits.argmax(-1).tolist()]
        records, first = [], 0
        for rows in batch["rows"]:
            places = range(first, first + len(rows))
            records.append(
                [
                    (
                        {name: row.get(name) for name in ("id", "answer", "answers", "answer_type")},
                        {n: chosen[n][p] for n in chosen},
                    )
                    for row, p in zip(rows, places, strict=True)
                ]
            )
            first += len(rows)
        return records

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """The metric with the most clips, by type of answer, and with each number of clips."""
        questions = [question for video in records for question in video]
        rows = [row for row, _ in questions]
        metrics: dict[str, float] = {}
        for count in self.inference_clips:
            result = self._compare([predicted[count] for _, predicted in questions], rows)
            main = next(iter(result))
            metrics[f"{main}_by_inference_clips/{count}"] = result[main]
        return metrics | result

    def _compare(self, predictions: list[Any], rows: list[Row]) -> dict[str, float]:
        """Metrics of the split; the first is the one that is reported for each number of clips."""
        types = [row["answer_type"] or "all" for row in rows]
        if self.answer_kind == "count":
            return count_error(np.array(predictions), np.array([float(row["answer"]) for row in rows]))
        if self.answer_kind == "soft":
            if any(isinstance(answer, dict) for row in rows for answer in row["answers"]):  # scores are all there is
                pairs = zip(predictions, rows, strict=True)
                return {"score": float(np.mean([answer_scores(row).get(answer, 0.0) for answer, row in pairs]))}
            result = vqa_score(predictions, [row["answers"] for row in rows], answer_types=types)
            first = {"score": result["score"]}
            return first | {f"score_by_type/{kind}": value for kind, value in result["score_by_type"].items()}
        result = QAAccuracy().compute(
            predictions=predictions,
            references=[row["answer"] for row in rows],
            answer_types=types,
            vocabulary=self.answers,
        )
        first = {"accuracy": result["accuracy"], "upper_bound": result["upper_bound"]}
        return first | {f"accuracy_by_type/{kind}": value for kind, value in result["accuracy_by_type"].items()}


def vocabulary_of(recipe: VideoQARecipe, rows: Sequence[Row]) -> list[str]:
    """The answers that a model learns or, where there is no training split, has learned; none where it counts.

    Raises:
        RecipeError: If there is neither a training split nor a model that answers questions, or the rows lack what the
            kind of answers asks for.
    """
    if recipe.answer_kind == "count":
        return []
    if not rows:
        return learned_answers(recipe.start_from, recipe)
    if recipe.answer_kind == "soft":
        if not any(row.get("answers") for row in rows):
            raise RecipeError(f"answer_kind=soft needs rows with 'answers', those of several people; {recipe.dataset}")
        rows = [{"answer": answer} for row in rows for answer in answer_scores(row)]
    return answer_vocabulary(rows, recipe.answer_vocabulary_size)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the script; returns what it writes to results.json."""
    recipe = parse_recipe(VideoQARecipe, arguments)
    check_inference_clips(recipe.inference_clips)
    accelerator = open_run(recipe)
    with accelerator.main_process_first():
        splits = load_task_splits(recipe, "qa")
        processor = create_processor(recipe, recipe, splits["train"], num_clips=max(recipe.inference_clips))
    answers, kind = vocabulary_of(recipe, splits["train"]), recipe.answer_kind
    if kind == "soft":
        drop_unanswered_test(splits)
    if kind == "count":
        model: Any = create_model(ClipBertForVideoRegression, recipe, processor)
    else:
        model = create_model(ClipBertForVideoQuestionAnswering, recipe, processor, labels=answers)
    collate = QACollator(processor, answers, kind)

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
        )
        groups = question_groups(splits[split], recipe, training=training)
        return create_loader(groups, read, collate, recipe, training=training, blank=read.without_video)

    def task(clips: list[int]) -> VideoQATask:
        return VideoQATask(answers, model.config.score_aggregation, [1] if recipe.text_only else clips, kind)

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
