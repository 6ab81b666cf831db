from __future__ import annotations

from pathlib import Path
from typing import Any

import evaluate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.metrics import QAAccuracy, qa_accuracy

SOURCE = Path(__file__).parents[2] / "clipbert_hf" / "metrics" / "evaluation_modules" / "qa_accuracy.py"

PREDICTIONS = ["red", "blue", "yes", "no", "ring"]
REFERENCES = ["red", "green", "yes", "yes", "star"]
TYPES = ["color", "color", "existence", "existence", "shape"]
TABLE = {
    "accuracy": 0.4,
    "questions": 5,
    "accuracy_by_type": {"color": 0.5, "existence": 0.5, "shape": 0.0},
    "questions_by_type": {"color": 2, "existence": 2, "shape": 1},
    "upper_bound": 0.8,
}
VOCABULARY = ["red", "blue", "yes", "no", "ring", "star"]  # no green


def test_table() -> None:
    assert qa_accuracy(PREDICTIONS, REFERENCES, answer_types=TYPES, vocabulary=VOCABULARY) == TABLE
    assert qa_accuracy(PREDICTIONS, REFERENCES) == {"accuracy": 0.4, "questions": 5}


ANSWERS = st.sampled_from(["a", "b", "c", ""])
ROWS = st.lists(st.tuples(ANSWERS, ANSWERS, st.sampled_from("xyz")), min_size=1, max_size=30)


def naive(rows: list[tuple[str, str, str]], vocabulary: list[str]) -> dict[str, Any]:
    right, possible, by_type = 0, 0, {}
    for prediction, reference, kind in rows:
        counts = by_type.setdefault(kind, [0, 0])
        counts[1] += 1
        if prediction == reference:
            right += 1
            counts[0] += 1
        if reference in vocabulary:
            possible += 1
    return {
        "accuracy": right / len(rows),
        "questions": len(rows),
        "accuracy_by_type": {kind: hits / asked for kind, (hits, asked) in by_type.items()},
        "questions_by_type": {kind: asked for kind, (_, asked) in by_type.items()},
        "upper_bound": possible / len(rows),
    }


@given(ROWS, st.lists(ANSWERS))
def test_naive_reference(rows: list[tuple[str, str, str]], vocabulary: list[str]) -> None:
    predictions, references, types = map(list, zip(*rows, strict=True))
    result = qa_accuracy(predictions, references, answer_types=types, vocabulary=vocabulary)
    assert result == naive(rows, vocabulary)
    assert result["accuracy"] <= 1


def test_loads_by_path() -> None:
    metric = evaluate.load(str(SOURCE))
    result = metric.compute(predictions=PREDICTIONS, references=REFERENCES, answer_types=TYPES, vocabulary=VOCABULARY)
    assert result == TABLE


def test_batches_add_up() -> None:
    metric = QAAccuracy()
    for start in (0, 3):
        metric.add_batch(predictions=PREDICTIONS[start : start + 3], references=REFERENCES[start : start + 3])
    assert metric.compute() == {"accuracy": 0.4, "questions": 5}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"predictions": ["a"], "references": []}, "as many; got 1 and 0"),
        ({"predictions": [], "references": []}, "at least one answer"),
        ({"predictions": ["a"], "references": ["a"], "answer_types": []}, "answer_types and references.*0 and 1"),
    ],
)
def test_wrong_input(arguments: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qa_accuracy(**arguments)
