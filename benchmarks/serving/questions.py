"""What clients ask: videos of the embedded data set and bad files among them, each with the pipeline's own answer."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import pipeline

from clipbert_hf import ClipBertError, ClipBertForVideoQuestionAnswering, ClipBertProcessor
from datasets_scripts.moving_shapes import load_moving_shapes

BAD = ("text", "cut", "empty", "picture", "large")
SCORE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Asked:
    """A question about a file, and what has to come back.

    Args:
        name: The file's.
        content: Its bytes.
        question: The question.
        answers: The pipeline's, or None where it has none.
        error: What it raises, or None; for a file that is too large, what the server says.
    """

    name: str
    content: bytes
    question: str
    answers: list[dict[str, Any]] | None = None
    error: str | None = None

    def is_right(self, status: int, answer: Mapping[str, Any]) -> bool:
        """Whether a server's answer is the pipeline's, but for the last bits of scores."""
        if self.answers is None:
            return status in (413, 422) and answer == {"error": self.error}
        found = answer.get("answers", [])
        return (
            status == 200
            and [each["answer"] for each in found] == [each["answer"] for each in self.answers]
            and all(
                abs(one["score"] - other["score"]) < SCORE_TOLERANCE
                for one, other in zip(found, self.answers, strict=True)
            )
        )


def choose_questions(
    model: Path, data: Path, *, requests: int, bad_share: float, max_mb: float, seed: int = 0
) -> list[Asked]:
    """Questions about test videos, no two alike, some of them about bad files; in random order.

    Args:
        model: A model folder.
        data: The folder of the data set.
        requests: How many.
        bad_share: How many of them bring bad files, of each kind in turn.
        max_mb: The server's limit.
        seed: Of their choice.

    Raises:
        ValueError: If the data set has too few questions.
    """
    rows = load_moving_shapes("qa", data, progress=False)["test"].to_list()
    choice = random.Random(seed)
    choice.shuffle(rows)
    if len(rows) < requests:
        raise ValueError(f"{data}: expected {requests} test questions, found {len(rows)}")
    bad = [BAD[number % len(BAD)] for number in range(round(requests * bad_share))]
    kinds = bad + ["video"] * (requests - len(bad))
    asked = [_asked(row, kind, number, max_mb) for number, (row, kind) in enumerate(zip(rows, kinds, strict=False))]
    answered = _answered(model, asked, max_mb)
    choice.shuffle(answered)
    return answered


def _asked(row: Mapping[str, Any], kind: str, number: int, max_mb: float) -> Asked:
    path = Path(row["video"])
    content = path.read_bytes()
    if kind == "text":
        content = f"this is no video, number {number}".encode()
    elif kind == "cut":
        content = content[: len(content) // 2]
    elif kind == "empty":
        content = b""
    elif kind == "picture":
        content = _picture(number)
    elif kind == "large":
        content += bytes(int(max_mb * 1.1e6))  # the app's megabytes are a twentieth larger
    ending = {"video": ".mp4", "cut": ".mp4", "picture": ".png"}.get(kind, "")
    return Asked(f"{number}-{kind}{ending}", content, row["question"])


def _picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, 128, 255 - number % 256)).save(file, "png")
    return file.getvalue()


def _answered(model: Path, asked: list[Asked], max_mb: float) -> list[Asked]:
    """With what the pipeline says to each alone."""
    loaded = ClipBertForVideoQuestionAnswering.from_pretrained(model).eval()
    pipe = pipeline(
        "video-question-answering", model=loaded, processor=ClipBertProcessor.from_pretrained(model), device="cpu"
    )
    return [_with_answer(pipe, each, max_mb) for each in asked]


def _with_answer(pipe: Any, asked: Asked, max_mb: float) -> Asked:
    given = (asked.name, asked.content, asked.question)
    if len(asked.content) > max_mb * 1e6:
        return Asked(*given, error=f"the upload is larger than {max_mb:g} MB")
    try:
        return Asked(*given, answers=pipe({"bytes": asked.content, "path": asked.name}, asked.question))
    except ClipBertError as error:
        return Asked(*given, error=str(error))
