from __future__ import annotations

from pathlib import Path

import pytest

from clipbert_hf import ClipBertConfig
from clipbert_hf.training.data.answers import answers_to_learn, drop_unanswered_test, learned_answers
from clipbert_hf.training.recipe import DataSettings, RecipeError

DATA = DataSettings(dataset="msrvtt", data_dir="data/msrvtt")


def test_answers_to_learn() -> None:
    rows = [{"answer": answer} for answer in ("b", "a", "c", "c", "a", "c")]
    assert answers_to_learn(rows, "open_ended", DATA) == ["c", "a", "b"]
    assert answers_to_learn(rows, "open_ended", DATA, 2) == ["c", "a"]
    assert answers_to_learn(rows, "count", DATA) == []


def test_soft_answers_to_learn() -> None:
    said = {"answers": ["red", "red", "Red.", "blue"]}
    scored = {"answers": [{"answer": "pink", "score": 0.9}, {"answer": "blue", "score": 0.3}]}
    assert answers_to_learn([said, scored, {"answers": []}], "soft", DATA) == ["blue", "pink", "red"]
    with pytest.raises(RecipeError, match=r"answer_kind=soft needs rows with 'answers'.*msrvtt"):
        answers_to_learn([{"answers": []}], "soft", DATA)


def test_learned_answers(tmp_path: Path) -> None:
    labels = ["no", "yes", "red"]
    config = ClipBertConfig(id2label=dict(enumerate(labels)), architectures=["ClipBertForVideoQuestionAnswering"])
    config.save_pretrained(tmp_path / "qa")
    assert learned_answers(str(tmp_path / "qa")) == labels
    config.architectures = ["ClipBertForPreTraining"]
    config.save_pretrained(tmp_path / "other")
    for start in (str(tmp_path / "other"), None):
        with pytest.raises(RecipeError, match=r"without training .* start_from must be a ClipBertForVideoQuestionAns"):
            learned_answers(start)


def test_a_test_without_answers_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    answered, not_answered = [{"answers": ["a"]}, {"answers": []}], [{"answers": []}, {"answers": []}]
    splits = {"train": not_answered, "validation": not_answered, "test": answered}
    drop_unanswered_test(splits)
    assert set(splits) == {"train", "validation", "test"}
    assert capsys.readouterr().err == ""
    splits["test"] = [{"answers": [], "people_answers": ["the"] * 10}]  # of which nothing is left as a label
    drop_unanswered_test(splits)
    assert set(splits) == {"train", "validation", "test"}
    splits["test"] = not_answered
    drop_unanswered_test(splits)
    assert set(splits) == {"train", "validation"}
    assert "'test' has no answers" in capsys.readouterr().err
