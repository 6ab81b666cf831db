"""The answers to questions about videos: which ones a model learns or has learned, and a test without any."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, Literal

from accelerate import PartialState

from datasets_scripts.annotations.vocabulary import build_answer_vocabulary

from ...model.configuration_clipbert import ClipBertConfig
from ...model.modeling_clipbert import ClipBertForVideoQuestionAnswering
from ..recipe import DataSource, RecipeError
from .row_tables import Row
from .rows import as_rows

AnswerKind = Literal["open_ended", "count", "soft"]


def answers_to_learn(rows: Sequence[Row], kind: AnswerKind, data: DataSource, size: int | None = None) -> list[str]:
    """The answers of a training split, the most frequent first; none where the model counts.

    Args:
        rows: Of the training split, at least one.
        kind: What answers are; of ``soft`` ones each counts that somebody gave.
        data: The data set, for messages.
        size: Only so many.

    Raises:
        RecipeError: If the rows lack what the kind of answers asks for.
    """
    if kind == "count":
        return []
    found = as_rows(rows)
    if kind == "soft" and not any(found.values("answers")):
        raise RecipeError(f"answer_kind=soft needs rows with 'answers', those of several people; {data.dataset}")
    column = "answers" if kind == "soft" else "answer"
    return list(build_answer_vocabulary(found.each(column), top_k=size, count="all").answers)


def learned_answers(start_from: str | None) -> list[str]:
    """The answers of the model that a run starts from, and evaluates as it is.

    Args:
        start_from: A model folder or Hub id.

    Raises:
        RecipeError: If the run starts from no model, or from one with another head.
    """
    name = ClipBertForVideoQuestionAnswering.__name__
    config = None if start_from is None else ClipBertConfig.from_pretrained(start_from)
    if config is None or config.architectures != [name]:
        raise RecipeError(
            f"without training the answers are those of the model: start_from must be a {name}; got {start_from}"
        )
    return [config.id2label[index] for index in range(len(config.id2label))]


def drop_unanswered_test(splits: MutableMapping[str, Any]) -> None:
    """Leave out a test that cannot be scored: a challenge keeps its answers to itself, as VQA v2 does."""
    columns = ("answers", "people_answers")
    if "test" in splits and not any(any(as_rows(splits["test"]).values(name)) for name in columns):
        del splits["test"]
        if PartialState().is_main_process:
            sys.stderr.write("the split 'test' has no answers, and is not evaluated\n")
