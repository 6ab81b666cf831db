"""The rows of every data set: one schema a task, shared by all loaders.

=================== ============================================================================================
schema              columns
=================== ============================================================================================
``retrieval``       ``id, video, caption``
``moments``         ``id, video, caption, times``: a list of ``[start, end]`` in seconds, one for each annotator
``qa``              ``id, video, question, answer, answer_type``
``count``           the same with an integer ``answer``
``multiple_choice`` ``id, video, question, options, answer``: the index of the right option, from 0
``image_captions``  ``id, image, caption``
``image_qa``        ``id, image, question, answers``: a list of ``{"answer", "score"}``, best first, scores above 0 and
                    up to 1; empty where the answers are not published
=================== ============================================================================================

- ``video`` and ``image`` hold the absolute path of a file that exists, as text: decoding belongs to the processor.
- ``id`` is unique within a split, made from the name of the video or image so that the official files and the jsonl
  files of the paper give the same: ``<video>_<id of the caption>`` where both have one, else ``<video>_<n>`` for
  the n-th row of that video, and the name alone where a video has one row. VQA v2 has its question ids.
- Texts are stripped of white space at their ends and are otherwise as published.
- ``answer_type`` is ``""`` where there is none.
"""

from __future__ import annotations

from typing import Any, Literal

from datasets import Features, List, Value

SchemaName = Literal["retrieval", "moments", "qa", "count", "multiple_choice", "image_captions", "image_qa"]

_text, _integer, _real = Value("string"), Value("int64"), Value("float64")
_COLUMNS: dict[SchemaName, dict[str, Any]] = {
    "retrieval": {"id": _text, "video": _text, "caption": _text},
    "moments": {"id": _text, "video": _text, "caption": _text, "times": List(List(_real))},
    "qa": {"id": _text, "video": _text, "question": _text, "answer": _text, "answer_type": _text},
    "count": {"id": _text, "video": _text, "question": _text, "answer": _integer, "answer_type": _text},
    "multiple_choice": {"id": _text, "video": _text, "question": _text, "options": List(_text), "answer": _integer},
    "image_captions": {"id": _text, "image": _text, "caption": _text},
    "image_qa": {
        "id": _text,
        "image": _text,
        "question": _text,
        "answers": List({"answer": _text, "score": _real}),
    },
}


def features(schema: SchemaName) -> Features:
    """The typed columns of a schema."""
    return Features(_COLUMNS[schema])


def media_column(schema: SchemaName) -> Literal["video", "image"]:
    """The column that holds the path."""
    return "image" if "image" in _COLUMNS[schema] else "video"


def sort_answers(scores: dict[str, float]) -> list[dict[str, Any]]:
    """The ``answers`` of ``image_qa`` from a score for each answer: best first, equals in alphabetical order."""
    ordered = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"answer": answer, "score": float(score)} for answer, score in ordered]
