"""Metrics: pure functions of arrays and lists, each with a thin ``evaluate.Metric`` around it.

They need the extra ``train``. Each file also loads by its path: ``evaluate.load(".../metrics/qa_accuracy.py")``.
"""

from .qa_accuracy import QAAccuracy, qa_accuracy

__all__ = ["QAAccuracy", "qa_accuracy"]
