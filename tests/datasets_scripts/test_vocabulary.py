"""Answer vocabularies, their label maps and upper bounds, and the official normalisation of VQA answers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_scripts import AnswerVocabulary, build_answer_vocabulary
from datasets_scripts.errors import DatasetError
from datasets_scripts.vqa_normalization import normalize_answer
from datasets_scripts.vqa_v2 import soft_scores


def rows(*answers: str | int) -> list[dict[str, Any]]:
    return [{"answer": answer} for answer in answers]


def soft(*answers: dict[str, float]) -> list[dict[str, Any]]:
    return [{"answers": [{"answer": a, "score": s} for a, s in scores.items()]} for scores in answers]


def test_the_most_frequent_first_and_equals_in_alphabetical_order() -> None:
    train = rows("cat", "dog", "dog", "bird", "ant", "bird", "dog")
    assert build_answer_vocabulary(train).answers == ("dog", "bird", "ant", "cat")
    assert build_answer_vocabulary(train, top_k=3).answers == ("dog", "bird", "ant")
    assert build_answer_vocabulary(train, min_count=2).answers == ("dog", "bird")
    assert build_answer_vocabulary(rows(3, 2, 3)).answers == ("3", "2")


def test_soft_answers_count_where_they_are_best() -> None:
    train = soft({"yes": 1.0, "no": 1.0}, {"no": 1.0, "yes": 0.3}, {}, {"maybe": 0.3, "no": 0.6})
    assert build_answer_vocabulary(train).answers == ("no", "yes")


def test_test_answers_outside_stay_in_the_denominator() -> None:
    vocabulary = AnswerVocabulary(("dog", "cat"))
    assert vocabulary.reachable(rows("dog", "bird", "cat", "Dog")) == 50.0
    bound = vocabulary.reachable(soft({"dog": 0.3, "bird": 1.0}, {"cat": 1.0}, {}, {"bird": 1.0}))
    assert bound == pytest.approx(100 * 1.3 / 3)
    summary = vocabulary.summary({"test": rows("dog", "bird", "cat"), "test_dev": soft({})})
    assert summary == "2 answers; reachable upper bound: test 66.67 %, test_dev has no answers"


@given(
    st.lists(st.sampled_from("abcdefg"), min_size=1),
    st.integers(1, 9),
    st.lists(st.sampled_from("abcdefgh"), min_size=1),
)
def test_against_counting_by_hand(train: list[str], top_k: int, test: list[str]) -> None:
    vocabulary = build_answer_vocabulary(rows(*train), top_k=top_k)
    counts = Counter(train)
    assert len(vocabulary) == min(top_k, len(counts))
    kept = [counts[answer] for answer in vocabulary.answers]
    assert kept == sorted(kept, reverse=True)
    assert all(count <= kept[-1] for answer, count in counts.items() if answer not in vocabulary)
    right = sum(answer in vocabulary.answers for answer in test)
    assert vocabulary.reachable(rows(*test)) == pytest.approx(100 * right / len(test))


def test_label_maps_are_those_of_the_paper(tmp_path: Path) -> None:
    vocabulary = AnswerVocabulary(("dog", "caf\u00e9"))
    vocabulary.save(tmp_path / "ans2label.json")
    assert json.loads((tmp_path / "ans2label.json").read_text("utf-8")) == {"dog": 0, "caf\u00e9": 1}
    assert AnswerVocabulary.load(tmp_path / "ans2label.json") == vocabulary
    assert (vocabulary.label2id, vocabulary.id2label) == ({"dog": 0, "caf\u00e9": 1}, {0: "dog", 1: "caf\u00e9"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 0, "b": 2}', "key 'b': the labels must be 0 to 1, each once"),
        ('{"a": 0, "b": 0}', "key 'b': the labels must be 0 to 1"),
        ('{"a": 0, "a": 1}', "key 'a' stands there twice"),
        ('{"a": "0"}', "line 1: must be an object of integers"),
        ('{"a": true}', "line 1: must be an object of integers"),
        ("[]", "line 1: must be an object"),
        ("{}", "line 1: the labels must be"),
        ('{"a"', "line 1, column 5: not JSON"),
    ],
)
def test_damaged_label_maps(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "ans2label.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        AnswerVocabulary.load(path)
    assert str(path) in str(caught.value)


def test_options_out_of_range() -> None:
    with pytest.raises(DatasetError, match="top_k must be at least 1, not 0"):
        build_answer_vocabulary(rows("a"), top_k=0)
    with pytest.raises(DatasetError, match="no answer comes at least 2 times"):
        build_answer_vocabulary(rows("a", "b"), min_count=2)


# --- The official normalisation ---


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes", "yes"),
        ("  two\tdogs\n", "2 dogs"),
        ("none", "0"),
        ("a the an", ""),
        ("The Cat.", "cat"),
        ("2.5", "2.5"),
        ("u.s.a.", "usa"),
        ("1,000", "1000"),
        ("red,blue", "red blue"),
        ("red, blue", "red blue"),
        ("red,blue, green", "redblue green"),
        ("t-shirt", "t shirt"),
        ("t-shirt 1,000", "tshirt 1000"),
        ("what?", "what"),
        ("what? no", "what no"),
        ("don't", "don't"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("yall'd've", "y'all'd've"),
        ("oclock", "o'clock"),
        ("twas", "'twas"),
        ("well", "well"),
        ("somebody'd", "somebodyd"),
        ("http://x.y", "http: xy"),
        ("", ""),
    ],
)
def test_normalisation_by_hand(answer: str, expected: str) -> None:
    assert normalize_answer(answer) == expected


def test_soft_scores_by_hand() -> None:
    assert soft_scores(["yes"] * 5 + ["Yes."] + ["no"] * 2 + ["the"]) == [
        {"answer": "yes", "score": 1.0},
        {"answer": "no", "score": 2 / 3},
    ]
    assert soft_scores([]) == []
