"""The score of VQA v2: how many of ten people gave the answer, at most three counting.

For each person, the answer is compared with those of the other nine: min(how many agree / 3, 1); the score is the mean
over the ten. Where people differ, answers are normalised first, as the official evaluation does it, its oddities
included, so that scores can be compared; the data sets' loaders share that code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets_scripts.annotations.vqa_answers import clean_answer, normalize_answer, soft_scores

__all__ = ["soft_scores", "vqa_question_score", "vqa_score"]


def vqa_question_score(prediction: str, answers: Sequence[str]) -> float:
    """The score of one question, 0 to 1.

    Args:
        prediction: The predicted answer.
        answers: What people answered, in VQA v2 ten.

    Raises:
        ValueError: If there are no answers.
    """
    if not len(answers):
        raise ValueError("answers must hold at least one answer; got none")
    prediction, answers = clean_answer(prediction), [clean_answer(answer) for answer in answers]
    if len(set(answers)) > 1:
        prediction, answers = normalize_answer(prediction), [normalize_answer(answer) for answer in answers]
    agree = answers.count(prediction)
    # Left out one at a time: one of those who agree, or one of the others.
    with_agreeing, with_other = min(max(agree - 1, 0) / 3, 1.0), min(agree / 3, 1.0)
    return (agree * with_agreeing + (len(answers) - agree) * with_other) / len(answers)


def vqa_score(
    predictions: Sequence[str], references: Sequence[Sequence[str]], *, answer_types: Sequence[str] | None = None
) -> dict[str, Any]:
    """Score predicted answers.

    Args:
        predictions: Predicted answers.
        references: The answers of people to each question.
        answer_types: The type of each question, in VQA v2 ``yes/no``, ``number`` or ``other``.

    Returns:
        ``score`` (0 to 1), ``questions`` (their number), and with types ``score_by_type``.

    Raises:
        ValueError: If there are no questions, one has no answers, or the lists differ in length.
    """
    if len(predictions) != len(references):
        raise ValueError(f"predictions and references must be as many; got {len(predictions)} and {len(references)}")
    if not len(references):
        raise ValueError("references must hold at least one question; got none")
    scores = [vqa_question_score(*question) for question in zip(predictions, references, strict=True)]
    result: dict[str, Any] = {"score": sum(scores) / len(scores), "questions": len(scores)}
    if answer_types is not None:
        if len(answer_types) != len(scores):
            raise ValueError(f"answer_types and references must be as many; got {len(answer_types)} and {len(scores)}")
        by_type: dict[str, list[float]] = {kind: [] for kind in sorted(set(answer_types))}
        for kind, score in zip(answer_types, scores, strict=True):
            by_type[kind].append(score)
        result["score_by_type"] = {kind: sum(some) / len(some) for kind, some in by_type.items()}
    return result
