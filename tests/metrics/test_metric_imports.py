"""The metrics are plain functions: only their classes for evaluate need evaluate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import evaluate
import pytest

from clipbert_hf import metrics

CLASSES = ("ChoiceAccuracy", "CountError", "QAAccuracy", "Retrieval", "VQAScore")
FUNCTIONS = ("choice_accuracy", "count_error", "dual_softmax", "qa_accuracy", "retrieval_metrics", "soft_scores")


def test_functions_need_neither_evaluate_nor_datasets() -> None:
    script = f"""
import sys
from clipbert_hf.metrics import {", ".join((*FUNCTIONS, "vqa_score"))}
assert not {{"evaluate", "datasets"}} & set(sys.modules)
assert qa_accuracy(["a"], ["a"])["accuracy"] == 1
"""
    root = Path(metrics.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_there_when_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = getattr(metrics, name)
    assert issubclass(found, evaluate.Metric)
    assert name in metrics.__all__
    monkeypatch.delitem(sys.modules, found.__module__)
    for package in ("evaluate", "datasets"):
        with monkeypatch.context() as hidden:
            hidden.setitem(sys.modules, package, None)
            with pytest.raises(ImportError, match=rf'{name} needs {package}: pip install "clipbert_hf\[train\]"'):
                getattr(metrics, name)


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'BLEU'"):
        metrics.BLEU  # noqa: B018 (the look-up is what is tested)
