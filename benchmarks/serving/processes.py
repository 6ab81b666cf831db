"""Servers as processes of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 300


@dataclass(frozen=True)
class RunningServer:
    """A process that listens.

    Args:
        address: Where.
        process: The process.
    """

    address: str
    process: psutil.Process

    def memory(self) -> float:
        """Resident memory, in MiB."""
        return self.process.memory_info().rss / 2**20

    def health(self) -> dict[str, Any]:
        """What it tells of itself."""
        return httpx.get(f"{self.address}/health").json()


@contextmanager
def serving(arguments: Sequence[str], *, ready: str, log: Path, port: int | None = None) -> Iterator[RunningServer]:
    """Start a server, wait until it is ready, and end it afterwards.

    Args:
        arguments: Of Python; the port is added.
        ready: A path that answers 200 once it is.
        log: Where its output goes.
        port: By default a free one.

    Raises:
        RuntimeError: If it ends, or does not begin in time.
    """
    port = port or _free_port()
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments, "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(process, address + ready, log)
            yield RunningServer(address, psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(60)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    status = 503
    while True:
        with suppress(httpx.TransportError):
            status = httpx.get(address).status_code
        if status == 200:
            return
        if status != 503 or process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the server did not start: {log.read_text('utf-8')[-2000:]}")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
