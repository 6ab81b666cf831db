"""Accuracy of open-ended question answering, in total and for each type of answer.

An answer is right if it is the reference, word for word. Answers that the vocabulary of a model lacks can't be
predicted; they count as wrong, and the upper bound says how much that costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any


def qa_accuracy(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    answer_types: Sequence[str] | None = None,
    vocabulary: Collection[str] | None = None,
) -> dict[str, Any]:
    """Compare predicted answers with the right ones.

    Args:
        predictions: Predicted answers.
        references: Right answers, in the same order.
        answer_types: The type of each question, such as ``"color"``.
        vocabulary: The answers that the model can give.

    Returns:
        ``accuracy`` (0 to 1) and ``questions`` (their number); with types also ``accuracy_by_type`` and
        ``questions_by_type``; with a vocabulary also ``upper_bound``, the accuracy of a model that is always right
        where it can be.

    Raises:
        ValueError: If there are no questions, or the lists differ in length.

    Example:
        >>> qa_accuracy(["red", "no"], ["red", "yes"], answer_types=["color", "existence"])["accuracy_by_type"]
        {'color': 1.0, 'existence': 0.0}
    """
    if len(predictions) != len(references):
        raise ValueError(f"predictions and references must be as many; got {len(predictions)} and {len(references)}")
    if not len(references):
        raise ValueError("references must hold at least one answer; got none")
    right = [prediction == reference for prediction, reference in zip(predictions, references, strict=True)]
    result: dict[str, Any] = {"accuracy": sum(right) / len(right), "questions": len(right)}
    if answer_types is not None:
        if len(answer_types) != len(references):
            raise ValueError(
                f"answer_types and references must be as many; got {len(answer_types)} and {len(references)}"
            )
        asked = Counter(answer_types)
        hits = Counter(kind for kind, hit in zip(answer_types, right, strict=True) if hit)
        result["accuracy_by_type"] = {kind: hits[kind] / asked[kind] for kind in sorted(asked)}
        result["questions_by_type"] = {kind: asked[kind] for kind in sorted(asked)}
    if vocabulary is not None:
        known = set(vocabulary)
        result["upper_bound"] = sum(reference in known for reference in references) / len(references)
    return result
