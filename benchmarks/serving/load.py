"""Clients that ask at the same time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from .questions import Asked


@dataclass(frozen=True)
class Round:
    """What clients saw of a server.

    Args:
        seconds: Of the whole round.
        latencies: Seconds of each request.
        right: How many had the answer that they had to have.
        wrong: Names of the files of the others, with what came.
        memory: Of the server's process afterwards, in MiB.
    """

    seconds: float
    latencies: tuple[float, ...]
    right: int
    wrong: tuple[str, ...]
    memory: float

    def figures(self) -> dict[str, float]:
        """The figures of a round."""
        percentiles = statistics.quantiles(self.latencies, n=100, method="inclusive")
        return {
            "requests_per_second": len(self.latencies) / self.seconds,
            "p50_ms": 1000 * percentiles[49],
            "p95_ms": 1000 * percentiles[94],
            "right": self.right,
            "memory_mib": self.memory,
        }


Ask = Callable[[Asked], tuple[int, Mapping[str, Any]]]


def ask_all(questions: Sequence[Asked], clients: Sequence[Ask], memory: Callable[[], float]) -> Round:
    """Ask all questions, each client one after the other of what is left.

    Args:
        questions: What is asked, each once.
        clients: As many ask at the same time; each gives the status and the answer.
        memory: Of the server, in MiB.
    """
    left = iter(list(enumerate(questions)))
    latencies = [0.0] * len(questions)
    results: list[tuple[int, Mapping[str, Any]]] = [(0, {})] * len(questions)

    def ask_on(client: Ask) -> None:
        for number, one in left:  # a list's iterator gives each item to one thread
            started = time.perf_counter()
            results[number] = client(one)
            latencies[number] = time.perf_counter() - started

    started = time.perf_counter()
    with ThreadPoolExecutor(len(clients)) as threads:
        for done in [threads.submit(ask_on, client) for client in clients]:
            done.result()
    seconds = time.perf_counter() - started
    wrong = [
        f"{one.name}: {status} {answer}"
        for one, (status, answer) in zip(questions, results, strict=True)
        if not one.is_right(status, answer)
    ]
    return Round(seconds, tuple(latencies), len(questions) - len(wrong), tuple(wrong), memory())


def http_clients(address: str, count: int) -> list[Ask]:
    """Clients of the server, each with a connection of its own."""
    return [_http_client(address) for _ in range(count)]


def _http_client(address: str) -> Ask:
    client = httpx.Client(base_url=address, timeout=300)

    def ask(asked: Asked) -> tuple[int, Mapping[str, Any]]:
        response = client.post("/ask", data={"question": asked.question}, files={"video": (asked.name, asked.content)})
        return response.status_code, response.json()

    return ask
