"""The metrics are plain functions: only their classes for evaluate need evaluate.

That the functions need neither it nor datasets is tested where the wheel is, in a process of its own.
"""

from __future__ import annotations

import sys

import evaluate
import pytest

from clipbert_hf import metrics

CLASSES = ("ChoiceAccuracy", "CountError", "QAAccuracy", "Retrieval", "VQAScore")


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
