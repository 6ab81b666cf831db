"""Metrics: pure functions of arrays and lists.

For the library ``evaluate`` each has a class, :class:`QAAccuracy` and so on, which needs the extra ``train``; the files
of :mod:`.evaluation_modules` also load by their paths.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .calibration import accuracy_by_coverage, expected_calibration_error, reliability
from .choice_accuracy import choice_accuracy
from .count_error import count_error
from .qa_accuracy import qa_accuracy
from .retrieval import dual_softmax, retrieval_metrics
from .vqa_score import soft_scores, vqa_score

if TYPE_CHECKING:
    from .evaluation_modules.choice_accuracy import ChoiceAccuracy
    from .evaluation_modules.count_error import CountError
    from .evaluation_modules.qa_accuracy import QAAccuracy
    from .evaluation_modules.retrieval import Retrieval
    from .evaluation_modules.vqa_score import VQAScore

_EVALUATION_MODULES = {
    "ChoiceAccuracy": "choice_accuracy",
    "CountError": "count_error",
    "QAAccuracy": "qa_accuracy",
    "Retrieval": "retrieval",
    "VQAScore": "vqa_score",
}

__all__ = [
    "ChoiceAccuracy",
    "CountError",
    "QAAccuracy",
    "Retrieval",
    "VQAScore",
    "accuracy_by_coverage",
    "choice_accuracy",
    "count_error",
    "dual_softmax",
    "expected_calibration_error",
    "qa_accuracy",
    "reliability",
    "retrieval_metrics",
    "soft_scores",
    "vqa_score",
]


def __getattr__(name: str) -> Any:
    """The classes for ``evaluate``, which is imported with the first of them.

    Raises:
        ImportError: ``evaluate`` is not installed.
    """
    if name not in _EVALUATION_MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.evaluation_modules.{_EVALUATION_MODULES[name]}")
    except ModuleNotFoundError as error:
        if error.name not in ("evaluate", "datasets"):
            raise
        raise ImportError(f'{name} needs {error.name}: pip install "clipbert_hf[train]"', name=error.name) from error
    return getattr(module, name)
