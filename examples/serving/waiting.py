"""Waiting for an answer as long as somebody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

Result = TypeVar("Result")


class ClientGoneError(Exception):
    """Nobody waits any more."""


async def while_connected(request: Request, work: Coroutine[Any, Any, Result], seconds: float) -> Result:
    """Wait for work, for so long and while the client is there; otherwise it is cancelled.

    Args:
        request: Whose body has been read.
        work: What makes the answer.
        seconds: How long.

    Raises:
        ClientGoneError: If the client has left.
        HTTPException: 504 if the time is over.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((task, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientGoneError
        raise HTTPException(504, f"no answer within {seconds:g} s")
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
