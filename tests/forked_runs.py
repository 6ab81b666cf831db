"""Runs of the scripts in processes of their own, forked from one that has imported everything and done nothing else.

A process that is started anew spends seconds on imports. Preloaded by multiprocessing's fork server, this module makes
it milliseconds; what a run does is what it does from the command line.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
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
        self.log = Path(tempfile.mkstemp(suffix=".txt", prefix="run_")[1])
        context, port = fork_context(), str(free_port())
        self.processes: list[BaseProcess] = []
        for rank in range(processes):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
            group = {name: str(value) for name, value in place.items()} if processes > 1 else {}
            environment = {**group, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
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


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _run(script: str, arguments: list[str], log: str, environment: dict[str, str]) -> None:
    os.setsid()
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w")
    os.environ.update(environment)
    torch.set_num_threads(1)
    # As in a run from the command line; a child of the fork server would have it start its loaders' workers too.
    multiprocessing.set_start_method("fork", force=True)
    run_script(lambda: SCRIPTS[script].main(arguments))
    sys.stdout.flush()
    sys.stderr.flush()
