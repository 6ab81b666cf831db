"""What bounds a request before anything of it is understood: how many there are, their bytes, their time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
# How long the rest of a refused upload is thrown away. Closed at once, a connection is reset, and the client sees that
# instead of the reason.
LINGER_SECONDS = 2.0
RETRY_SECONDS = 1


class Intake:
    """Middleware: refuses uploads with 503 if there are too many, 415, 413 as soon as one is too large, and 408.

    Args:
        app: The application.
        max_requests: The most POST requests at once, from their first byte to their answer.
        max_bytes: The most of a body. It is counted as it comes; a length that is declared is refused at once.
        max_seconds: How long a body may take.
        refusal: Why no request is taken at present, or None.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_requests: int,
        max_bytes: int,
        max_seconds: float,
        refusal: Callable[[], str | None],
    ) -> None:
        self.app = app
        self.max_requests, self.max_bytes, self.max_seconds = max_requests, max_bytes, max_seconds
        self._refusal = refusal
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        upload = _Upload(receive, send, self.max_bytes, self.max_seconds)
        refused = self._refused(Headers(scope=scope))
        if refused is not None:
            await refused(scope, upload.receive, upload.send)
            return
        self._inside += 1
        try:
            await self.app(scope, upload.receive, upload.send)
        finally:
            self._inside -= 1

    def _refused(self, headers: Headers) -> JSONResponse | None:
        reason = self._refusal()
        if reason is None and self._inside >= self.max_requests:
            reason = f"{self._inside} requests are being answered already; try again later"
        if reason is not None:
            return error_response(503, reason, {"retry-after": str(RETRY_SECONDS)})
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in FORMS:
            return error_response(415, f"expected a form, {FORMS[0]}; got {kind or 'no content-type'}")
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self.max_bytes:
            return error_response(413, too_large(self.max_bytes))
        return None


def too_large(max_bytes: int) -> str:
    """Why an upload is refused."""
    return f"the upload is larger than {max_bytes / 1e6:g} MB"


def error_response(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """How each error looks: JSON with one line."""
    return JSONResponse({"error": reason}, status, headers)


class _Upload:
    """One request's body, watched; and the answer, which waits for a body that nobody read."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int, max_seconds: float) -> None:
        self._receive, self._send = receive, send
        self._max_bytes, self._max_seconds = max_bytes, max_seconds
        self._end = asyncio.get_running_loop().time() + max_seconds
        self._bytes = 0
        self._is_complete = False

    async def receive(self) -> Message:
        """The next part of the body; what comes after it (that the client has gone) may take any time."""
        if self._is_complete:
            return await self._receive()
        message = await self._next(self._end)
        if message is None:
            raise HTTPException(408, f"the upload took longer than {self._max_seconds:g} s")
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._max_bytes:
            raise HTTPException(413, too_large(self._max_bytes))
        return message

    async def send(self, message: Any) -> None:
        """Send a part of the answer; before its end, the rest of the body is read and thrown away."""
        if not self._is_complete and message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
        is_end = message["type"] == "http.response.body" and not message.get("more_body", False)
        if self._is_complete or not is_end:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        end = asyncio.get_running_loop().time() + LINGER_SECONDS
        while not self._is_complete and await self._next(end) is not None:
            pass
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self, end: float) -> Message | None:
        """The next message; None where none comes in time."""
        try:
            message = await asyncio.wait_for(self._receive(), end - asyncio.get_running_loop().time())
        except asyncio.TimeoutError:
            return None
        self._is_complete = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message
