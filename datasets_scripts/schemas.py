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
``image_qa``        ``id, image, question, answers, people_answers, answer_type``. ``answers``, the labels: a list of
                    ``{"answer", "score"}``, best first, scores above 0 and up to 1; empty where they are not
                    published. ``people_answers``, for the official score: what each person said, as given, in VQA
                    v2 ten texts of which some may be blank; empty where only scores, or nothing, are published
=================== ============================================================================================

- ``video`` and ``image`` hold the absolute path of a file that exists, for a video also of a folder of frames, as
  text: decoding belongs to the processor.
- ``id`` is unique within a split, made from the name of the video or image so that the official files and the jsonl
  files of the paper give the same: ``<video>_<id of the caption>`` where both have one, else ``<video>_<n>`` for
  the n-th row of that video, and the name alone where a video has one row. VQA v2 has its question ids.
- Texts are stripped of white space at their ends and are otherwise as published.
- ``answer_type`` is ``""`` where there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datasets import Features

SchemaName = Literal["retrieval", "moments", "qa", "count", "multiple_choice", "image_captions", "image_qa"]


def features(schema: SchemaName) -> Features:
    """The typed columns of a schema."""
    from datasets import Features, List, Value  # takes a second, for which --help need not wait

    text, integer, real = Value("string"), Value("int64"), Value("float64")
    columns: dict[SchemaName, dict[str, Any]] = {
        "retrieval": {"caption": text},
        "moments": {"caption": text, "times": List(List(real))},
        "qa": {"question": text, "answer": text, "answer_type": text},
        "count": {"question": text, "answer": integer, "answer_type": text},
        "multiple_choice": {"question": text, "options": List(text), "answer": integer},
        "image_captions": {"caption": text},
        "image_qa": {
            "question": text,
            "answers": List({"answer": text, "score": real}),
            "people_answers": List(text),
            "answer_type": text,
        },
    }
    return Features({"id": text, media_column(schema): text, **columns[schema]})


def media_column(schema: SchemaName) -> Literal["video", "image"]:
    """The column that holds the path."""
    return "image" if schema.startswith("image_") else "video"


def sort_answers(scores: dict[str, float]) -> list[dict[str, Any]]:
    """The ``answers`` of ``image_qa`` from a score for each answer: best first, equals in alphabetical order."""
    ordered = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"answer": answer, "score": float(score)} for answer, score in ordered]
