"""Runs of the scripts in processes of their own, forked from one that has imported everything and done nothing else.

A process that is started anew spends seconds on imports. Preloaded by multiprocessing's fork server, this module makes
it milliseconds; what a run does is what it does from the command line.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.utils.tensorboard
from script_runs import RECIPES

from clipbert_hf.training import run_script
from examples import run_multiple_choice, run_pretraining, run_retrieval, run_video_qa

SCRIPTS: dict[str, Any] = {
    "run_multiple_choice.py": run_multiple_choice,
    "run_pretraining.py": run_pretraining,
    "run_retrieval.py": run_retrieval,
    "run_video_qa.py": run_video_qa,
}


def fork_context() -> ForkServerContext:
    """The context whose processes begin with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["forked_runs"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # older Pythons' fork servers do not take sys.path over
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


class ForkedRun:
    """A running script, in one process or in several that train together on the CPU.

    Args:
        script: Its file name.
        recipe: The name of its recipe.
        overrides: What follows on the command line.
        processes: How many.
    """

    def __init__(self, script: str, recipe: str, *overrides: str | Path, processes: int = 1) -> None:
        arguments = [str(RECIPES / recipe), *map(str, overrides)]
        self.log = _new_log()
        context, port = fork_context(), str(free_port())
        self.processes: list[BaseProcess] = []
        for rank in range(processes):
            environment = _place(rank, processes, port) if processes > 1 else {"ACCELERATE_USE_CPU": "true"}
            process = context.Process(target=_run, args=(script, arguments, str(self.log), environment))
            process.start()
            self.processes.append(process)

    @property
    def output(self) -> str:
        """What it wrote so far."""
        return self.log.read_text()

    def is_running(self) -> bool:
        """Whether no process has ended."""
        return all(process.exitcode is None for process in self.processes)

    def finish(self) -> str:
        """Wait for it to end well; returns what it wrote."""
        for process in self.processes:
            process.join(timeout=200)
        assert [process.exitcode for process in self.processes] == [0] * len(self.processes), self.output
        return self.output

    def kill(self) -> None:
        """Kill it and the workers of its loaders."""
        for process in self.processes:
            self.signal(process, signal.SIGKILL)
        for process in self.processes:
            process.join()

    def signal(self, process: BaseProcess, number: signal.Signals) -> None:
        """Send a signal to a process and its workers."""
        assert process.pid is not None
        os.killpg(process.pid, number)

    def wait_for(self, path: Path) -> None:
        """Wait until a file or folder is there."""
        deadline = time.monotonic() + 200
        while not path.exists():
            assert self.is_running(), self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.001)


def run(script: str, recipe: str, *overrides: str | Path, processes: int = 1) -> str:
    """Run a script to its end; returns what it wrote."""
    return ForkedRun(script, recipe, *overrides, processes=processes).finish()


def run_together(processes: int, target: Callable[..., None], *arguments: Any) -> None:
    """Call ``target(rank, *arguments)`` in several processes that train together on the CPU, and wait for all."""
    log, port = _new_log(), str(free_port())
    group = [
        fork_context().Process(target=_join, args=(_place(rank, processes, port), str(log), target, (rank, *arguments)))
        for rank in range(processes)
    ]
    for process in group:
        process.start()
    for process in group:
        process.join(timeout=200)
    assert [process.exitcode for process in group] == [0] * processes, log.read_text()


def _place(rank: int, processes: int, port: str) -> dict[str, str]:
    """What a launcher tells each of several processes by its environment."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    environment = {name: str(value) for name, value in place.items()}
    return {**environment, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}


def _join(environment: dict[str, str], log: str, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    _begin(log)
    os.environ.update(environment)
    target(*arguments)


def run_module(module: str, *arguments: str | Path) -> tuple[int, str]:
    """Run ``python -m module``; returns its status and what it wrote."""
    return _finish(_run_module, module, [*map(str, arguments)])


def run_code(code: str, *arguments: str | Path) -> tuple[int, str]:
    """Run ``python -c code``; returns its status and what it wrote."""
    return _finish(_run_code, code, [*map(str, arguments)])


@cache
def _logs() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="forked_runs_")  # removed when this process ends


def _new_log() -> Path:
    return Path(tempfile.mkstemp(suffix=".txt", dir=_logs().name)[1])


def _finish(target: Callable[..., None], what: str, arguments: list[str]) -> tuple[int, str]:
    log = _new_log()
    process = fork_context().Process(target=target, args=(what, arguments, str(log)))
    process.start()
    process.join(timeout=200)
    assert process.exitcode is not None, log.read_text()
    return process.exitcode, log.read_text()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _run(script: str, arguments: list[str], log: str, environment: dict[str, str]) -> None:
    _begin(log)
    os.environ.update(environment)
    # As in a run from the command line; a child of the fork server would have it start its loaders' workers too.
    multiprocessing.set_start_method("fork", force=True)
    run_script(lambda: SCRIPTS[script].main(arguments))
    sys.stdout.flush()
    sys.stderr.flush()


def _run_module(module: str, arguments: list[str], log: str) -> None:
    _begin(log)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")


def _run_code(code: str, arguments: list[str], log: str) -> None:
    _begin(log)
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})


def _begin(log: str) -> None:
    """Become the leader of a group, write into a file, and compute in one thread."""
    os.setsid()
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w")
    torch.set_num_threads(1)
