"""Answer vocabularies, their label maps and upper bounds, for every form that the answers of a row can have."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_scripts import AnswerVocabulary, build_answer_vocabulary
from datasets_scripts.annotations.vocabulary import answer_scores
from datasets_scripts.errors import DatasetError


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


def test_answers_are_scored_in_every_form_of_a_row() -> None:
    assert answer_scores({"answer": "dog"}) == {"dog": 1.0}
    assert answer_scores({"answer": 3}) == {"3": 1.0}
    (row,) = soft({"yes": 1.0, "no": 0.3})
    assert answer_scores(row | {"answer": "maybe"}) == {"yes": 1.0, "no": 0.3}
    people = ["Yes."] * 3 + ["no"] * 2 + ["the cat"]
    assert answer_scores({"answers": people}) == {"yes": 1.0, "no": 2 / 3, "cat": 1 / 3}
    assert answer_scores({"answers": []}) == answer_scores({"answers": None}) == {}


def test_every_answer_of_a_row_can_count_once() -> None:
    train = [*soft({"yes": 1.0, "no": 0.3}, {"no": 1.0, "maybe": 0.6}), {"answers": ["Maybe"] * 9 + ["no"]}]
    assert build_answer_vocabulary(train, count="all").answers == ("no", "maybe", "yes")
    assert build_answer_vocabulary(train, count="all", top_k=1).answers == ("no",)
    assert build_answer_vocabulary(train).answers == ("maybe", "no", "yes")
    plain = rows("b", "a", "b")
    assert build_answer_vocabulary(plain, count="all") == build_answer_vocabulary(plain)


@given(st.lists(st.lists(st.sampled_from("bcdefg"), min_size=1, max_size=10), min_size=1))
def test_all_answers_against_counting_by_hand(questions: list[list[str]]) -> None:
    vocabulary = build_answer_vocabulary([{"answers": people} for people in questions], count="all")
    asked = {answer: sum(answer in people for people in questions) for answer in "bcdefg"}
    assert list(vocabulary.answers) == sorted((a for a in asked if asked[a]), key=lambda a: (-asked[a], a))


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
    with pytest.raises(DatasetError, match="count must be one of best, all, not 'most'"):
        build_answer_vocabulary(rows("a"), count="most")  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="no answer comes at least 2 times"):
        build_answer_vocabulary(rows("a", "b"), min_count=2)
