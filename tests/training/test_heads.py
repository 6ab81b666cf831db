"""What becomes of a head when a run starts from a model: carried over by name, new, or refused, and never silently."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reference_inputs import tiny_config

from clipbert_hf import (
    ClipBertForMultipleChoice,
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
)
from clipbert_hf.training.recipe import RecipeError, StartSettings
from clipbert_hf.training.starting_points import create_model

HEADS = [
    ClipBertForMultipleChoice,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
    ClipBertForVideoTextRetrieval,
]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A model that answers "no", "yes" and "red"."""
    labels = ["no", "yes", "red"]
    config = tiny_config(id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)})
    torch.manual_seed(3)
    ClipBertForVideoQuestionAnswering(config).save_pretrained(tmp_path / "qa")
    return tmp_path / "qa"


def qa(start: Path, labels: list[str], *, trains: bool = True) -> ClipBertForVideoQuestionAnswering:
    torch.manual_seed(4)
    settings = StartSettings(start_from=str(start))
    return create_model(ClipBertForVideoQuestionAnswering, settings, None, labels=labels, trains=trains)  # type: ignore[arg-type]


def test_answers_are_carried_over_by_name(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = ClipBertForVideoQuestionAnswering.from_pretrained(saved)
    capsys.readouterr()
    model = qa(saved, ["red", "blue", "no", "green"])
    assert "2 answers carried over, 2 new, 1 dropped" in capsys.readouterr().err
    assert model.config.id2label == {0: "red", 1: "blue", 2: "no", 3: "green"}
    assert torch.equal(model.classifier[0].weight, before.classifier[0].weight)
    old, new = before.classifier[2], model.classifier[2]
    for place, was in ((0, 2), (2, 0)):
        assert torch.equal(new.weight[place], old.weight[was])
        assert torch.equal(new.bias[place], old.bias[was])
    for place in (1, 3):
        assert not any(torch.equal(new.weight[place], row) for row in old.weight)


def test_another_order_of_the_same_answers(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = ClipBertForVideoQuestionAnswering.from_pretrained(saved)
    model = qa(saved, ["red", "yes", "no"])
    assert "3 answers carried over, 0 new, 0 dropped" in capsys.readouterr().err
    assert torch.equal(model.classifier[2].weight, before.classifier[2].weight[[2, 1, 0]])


def test_the_same_answers_change_nothing(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = ClipBertForVideoQuestionAnswering.from_pretrained(saved).state_dict()
    capsys.readouterr()
    for trains in (True, False):
        model = qa(saved, ["no", "yes", "red"], trains=trains)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert "answers" not in capsys.readouterr().err


def test_without_training_answers_stay(saved: Path) -> None:
    with pytest.raises(RecipeError, match="without training, start_from must be a ClipBertForVideoQuestionAnswering"):
        qa(saved, ["yes", "no", "red"], trains=False)


@pytest.mark.parametrize("saved_class", [*HEADS, ClipBertForPreTraining])
@pytest.mark.parametrize("model_class", HEADS)
def test_a_head_of_another_task_is_new_and_said_to_be(
    model_class: type, saved_class: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where names and shapes agree: one score a choice, one a pair with the rank loss."""
    torch.manual_seed(5)
    before = saved_class(tiny_config(retrieval_loss="rank"))
    before.save_pretrained(tmp_path)
    settings = StartSettings(start_from=str(tmp_path))
    if saved_class is model_class:
        model = create_model(model_class, settings, None, trains=False)  # type: ignore[arg-type]
        assert all(torch.equal(tensor, before.state_dict()[name]) for name, tensor in model.state_dict().items())
        return
    with pytest.raises(RecipeError, match=rf"{model_class.__name__} .* a {saved_class.__name__}, the head is"):
        create_model(model_class, settings, None, trains=False)  # type: ignore[arg-type]
    capsys.readouterr()
    model = create_model(model_class, settings, None)  # type: ignore[arg-type]
    assert f"{model_class.__name__} from {tmp_path}: the head is new" in capsys.readouterr().err
    old = before.state_dict()
    head = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("clipbert.")}
    matrices = [name for name, tensor in head.items() if tensor.ndim == 2]
    assert matrices
    assert not any(name in old and torch.equal(head[name], old[name]) for name in matrices)
    assert torch.equal(model.state_dict()["clipbert.pooler.dense.weight"], old["clipbert.pooler.dense.weight"])


def test_another_kind_of_loss_is_another_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ClipBertForVideoTextRetrieval(tiny_config()).save_pretrained(tmp_path)
    settings = StartSettings(start_from=str(tmp_path), model={"retrieval_loss": "rank"})
    with pytest.raises(RecipeError, match="the head is new"):
        create_model(ClipBertForVideoTextRetrieval, settings, None, trains=False)  # type: ignore[arg-type]
    model = create_model(ClipBertForVideoTextRetrieval, settings, None)  # type: ignore[arg-type]
    assert model.classifier[2].out_features == 1
    assert "the head is new" in capsys.readouterr().err


def test_nothing_to_evaluate_without_a_model() -> None:
    with pytest.raises(RecipeError, match="without training, start_from must name the model to evaluate"):
        create_model(ClipBertForMultipleChoice, StartSettings(), None, trains=False)  # type: ignore[arg-type]
