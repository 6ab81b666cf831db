"""What is wrong with an answer is one error before anything is trained, whichever the split and the kind of answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipbert_hf import ClipBertConfig
from clipbert_hf.training.data.answer_checks import check_answers
from clipbert_hf.training.recipe import RecipeError
from clipbert_hf.training.tasks.video_qa import VideoQARecipe, prepare_answers

Splits = dict[str, list[dict[str, Any]]]


def splits_of(**answers: list[Any]) -> Splits:
    """Rows of each split with these answers; an id is the split and the number of the row."""
    return {split: [{"id": f"{split}_{n}", "answer": a} for n, a in enumerate(some)] for split, some in answers.items()}


def soft(*scores: dict[str, float], said: list[str] | None = None) -> list[dict[str, Any]]:
    return [
        {
            "id": f"q{number}",
            "answers": [{"answer": answer, "score": score} for answer, score in each.items()],
            "people_answers": said or [],
        }
        for number, each in enumerate(scores)
    ]


# --- Numbers ---


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("value", ["three", "", None, "nan", "inf", float("nan"), [3]])
def test_counts_are_numbers(split: str, value: Any) -> None:
    splits = splits_of(**{"train": ["1"], "validation": [2], "test": [2.5], split: ["1", value]})
    with pytest.raises(RecipeError) as caught:
        check_answers(splits, "count", "error")
    message = f"the answer to question {split}_1 of the split '{split}' must be a number; got {value!r}"
    assert str(caught.value) == f"answer_kind=count: {message}"
    splits[split].pop()
    check_answers(splits, "count", "error")


# --- Texts ---


@pytest.mark.parametrize("value", ["", "  ", None, 3])
def test_open_ended_answers_are_texts(value: Any) -> None:
    with pytest.raises(RecipeError, match=r"question test_1 of the split 'test' must be a text that is not blank; got"):
        check_answers(splits_of(train=["a"], test=["b", value]), "open_ended", "keep")


def test_rows_of_another_kind() -> None:
    with pytest.raises(RecipeError, match=r"answer_kind=soft needs rows with 'answers', and question train_0"):
        check_answers(splits_of(train=["a"]), "soft", "error")
    with pytest.raises(RecipeError, match=r"answer_kind=open_ended needs rows with 'answer', and question q0 of"):
        check_answers({"train": soft({"a": 1.0})}, "open_ended", "error")


PAIRS = [("Yes", "yes"), ("yes", "yes "), (" No", "no"), ("T-Shirt", "t-shirt"), ("ÉTÉ", "été")]


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize(("first", "second"), [("train", "train"), ("train", "test"), ("validation", "test")])
def test_answers_that_differ_in_case(one: str, other: str, first: str, second: str) -> None:
    def splits() -> Splits:
        made = splits_of(train=["red"], validation=["red"], test=["red"])
        made[first].append({"id": "here", "answer": one})
        made[second].append({"id": "there", "answer": other})
        return made

    with pytest.raises(RecipeError) as caught:
        check_answers(splits(), "open_ended", "error")
    places = f"{one!r} (question here of the split {first!r}) and {other!r} (question there of the split {second!r})"
    assert f"the answers {places} differ only in case or outer white space" in str(caught.value)
    assert "--answer_case lower" in str(caught.value)
    kept = splits()
    check_answers(kept, "open_ended", "keep")
    assert kept == splits()
    lowered = splits()
    check_answers(lowered, "open_ended", "lower")
    assert {row["answer"] for rows in lowered.values() for row in rows} == {"red", other.strip()}


def test_soft_answers_that_differ_in_case() -> None:
    def rows() -> list[dict[str, Any]]:
        return soft({"Yes": 1.0, "yes": 2 / 3, "no": 1 / 3}, {"NO": 0.5}, said=["Yes", " yes", "no"])

    with pytest.raises(RecipeError, match=r"'Yes' \(question q0 of the split 'train'\) and 'yes' \(question q0 of"):
        check_answers({"train": rows()}, "soft", "error")
    kept = rows()
    check_answers({"train": kept}, "soft", "keep")
    assert kept == rows()
    splits: dict[str, Any] = {"train": rows()}
    check_answers(splits, "soft", "lower")
    lowered = splits["train"]
    # 1 + 2/3 is at most 1; what people answered is compared with the labels, and so is lower case too.
    assert [row["answers"] for row in lowered] == [
        [{"answer": "yes", "score": 1.0}, {"answer": "no", "score": pytest.approx(1 / 3)}],
        [{"answer": "no", "score": 0.5}],
    ]
    assert lowered[0]["people_answers"] == ["yes", "yes", "no"]


# --- The answers of a model that is evaluated as it is ---


def test_answers_that_a_model_has_learned(tmp_path: Path) -> None:
    config = ClipBertConfig(id2label={0: "Yes", 1: "no"}, architectures=["ClipBertForVideoQuestionAnswering"])
    config.save_pretrained(tmp_path)

    def prepared(*answers: str, **settings: Any) -> Splits:
        splits = {"train": [], **splits_of(test=[*answers])}
        recipe = VideoQARecipe(output_dir="x", data_dir="y", epochs=0, start_from=str(tmp_path), **settings)
        prepare_answers(recipe, splits)
        return splits

    prepared("Yes", "no", "red")
    with pytest.raises(RecipeError, match=r"'Yes' \(a label of the model\) and 'yes' \(question test_1 of the split"):
        prepared("no", "yes")
    with pytest.raises(RecipeError, match=r"answer_case=lower, but the model has learned 'Yes' as it is"):
        prepared("no", "yes", answer_case="lower")
    assert prepared("no", "yes", answer_case="keep")["test"][1]["answer"] == "yes"
