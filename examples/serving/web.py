"""The application: one endpoint for the model's task, ``/health``, the schema, and what errors look like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from clipbert_hf import ClipBertError, __version__
from examples.serving.batcher import BusyError
from examples.serving.endpoints import ENDPOINTS, service_of
from examples.serving.intake import RETRY_SECONDS, Intake, error_response
from examples.serving.schemas import PROBLEMS, Health
from examples.serving.service import Service
from examples.serving.waiting import ClientGoneError

CLIENT_CLOSED_REQUEST = 499  # for the log; nobody receives it


def create_app(service: Service) -> FastAPI:
    """The application of a server.

    Pages of documentation are off, since FastAPI's load scripts from elsewhere; ``/openapi.json`` is what they show.

    Args:
        service: Its state; the model is loaded once the application runs.
    """
    app = FastAPI(title="clipbert_hf", version=__version__, docs_url=None, redoc_url=None, lifespan=_lifespan)
    app.state.service = service
    settings = service.settings
    app.add_middleware(
        Intake,
        max_requests=settings.max_requests,
        max_bytes=int(settings.max_mb * 1e6),
        max_seconds=settings.timeout,
        refusal=service.refusal,
    )
    endpoint, answers = ENDPOINTS[service.kind.name]
    app.post(f"/{service.kind.name}", response_model=answers, response_model_exclude_unset=True, responses=PROBLEMS)(
        endpoint
    )
    app.get("/health", response_model=Health, responses={503: {"model": Health, "description": "Not ready"}})(health)
    for error, handler in HANDLERS.items():
        app.add_exception_handler(error, handler)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    loading = asyncio.create_task(service.load())
    yield
    loading.cancel()  # where it still loads
    await service.close()


async def health(request: Request, response: Response) -> Any:
    """Tell whether requests are taken; 503 while the model is loaded."""
    found = service_of(request).health()
    response.status_code = 200 if found["ready"] else 503
    return found


async def _of_input(request: Request, error: Any) -> Response:
    return error_response(422, service_of(request).without_folder(str(error)))


async def _of_form(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    return error_response(422, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}")


async def _of_http(request: Request, error: Any) -> Response:
    if error.status_code == 404:
        return error_response(404, f"there is POST /{service_of(request).kind.name} and GET /health")
    return error_response(error.status_code, str(error.detail), error.headers)


async def _of_load(request: Request, error: Any) -> Response:
    return error_response(503, str(error), {"retry-after": str(RETRY_SECONDS)})


async def _of_absence(request: Request, error: Any) -> Response:
    return error_response(CLIENT_CLOSED_REQUEST, "the client has left")


async def _of_fault(request: Request, error: Any) -> Response:
    # Starlette raises it again, and uvicorn logs it.
    return error_response(500, "the server failed at this request; its log tells why")


HANDLERS: dict[Any, Any] = {
    ClipBertError: _of_input,
    RequestValidationError: _of_form,
    HTTPException: _of_http,
    BusyError: _of_load,
    ClientGoneError: _of_absence,
    Exception: _of_fault,
}
