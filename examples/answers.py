"""The answers to questions about videos: which there are, and which ones a model knows."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from accelerate import PartialState
from data_splits import Row, Splits
from recipe import DataSource, RecipeError

from clipbert_hf import ClipBertConfig, ClipBertForVideoQuestionAnswering
from clipbert_hf.metrics import soft_scores

AnswerKind = Literal["open_ended", "count", "soft"]


def answer_vocabulary(rows: Sequence[Row], size: int | None = None) -> list[str]:
    """The answers of the training split, the most frequent first."""
    counts = Counter(row["answer"] for row in rows)
    return sorted(counts, key=lambda answer: (-counts[answer], answer))[:size]


def answer_scores(row: Row) -> dict[str, float]:
    """Soft scores of a question: from what people answered, or as the data set gives them."""
    answers = row["answers"]
    if answers and all(isinstance(answer, str) for answer in answers):
        return soft_scores(answers)
    return {entry["answer"]: entry["score"] for entry in answers}


def learned_answers(start_from: str | None, data: DataSource) -> list[str]:
    """The answers of the model that a run starts from.

    Args:
        start_from: A model folder or Hub id.
        data: The data set, which has no training split to take them from.

    Raises:
        RecipeError: If the run starts from no model, or from one with another head.
    """
    name = ClipBertForVideoQuestionAnswering.__name__
    config = None if start_from is None else ClipBertConfig.from_pretrained(start_from)
    if config is None or config.architectures != [name]:
        raise RecipeError(
            f"data set {data.dataset} in {data.data_dir} has no split 'train' to take the answers from: start_from "
            f"must be a {name}; got {start_from}"
        )
    return [config.id2label[index] for index in range(len(config.id2label))]


def drop_unanswered_test(splits: Splits) -> None:
    """Leave out a test that cannot be scored: a challenge keeps its answers to itself, as VQA v2 does."""
    if "test" in splits and not any(row.get("answers") for row in splits["test"]):
        del splits["test"]
        if PartialState().is_main_process:
            sys.stderr.write("the split 'test' has no answers, and is not evaluated\n")
