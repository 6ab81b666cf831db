"""What endpoints return; the schema of OpenAPI is made of it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class Clip(BaseModel):
    """What one clip says: its start and end in seconds, and the score in it alone."""

    start: float
    end: float
    score: float


class Answer(BaseModel):
    """An answer, or null where it is withheld; its clips where timestamps were asked for."""

    answer: str | None
    score: float
    clips: list[Clip] = []


class Answers(BaseModel):
    """Best first."""

    answers: list[Answer]


class Match(BaseModel):
    """A text, and the probability that it tells what the video shows."""

    text: str
    score: float
    clips: list[Clip] = []


class Matches(BaseModel):
    """Best first."""

    texts: list[Match]


class Health(BaseModel):
    """What the server is, and how much waits for its model."""

    ready: bool
    model: str
    endpoint: str
    device: str | None
    waiting: int
    batches: int
    versions: dict[str, str]


class Problem(BaseModel):
    """An error, in one line."""

    error: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    408: {"model": Problem, "description": "The upload took too long"},
    413: {"model": Problem, "description": "The upload is too large"},
    415: {"model": Problem, "description": "The request is no form"},
    422: {"model": Problem, "description": "The video cannot be read, or something else is not as expected"},
    503: {
        "model": Problem,
        "description": "Too many requests at once, or the model is not loaded yet: see Retry-After",
    },
    504: {"model": Problem, "description": "The answer took too long"},
}
