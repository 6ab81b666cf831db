"""The answers of a run, checked before anything is trained: what a task could not use is one error that names it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from accelerate import PartialState

from datasets_scripts.annotations.vocabulary import answer_scores, people_answers
from datasets_scripts.schemas import sort_answers

from ..recipe import RecipeError
from .answers import AnswerKind
from .splits import Row, Splits

AnswerCase = Literal["error", "lower", "keep"]
SoftMetric = Literal["vqa_accuracy", "soft_score"]


def check_answers(splits: Splits, kind: AnswerKind, case: AnswerCase, *, labels: Sequence[str] = ()) -> None:
    """Check the answers of all splits, in one pass.

    Args:
        splits: The rows of each; with ``case="lower"`` their answers, and what people answered, are changed in place.
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
    for split, row in _rows_of(splits):
        if needed not in row:
            raise RecipeError(
                f"answer_kind={kind} needs rows with {needed!r}, and question {row['id']} of the split {split!r} has "
                f"{', '.join(row)}"
            )
        if case == "lower":
            _lower_answers(row, kind)
        for answer in answer_scores(row) if kind == "soft" else [row["answer"]]:
            if not isinstance(answer, str) or not answer.strip():
                raise RecipeError(
                    f"answer_kind={kind}: the answer to question {row['id']} of the split {split!r} must be a text "
                    f"that is not blank; got {answer!r}"
                )
            if case == "error":
                place = f"question {row['id']} of the split {split!r}"
                other, where = seen.setdefault(_lower(answer), (answer, place))
                if other != answer:
                    raise RecipeError(
                        f"the answers {other!r} ({where}) and {answer!r} ({place}) differ only in case or outer white "
                        "space, and would be two answers: --answer_case lower makes one of them, --answer_case keep "
                        "keeps them apart"
                    )
    if kind == "soft":
        _check_people(splits)


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
    with_people = next((row for row in rows if people_answers(row)), None)
    if with_people is None:
        if not any(row.get("answers") for row in rows):
            raise RecipeError(f"{of_split} cannot be evaluated: no row has 'answers' or 'people_answers'")
        return "soft_score"
    without = next((row for row in rows if not people_answers(row)), None)
    if without is not None:
        has = "scores alone" if without.get("answers") else "no answer"
        raise RecipeError(
            f"{of_split}: question {with_people['id']} has 'people_answers', what each person said, and question "
            f"{without['id']} has {has}; a score of both would mean nothing: give all rows 'people_answers', or none"
        )
    return "vqa_accuracy"


def _check_people(splits: Splits) -> None:
    for split in ("validation", "test"):
        if split in splits:
            soft_metric(splits[split], split)
    for split, rows in splits.items():
        unanswered = [row["id"] for row in rows if not row["answers"] and not people_answers(row)]
        if unanswered and PartialState().is_main_process:
            sys.stderr.write(
                f"the split {split!r} has {len(unanswered):,} questions without any answer, such as {unanswered[0]}: "
                "as published, every answer is wrong for these\n"
            )


def _check_numbers(splits: Splits) -> None:
    for split, row in _rows_of(splits):
        value = row.get("answer")
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise RecipeError(
                f"answer_kind=count: the answer to question {row['id']} of the split {split!r} must be a number; got "
                f"{value!r}"
            )


def _rows_of(splits: Mapping[str, Sequence[Row]]) -> Iterator[tuple[str, Row]]:
    return ((split, row) for split, rows in splits.items() for row in rows)


def _lower(answer: str) -> str:
    return answer.strip().lower()


def _lower_answers(row: Row, kind: AnswerKind) -> None:
    """Of soft answers that become one, the scores are added, up to 1."""
    if kind == "open_ended":
        row["answer"] = _lower(row["answer"]) if isinstance(row["answer"], str) else row["answer"]
        return
    scores: dict[Any, float] = {}
    for answer, score in answer_scores(row).items():
        scores[_lower(answer)] = min(scores.get(_lower(answer), 0.0) + score, 1.0)
    row["people_answers"] = [_lower(answer) for answer in people_answers(row)]
    row["answers"] = sort_answers(scores)
