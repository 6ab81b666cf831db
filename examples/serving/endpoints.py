"""The endpoints: what is asked comes as a form, the pipeline's answers go out as JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Annotated, Any

from fastapi import Depends, File, Form, Request, UploadFile
from pydantic import BaseModel
from starlette.datastructures import FormData

from clipbert_hf import InvalidInputError
from examples.serving.schemas import Answers, Matches
from examples.serving.service import Service
from examples.serving.waiting import while_connected


async def video_of(
    request: Request,
    video: Annotated[UploadFile | None, File(description="The file.")] = None,
    path: Annotated[str | None, Form(description="In place of an upload: a file in the server's --video_dir.")] = None,
) -> Callable[[], Any]:
    """The video of a request, as a function that reads it."""
    service = service_of(request)
    check_fields(await request.form(), ENDPOINTS[service.kind.name][0])
    if video is not None and path is None:
        return partial(service.read_upload, video.file, video.filename or "")
    if path is not None and video is None:
        return partial(service.find_video, path)
    raise InvalidInputError("video: expected an uploaded file, or path in its place")


Video = Annotated[Callable[[], Any], Depends(video_of)]
Text = Annotated[str, Form()]
Texts = Annotated[list[str], Form(description="Once for each.")]
TopK = Annotated[int | None, Form(ge=1, description="How many, best first.")]
Timestamps = Annotated[bool, Form(description="Add the moment and the score of each clip.")]
AbstainBelow = Annotated[float | None, Form(ge=0, le=1, description="Withhold an answer of a lower score.")]


async def ask(
    request: Request,
    video: Video,
    question: Text,
    top_k: TopK = 5,
    timestamps: Timestamps = False,
    abstain_below: AbstainBelow = None,
) -> Any:
    """Answer a question about a video."""
    row = {"question": service_of(request).check_text("question", question)}
    options = {"top_k": top_k, "return_clip_scores": timestamps, "abstain_below": abstain_below}
    return {"answers": await _answer(request, video, row, options)}


async def choose(
    request: Request,
    video: Video,
    question: Text,
    option: Texts,
    top_k: TopK = None,
    timestamps: Timestamps = False,
    abstain_below: AbstainBelow = None,
) -> Any:
    """Choose among answers to a question about a video."""
    service = service_of(request)
    row = {"question": service.check_text("question", question), "choices": service.check_texts("option", option, 2)}
    options = {"top_k": top_k, "return_clip_scores": timestamps, "abstain_below": abstain_below}
    return {"answers": await _answer(request, video, row, options)}


async def match(request: Request, video: Video, text: Texts, top_k: TopK = None, timestamps: Timestamps = False) -> Any:
    """Tell how well texts match a video."""
    row = {"text": service_of(request).check_texts("text", text, 1)}
    return {"texts": await _answer(request, video, row, {"top_k": top_k, "return_clip_scores": timestamps})}


REPEATED = ("option", "text")
# By the kind of the model.
ENDPOINTS: dict[str, tuple[Callable[..., Any], type[BaseModel]]] = {
    "ask": (ask, Answers),
    "choose": (choose, Answers),
    "match": (match, Matches),
}


def check_fields(form: FormData, endpoint: Callable[..., Any]) -> None:
    """Refuse fields that an endpoint does not have, and several values of what it takes once.

    Raises:
        InvalidInputError: If there are such.
    """
    known = [name for name in ("path", *signature(endpoint).parameters) if name != "request"]
    for name in dict.fromkeys(form):
        if name not in known:
            raise InvalidInputError(f"{name[:80]}: there is no such field; there are {', '.join(sorted(known))}")
        if name not in REPEATED and len(form.getlist(name)) > 1:
            raise InvalidInputError(f"{name}: expected once; got {len(form.getlist(name))}")


def service_of(request: Request) -> Service:
    """The server's state."""
    return request.app.state.service


async def _answer(request: Request, video: Callable[[], Any], row: dict[str, Any], options: dict[str, Any]) -> Any:
    service = service_of(request)
    assert service.answerer is not None  # before, no request comes in
    return await while_connected(request, service.answerer.answer(row, video, **options), service.settings.timeout)
