"""Metrics: pure functions of arrays and lists, each with a thin ``evaluate.Metric`` around it.

They need the extra ``train``. Each file also loads by its path: ``evaluate.load(".../metrics/qa_accuracy.py")``.
"""

from .choice_accuracy import ChoiceAccuracy, choice_accuracy
from .count_error import CountError, count_error
from .qa_accuracy import QAAccuracy, qa_accuracy
from .retrieval import Retrieval, dual_softmax, retrieval_metrics
from .vqa_score import VQAScore, soft_scores, vqa_score

__all__ = [
    "ChoiceAccuracy",
    "CountError",
    "QAAccuracy",
    "Retrieval",
    "VQAScore",
    "choice_accuracy",
    "count_error",
    "dual_softmax",
    "qa_accuracy",
    "retrieval_metrics",
    "soft_scores",
    "vqa_score",
]
