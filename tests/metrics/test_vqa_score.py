from __future__ import annotations

from pathlib import Path

import evaluate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.metrics import vqa_score
from clipbert_hf.metrics.vqa_score import vqa_question_score

SOURCE = Path(__file__).parents[2] / "clipbert_hf" / "metrics" / "evaluation_modules" / "vqa_score.py"


@pytest.mark.parametrize(
    ("agree", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)]
)  # the official mean over ten: 3 that agree give 3 times 2/3 and 7 times 1
def test_table(agree: int, score: float) -> None:
    answers = ["red"] * agree + [f"other {number}" for number in range(10 - agree)]
    assert vqa_question_score("Red.", answers) == pytest.approx(score if agree < 10 else 0.0)
    assert vqa_question_score("red", answers) == pytest.approx(score)


def test_answers_are_normalized_only_where_people_differ() -> None:
    assert vqa_question_score("yes.", ["yes"] * 10) == 0.0
    assert vqa_question_score("yes.", ["yes"] * 9 + ["no"]) == 1.0


@given(st.sampled_from("abc"), st.lists(st.sampled_from("abc"), min_size=1, max_size=10))
def test_naive(prediction: str, answers: list[str]) -> None:
    if len(set(answers)) > 1:  # "a" is an article
        prediction, answers = prediction.replace("a", ""), [answer.replace("a", "") for answer in answers]
    scores = []
    for left_out in range(len(answers)):
        others = answers[:left_out] + answers[left_out + 1 :]
        scores.append(min(1, sum(answer == prediction for answer in others) / 3))
    assert vqa_question_score(prediction, answers) == pytest.approx(sum(scores) / len(scores))


def test_by_type_and_by_path() -> None:
    questions = {"predictions": ["yes", "2"], "references": [["yes"] * 10, ["two"] * 2 + ["3"] * 8]}
    expected = {"score": 0.8, "questions": 2, "score_by_type": {"number": 0.6, "yes/no": 1.0}}
    for result in (
        vqa_score(**questions, answer_types=["yes/no", "number"]),
        evaluate.load(str(SOURCE)).compute(**questions, answer_types=["yes/no", "number"]),
    ):
        assert result["score_by_type"] == pytest.approx(expected.pop("score_by_type", result["score_by_type"]))
        assert result["score"] == pytest.approx(0.8)
        assert result["questions"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "at least one question"),
        ((["a"], []), "as many"),
        ((["a"], [[]]), "at least one answer"),
    ],
)
def test_wrong_input(arguments: tuple[list[str], list[list[str]]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vqa_score(*arguments)
    with pytest.raises(ValueError, match="answer_types and references"):
        vqa_score(["x"], [["x"]], answer_types=[])
