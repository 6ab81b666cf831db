"""Answer vocabularies: the labels of open-ended question answering, from the training split."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from datasets_scripts.annotations.json_files import decode_json
from datasets_scripts.annotations.text_files import read_text
from datasets_scripts.annotations.vqa_answers import soft_scores
from datasets_scripts.errors import DatasetError

Row = Mapping[str, Any]
CountedAnswers = Literal["best", "all"]


@dataclass(frozen=True)
class AnswerVocabulary:
    """The answers that a model can give, in order of their labels.

    A test answer that is not among them counts as wrong and stays in the denominator.

    Args:
        answers: The most frequent first.
    """

    answers: tuple[str, ...]

    @property
    def label2id(self) -> dict[str, int]:
        """The label of each answer, for the model's configuration."""
        return {answer: label for label, answer in enumerate(self.answers)}

    @property
    def id2label(self) -> dict[int, str]:
        """The answer of each label, for the model's configuration."""
        return dict(enumerate(self.answers))

    def __len__(self) -> int:
        return len(self.answers)

    def __contains__(self, answer: object) -> bool:
        return answer in self.label2id

    def reachable(self, rows: Iterable[Row]) -> float:
        """The accuracy in % of a model that always gives the best answer it has; rows without answers do not count.

        Raises:
            DatasetError: No row has an answer.
        """
        known = set(self.answers)
        scores = [
            max((score for answer, score in scored.items() if answer in known), default=0.0)
            for scored in map(answer_scores, rows)
            if scored
        ]
        if not scores:
            raise DatasetError("no row has an answer, so there is no upper bound")
        return 100 * sum(scores) / len(scores)

    def summary(self, splits: Mapping[str, Iterable[Row]]) -> str:
        """The reachable upper bound of each split that has answers, in one line."""
        bounds = []
        for split, rows in splits.items():
            try:
                bounds.append(f"{split} {self.reachable(rows):.2f} %")
            except DatasetError:
                bounds.append(f"{split} has no answers")
        return f"{len(self):,} answers; reachable upper bound: {', '.join(bounds)}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``{answer: label}``, the form of the paper's ``ans2label.json``."""
        Path(path).write_text(json.dumps(self.label2id, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AnswerVocabulary:
        """Read what :meth:`save` wrote, or an ``ans2label.json`` of the paper.

        Raises:
            DatasetError: The labels are not 0 to n - 1.
        """
        labels = decode_json(read_text(Path(path)), Path(path), unique=True)
        if not isinstance(labels, dict) or not all(type(label) is int for label in labels.values()):
            raise DatasetError(f"{path}, line 1: must be an object of integers, one a label")
        ordered = sorted(labels, key=lambda answer: labels[answer])
        wrong = [answer for label, answer in enumerate(ordered) if labels[answer] != label]
        if wrong or not labels:
            where = f"key {wrong[0]!r}" if wrong else "line 1"
            raise DatasetError(f"{path}, {where}: the labels must be 0 to {max(len(labels) - 1, 0)}, each once")
        return cls(tuple(ordered))


def answer_scores(row: Row) -> dict[str, float]:
    """The answers to a question with their scores, above 0 and up to 1.

    Args:
        row: With ``answers``, pairs of ``answer`` and ``score``, or texts, what each person said; else with ``answer``,
            whose score is 1.

    >>> answer_scores({"answers": ["Two", "2", "2.", "two dogs"]})
    {'2': 1.0, '2 dogs': 0.3333333333333333}
    """
    if "answers" not in row:
        return {str(row["answer"]): 1.0}
    answers = row["answers"] or ()
    if answers and all(isinstance(answer, str) for answer in answers):
        return soft_scores(answers)
    return {pair["answer"]: pair["score"] for pair in answers}


def people_answers(row: Row) -> list[str]:
    """What each person answered, as given; nothing where only scores, or no answers, are known.

    Args:
        row: With ``people_answers``, or with texts for ``answers``.

    >>> people_answers({"answers": [{"answer": "2", "score": 1.0}], "people_answers": ["two", "2.", ""]})
    ['two', '2.', '']
    >>> people_answers({"answers": [{"answer": "2", "score": 1.0}]})
    []
    """
    given = row.get("people_answers") or row.get("answers") or ()
    return list(given) if all(isinstance(answer, str) for answer in given) else []


def build_answer_vocabulary(
    rows: Iterable[Row], *, top_k: int | None = None, min_count: int = 1, count: CountedAnswers = "best"
) -> AnswerVocabulary:
    """The most frequent answers of a training split; equals in alphabetical order.

    With ``top_k=3129`` that is close to, but not exactly, the published labels of VQA v2, which come from the consensus
    answers of the training and validation splits.

    Args:
        rows: As :func:`answer_scores` takes them, such as those of schema ``qa`` or ``image_qa``.
        top_k: At most so many; MSRVTT-QA uses 1,500.
        min_count: Only answers that come so often.
        count: Whether a row counts once for each of its best answers, or once for each of all its answers.

    Raises:
        DatasetError: An option is out of range, or nothing is left.
    """
    if top_k is not None and top_k < 1:
        raise DatasetError(f"top_k must be at least 1, not {top_k}")
    if count not in get_args(CountedAnswers):
        raise DatasetError(f"count must be one of {', '.join(get_args(CountedAnswers))}, not {count!r}")
    counts: Counter[str] = Counter()
    for scores in map(answer_scores, rows):
        least = max(scores.values(), default=0.0) if count == "best" else 0.0
        counts.update(answer for answer, score in scores.items() if score >= least)
    ordered = sorted(counts, key=lambda answer: (-counts[answer], answer))
    kept = [answer for answer in ordered if counts[answer] >= min_count][:top_k]
    if not kept:
        raise DatasetError(f"no answer comes at least {min_count} times")
    return AnswerVocabulary(tuple(kept))
