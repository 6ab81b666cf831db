"""Clients ask two servers of the same model in turn: one that answers together what waits, and one that does not.

Run ``make demo``, then ``python -m benchmarks.serving --output serving.json``. After a round to warm up, rounds of the
two alternate, so that other work on the machine meets both. A tenth of the requests bring bad files; every answer is
compared with the pipeline's for that file and question.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from .app_clients import app_clients
from .load import Round, ask_all, http_clients
from .processes import serving
from .questions import choose_questions

MAX_MB = 4.0
BAD_SHARE = 0.1


def measure(given: argparse.Namespace) -> dict[str, list[Round]]:
    """Rounds of each server, the one to warm up first."""
    questions = choose_questions(
        given.demo / "model", given.demo / "data", requests=given.requests, bad_share=BAD_SHARE, max_mb=MAX_MB
    )
    found: dict[str, list[Round]] = {}
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {}
        model = ["--model", str(given.demo / "model")]
        for size in (given.batch_size, 1):
            options = ["--max_mb", str(MAX_MB), "--batch_size", str(size), "--threads", str(given.threads)]
            arguments = ["examples/serve.py", *model, *options]
            server = stack.enter_context(serving(arguments, ready="/health", log=logs / f"{size}.txt"))
            servers[f"batch_size {size}"] = (server, http_clients(server.address, given.clients))
        if given.app:
            arguments = ["examples/app/app.py", *model, "--max_megabytes", str(int(MAX_MB))]
            server = stack.enter_context(serving(arguments, ready="/", log=logs / "app.txt"))
            servers["app"] = (server, app_clients(server.address, given.clients, logs))
        for number in range(given.rounds + 1):
            for name, (server, clients) in servers.items():
                one = ask_all(questions, clients, server.memory)
                found.setdefault(name, []).append(one)
                what = "to warm up" if number == 0 else f"round {number}"
                print_line(f"{name}, {what}", one.figures())
                for wrong in one.wrong[:5]:
                    sys.stdout.write(f"  WRONG {wrong}\n")
    return found


def print_line(name: str, figures: dict[str, float]) -> None:
    """One line of the table."""
    cells = ", ".join(f"{key} {value:.1f}" for key, value in figures.items())
    sys.stdout.write(f"{name:28} {cells}\n")
    sys.stdout.flush()


def summary(rounds: list[Round]) -> dict[str, Any]:
    """Medians of the rounds after the first, and memory after each."""
    figures = [one.figures() for one in rounds]
    medians = {
        key: statistics.median(each[key] for each in figures[1:]) for key in ("requests_per_second", "p50_ms", "p95_ms")
    }
    memory = [round(one.memory, 1) for one in rounds]
    wrong = [name for one in rounds for name in one.wrong]
    return {**medians, "requests": sum(len(one.latencies) for one in rounds), "wrong": wrong, "memory_mib": memory}


def main() -> int:
    """Measure and print; the status is 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, nargs="?", default=Path("runs/demo"), help="the output of make demo")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--clients", type=int, default=20, help="at the same time")
    parser.add_argument("--requests", type=int, default=200, help="in a round")
    parser.add_argument("--rounds", type=int, default=5, help="after the one to warm up")
    parser.add_argument("--batch_size", type=int, default=8, help="compared with 1")
    parser.add_argument("--app", action="store_true", help="ask the app on a web page as well; needs the extra app")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the model")
    given = parser.parse_args()
    given.demo = given.demo.resolve()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(given.threads)
    load_before = os.getloadavg()
    found = {name: summary(rounds) for name, rounds in measure(given).items()}
    for name, figures in found.items():
        print_line(f"{name}, median", {key: value for key, value in figures.items() if isinstance(value, float)})
    if given.output:
        packages = ("torch", "transformers", "fastapi", "uvicorn", "av")
        given.output.write_text(
            json.dumps(
                {
                    "servers": found,
                    "settings": {key: str(value) for key, value in vars(given).items()},
                    "machine": {
                        "cores": os.cpu_count(),
                        "platform": platform.platform(),
                        "load_average": {"before": load_before, "after": os.getloadavg()},
                        **{name: version(name) for name in packages},
                    },
                },
                indent=2,
            )
            + "\n",
            "utf-8",
        )
    return 1 if any(each["wrong"] for each in found.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
