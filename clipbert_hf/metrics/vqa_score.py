"""The score of VQA v2: how many of ten people gave the answer, at most three counting.

For each person, the answer is compared with those of the other nine: min(how many agree / 3, 1); the score is the mean
over the ten. Where people differ, answers are normalised first, as the official evaluation does it, its oddities
included, so that scores can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0", **{word: str(number) for number, word in enumerate(_NUMBERS)}}
_ARTICLES = {"a", "an", "the"}
_SIGNS = ';/[]"{}()=+\\_-><@`,?!'
_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've o'clock
oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're
there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've
when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't
wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""
# A form that lacks one of its apostrophes; and one entry of the official table that stands the wrong way round.
_CONTRACTIONS = {
    form[:place] + form[place + 1 :]: form
    for form in _CONTRACTED.split()
    for place, sign in enumerate(form)
    if sign == "'"
} | {"somebody'd": "somebodyd"}


def normalize_answer(answer: str) -> str:
    """Normalise an answer: signs, lower case, numbers, articles and apostrophes.

    Example:
        >>> normalize_answer("Two dogs, isnt it?"), normalize_answer("the 1,000 m.p.h.")
        ("2 dogs isn't it", '1000 mph')
    """
    text = answer
    for sign in _SIGNS:
        alone = f"{sign} " in answer or f" {sign}" in answer or re.search(r"\d,\d", answer)
        text = text.replace(sign, "" if alone else " ")
    text = re.sub(r"\.(?!\d)", "", text)
    words = [_DIGITS.get(word, word) for word in text.lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


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
    prediction, answers = _clean(prediction), [_clean(answer) for answer in answers]
    if len(set(answers)) > 1:
        prediction, answers = normalize_answer(prediction), [normalize_answer(answer) for answer in answers]
    agree = answers.count(prediction)
    # Left out one at a time: one of those who agree, or one of the others.
    with_agreeing, with_other = min(max(agree - 1, 0) / 3, 1.0), min(agree / 3, 1.0)
    return (agree * with_agreeing + (len(answers) - agree) * with_other) / len(answers)


def _clean(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def soft_scores(answers: Sequence[str]) -> dict[str, float]:
    """Training labels of a question: min(how many gave the answer / 3, 1), for each normalised answer.

    Example:
        >>> soft_scores(["Two", "2", "2.", "two dogs"])
        {'2': 1.0, '2 dogs': 0.3333333333333333}
    """
    normalized = [normalize_answer(_clean(answer)) for answer in answers]
    return {answer: min(normalized.count(answer) / 3, 1.0) for answer in dict.fromkeys(normalized)}


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


class VQAScore(evaluate.Metric):
    """:func:`vqa_score` as an ``evaluate.Metric``."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description=vqa_score.__doc__ or "",
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "references": datasets.Sequence(datasets.Value("string")),
                }
            ),
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        answer_types: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        return vqa_score(predictions, references, answer_types=answer_types)
