"""The answers of a run, checked before anything is trained: what a task could not use is one error that names it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Literal

import numpy as np
from accelerate import PartialState

from datasets_scripts.annotations.vocabulary import answer_scores, people_answers
from datasets_scripts.schemas import sort_answers

from ..recipe import RecipeError
from .answers import AnswerKind
from .row_tables import Row
from .rows import Rows, as_rows

AnswerCase = Literal["error", "lower", "keep"]
SoftMetric = Literal["vqa_accuracy", "soft_score"]


def check_answers(
    splits: MutableMapping[str, Any], kind: AnswerKind, case: AnswerCase, *, labels: Sequence[str] = ()
) -> None:
    """Check the answers of all splits.

    Args:
        splits: The rows of each; with ``case="lower"`` others take their place, whose answers, and what people
            answered, are lower case.
        kind: What answers are.
        case: What to do about answers that differ only in case or outer white space: refuse, make all lower case
            without outer white space, or take them for different answers.
        labels: The answers of a model that is evaluated as it is.

    Raises:
        RecipeError: If an answer is none of its kind, or two are refused; the row is named, and the split.
    """
    if kind == "count":
        _check_numbers(splits)
        return
    needed = "answers" if kind == "soft" else "answer"
    seen = {_lower(label): (label, "a label of the model") for label in labels}
    if case == "lower" and (other := next((label for label in labels if label != _lower(label)), None)) is not None:
        raise RecipeError(f"answer_case=lower, but the model has learned {other!r} as it is: give --answer_case keep")
    for split, given in splits.items():
        rows = as_rows(given)
        _check_columns(rows, split, kind, needed)
        if case == "lower":
            splits[split] = rows = _lowered(rows, kind)
        # In the order of the rows that have an answer first, so that the first of them that is wrong is named.
        for answer, place in _answers(rows, kind):
            named = f"question {rows.value(place, 'id')} of the split {split!r}"
            if not isinstance(answer, str) or not answer.strip():
                raise RecipeError(
                    f"answer_kind={kind}: the answer to {named} must be a text that is not blank; got {answer!r}"
                )
            if case == "error":
                other, where = seen.setdefault(_lower(answer), (answer, named))
                if other != answer:
                    raise RecipeError(
                        f"the answers {other!r} ({where}) and {answer!r} ({named}) differ only in case or outer white "
                        "space, and would be two answers: --answer_case lower makes one of them, --answer_case keep "
                        "keeps them apart"
                    )
    if kind == "soft":
        _check_people(splits)


def _check_columns(rows: Rows, split: str, kind: AnswerKind, needed: str) -> None:
    row = rows.first_without(needed)
    if row is not None:
        raise RecipeError(
            f"answer_kind={kind} needs rows with {needed!r}, and question {row['id']} of the split {split!r} has "
            f"{', '.join(row)}"
        )


def _answers(rows: Rows, kind: AnswerKind) -> Iterator[tuple[Any, int]]:
    """Each answer once, with the place of its first row."""
    seen = set[str]()
    for place, row in enumerate(rows.each("answer" if kind == "open_ended" else "answers")):
        for answer in [row["answer"]] if kind == "open_ended" else answer_scores(row):
            if not isinstance(answer, str) or answer not in seen:
                yield answer, place
                seen.add(answer)


def soft_metric(rows: Sequence[Row], split: str | None = None) -> SoftMetric:
    """What soft answers can be scored by: the official score of VQA v2 needs what each person said.

    Args:
        rows: Of a split.
        split: Its name, for messages.

    Returns:
        ``vqa_accuracy`` where all rows have what people answered. ``soft_score`` where there are scores alone: the
        mean score of the predicted answers, which is not the official one (2 of 10 people are 0.667 instead of 0.6).

    Raises:
        RecipeError: If a row has what people answered and another has not, or none has an answer.
    """
    of_split = "the questions" if split is None else f"the split {split!r}"
    found = as_rows(rows)
    columns = ("answers", "people_answers")
    said = np.fromiter((bool(people_answers(row)) for row in found.each(*columns)), dtype=bool, count=len(found))
    if not said.any():
        if not any(found.values("answers")):
            raise RecipeError(f"{of_split} cannot be evaluated: no row has 'answers' or 'people_answers'")
        return "soft_score"
    if not said.all():
        with_people, without = found[int(said.argmax())], found[int(said.argmin())]
        has = "scores alone" if without.get("answers") else "no answer"
        raise RecipeError(
            f"{of_split}: question {with_people['id']} has 'people_answers', what each person said, and question "
            f"{without['id']} has {has}; a score of both would mean nothing: give all rows 'people_answers', or none"
        )
    return "vqa_accuracy"


def _check_people(splits: Mapping[str, Sequence[Row]]) -> None:
    for split in ("validation", "test"):
        if split in splits:
            soft_metric(splits[split], split)
    for split, rows in splits.items():
        found = as_rows(rows)
        unanswered = [
            found.value(place, "id")
            for place, row in enumerate(found.each("answers", "people_answers"))
            if not row["answers"] and not people_answers(row)
        ]
        if unanswered and PartialState().is_main_process:
            sys.stderr.write(
                f"the split {split!r} has {len(unanswered):,} questions without any answer, such as {unanswered[0]}: "
                "as published, every answer is wrong for these\n"
            )


def _check_numbers(splits: Mapping[str, Sequence[Row]]) -> None:
    for split, rows in splits.items():
        found = as_rows(rows)
        for place, value in enumerate(found.values("answer")):
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = math.nan
            if not math.isfinite(number):
                raise RecipeError(
                    f"answer_kind=count: the answer to question {found.value(place, 'id')} of the split {split!r} must "
                    f"be a number; got {value!r}"
                )


def _lower(answer: str) -> str:
    return answer.strip().lower()


def _lowered(rows: Rows, kind: AnswerKind) -> Rows:
    """Rows with answers in lower case. Of soft answers that become one, the scores are added, up to 1."""
    if kind == "open_ended":
        answers = (_lower(answer) if isinstance(answer, str) else answer for answer in rows.values("answer"))
        return rows.with_column("answer", answers)
    said = ([_lower(answer) for answer in people_answers(row)] for row in rows.each("answers", "people_answers"))
    lower = rows.with_column("answers", (_lower_scores(row) for row in rows.each("answers")))
    return lower.with_column("people_answers", said)


def _lower_scores(row: Row) -> list[dict[str, Any]]:
    scores: dict[Any, float] = {}
    for answer, score in answer_scores(row).items():
        scores[_lower(answer)] = min(scores.get(_lower(answer), 0.0) + score, 1.0)
    return sort_answers(scores)
