"""The official normalisation of VQA answers, and the scores made from what people answered."""

from __future__ import annotations

import pytest

from clipbert_hf import metrics
from datasets_scripts.annotations import vqa_answers
from datasets_scripts.annotations.vqa_answers import clean_answer, normalize_answer, soft_scores
from datasets_scripts.vqa_v2 import sorted_scores


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes", "yes"),
        ("Yes.", "yes"),
        ("  two\tdogs\n", "2 dogs"),
        ("none", "0"),
        ("Ten", "10"),
        ("a dog", "dog"),
        ("a the an", ""),
        ("the an a", ""),
        ("The Cat.", "cat"),
        ("2.5", "2.5"),
        ("u.s.a.", "usa"),
        ("p.m.", "pm"),
        ("1,000", "1000"),
        ("red,blue", "red blue"),
        ("red, blue", "red blue"),
        ("red,blue, green", "redblue green"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("t-shirt", "t shirt"),
        ("t-shirt 1,000", "tshirt 1000"),
        ("t-shirt- ", "t shirt"),  # white space at the ends goes first
        ("t-shirt\n-x", "tshirt x"),  # and a line end is a space
        ("what?", "what"),
        ("what? no", "what no"),
        ("what? yes", "what yes"),
        ("don't", "don't"),
        ("dont", "don't"),
        ("dont know", "don't know"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("couldntve", "couldntve"),  # the table knows forms that lack one apostrophe, not two
        ("yall'd've", "y'all'd've"),
        ("oclock", "o'clock"),
        ("twas", "'twas"),
        ("lets", "lets"),
        ("well", "well"),
        ("somebody'd", "somebodyd"),
        ("http://x.y", "http: xy"),
        ("", ""),
    ],
)
def test_normalisation_by_hand(answer: str, expected: str) -> None:
    assert normalize_answer(answer) == expected


def test_cleaning_leaves_the_words() -> None:
    assert clean_answer(" The\tt-shirt.\n") == "The t-shirt."


def test_soft_scores_by_hand() -> None:
    assert soft_scores(["red"] * 2 + ["Red.", "the red", "blue"]) == {"red": 1.0, "blue": pytest.approx(1 / 3)}
    assert soft_scores(["yes", "the"]) == {"yes": 1 / 3, "": 1 / 3}
    assert soft_scores([]) == {}


def test_scores_of_the_data_set_are_sorted_and_without_the_empty_answer() -> None:
    assert sorted_scores(["yes"] * 5 + ["Yes."] + ["no"] * 2 + ["the"]) == [
        {"answer": "yes", "score": 1.0},
        {"answer": "no", "score": 2 / 3},
    ]
    assert sorted_scores([]) == []


def test_the_metrics_have_the_same_scores() -> None:
    assert metrics.soft_scores is vqa_answers.soft_scores
