"""A server of ``examples/serving`` on a port of its own, in a thread of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

# Who imports this is skipped.
pytest.importorskip("fastapi", reason='needs pip install "clipbert_hf[serve]"')

import httpx
import uvicorn

from examples.serving.models import kind_of
from examples.serving.service import Service
from examples.serving.settings import Settings
from examples.serving.web import create_app


class RunningServer:
    """A server, and a client of it.

    Args:
        settings: Its options.
    """

    def __init__(self, settings: Settings) -> None:
        self.failures: list[Exception] = []
        self.service = Service(settings, kind_of(settings.model), self.failures.append)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(create_app(self.service), port=0, log_level="warning", ws="none", server_header=False)
        )
        self._thread = threading.Thread(target=self._uvicorn.run)

    def start(self) -> None:
        """Listen, and load the model."""
        self._thread.start()
        until(lambda: self._uvicorn.started)
        self.port: int = self._uvicorn.servers[0].sockets[0].getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        until(lambda: self.service.answerer is not None or self.failures)
        assert not self.failures

    def begin_to_stop(self) -> None:
        """As a signal does."""
        self._uvicorn.should_exit = True

    def stop(self) -> None:
        """Wait for its end."""
        self.client.close()
        self.begin_to_stop()
        self._thread.join(60)
        assert not self._thread.is_alive()

    @property
    def answerer(self) -> Any:
        """What answers."""
        assert self.service.answerer is not None
        return self.service.answerer


@contextmanager
def running(**settings: Any) -> Iterator[RunningServer]:
    """A server with these options, until the end of the block."""
    server = RunningServer(Settings(**settings))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class Gate:
    """Whether a model may work, and whether something has reached it."""

    is_open: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)


@contextmanager
def closed_gate(server: RunningServer, forward: Callable[[Any], Any] | None = None) -> Iterator[Gate]:
    """A gate before a server's model, or before ``forward`` in its place, until the end of the block."""
    gate, pipe = Gate(), server.answerer.pipe
    forward = forward or pipe.forward

    def pass_gate(inputs: Any) -> Any:
        gate.reached.set()
        assert gate.is_open.wait(60)
        return forward(inputs)

    pipe.forward = pass_gate
    try:
        yield gate
    finally:
        gate.is_open.set()
        del pipe.forward


def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)
