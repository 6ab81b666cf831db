from __future__ import annotations

from pathlib import Path

import pytest
from answers import answer_scores, answer_vocabulary, drop_unanswered_test, learned_answers
from recipe import DataSettings, RecipeError

from clipbert_hf import ClipBertConfig

DATA = DataSettings(dataset="msrvtt", data_dir="data/msrvtt")


def test_answer_vocabulary() -> None:
    rows = [{"answer": answer} for answer in ("b", "a", "c", "c", "a", "c")]
    assert answer_vocabulary(rows) == ["c", "a", "b"]
    assert answer_vocabulary(rows, 2) == ["c", "a"]


def test_answer_scores() -> None:
    assert answer_scores({"answers": ["red", "red", "Red.", "blue"]}) == {"red": 1.0, "blue": pytest.approx(1 / 3)}
    assert answer_scores({"answers": [{"answer": "red", "score": 0.3}]}) == {"red": 0.3}
    assert answer_scores({"answers": []}) == {}


def test_learned_answers(tmp_path: Path) -> None:
    labels = ["no", "yes", "red"]
    config = ClipBertConfig(id2label=dict(enumerate(labels)), architectures=["ClipBertForVideoQuestionAnswering"])
    config.save_pretrained(tmp_path / "qa")
    assert learned_answers(str(tmp_path / "qa"), DATA) == labels
    config.architectures = ["ClipBertForPreTraining"]
    config.save_pretrained(tmp_path / "other")
    for start in (str(tmp_path / "other"), None):
        with pytest.raises(
            RecipeError,
            match=r"data set msrvtt in data/msrvtt has no split 'train' .* start_from must be a ClipBertForVid",
        ):
            learned_answers(start, DATA)


def test_a_test_without_answers_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    answered, not_answered = [{"answers": ["a"]}, {"answers": []}], [{"answers": []}, {"answers": []}]
    splits = {"train": not_answered, "validation": not_answered, "test": answered}
    drop_unanswered_test(splits)
    assert set(splits) == {"train", "validation", "test"}
    assert capsys.readouterr().err == ""
    splits["test"] = not_answered
    drop_unanswered_test(splits)
    assert set(splits) == {"train", "validation"}
    assert "'test' has no answers" in capsys.readouterr().err
