"""Work in processes and threads: what dies of one video, what is stopped, and what is written once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import datasets_scripts
from datasets_scripts.errors import DatasetError
from datasets_scripts.execution.executor import ATTEMPTS, LOST, choose_executor
from datasets_scripts.execution.processes import Processes
from datasets_scripts.execution.record import RecordWriter, read_record_lines
from datasets_scripts.execution.threads import Threads

ROOT = Path(datasets_scripts.__file__).parents[1]


def _square(number: int) -> int | str:
    return number * number if number != 5 else "five"


@pytest.mark.parametrize("executor", [Processes(1), Processes(2), Threads(2)], ids=["one", "processes", "threads"])
def test_all_work_is_done_once(executor: Processes | Threads) -> None:
    results = list(executor.run(_square, iter(range(40))))
    assert sorted(work for work, _ in results) == list(range(40))
    assert dict(results) == {number: "five" if number == 5 else number * number for number in range(40)}
    assert list(executor.run(_square, [])) == []


def _die(folder: Path, number: int) -> int | str:
    """Leave a trace, and die: of seven each time, of eleven the first time."""
    traces = folder / str(number)
    with traces.open("a") as file:
        file.write("x")
    if number == 7 or (number == 11 and traces.stat().st_size == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_only_what_kills_its_process_each_time_is_given_up(tmp_path: Path) -> None:
    results = list(Processes(2).run(partial(_die, tmp_path), range(20)))
    assert sorted(work for work, _ in results) == list(range(20))
    assert dict(results) == {number: LOST if number == 7 else number for number in range(20)}
    assert len((tmp_path / "7").read_text()) == ATTEMPTS == 3
    assert f"{ATTEMPTS} times" in LOST


def _fail(number: int) -> int | str:
    if number == 3:
        raise OSError("the disk is full")
    return number


@pytest.mark.parametrize("executor", [Processes(1), Processes(2), Threads(2)], ids=["one", "processes", "threads"])
def test_what_the_function_raises_ends_all(executor: Processes | Threads) -> None:
    with pytest.raises(OSError, match="the disk is full"):
        list(executor.run(_fail, range(1000)))


def _endless(_: int) -> int | str:
    time.sleep(600)
    return 0


def test_a_caller_that_stops_ends_what_is_under_way() -> None:
    begun = time.monotonic()

    def work() -> Iterator[int]:
        yield from (0, 1, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Processes(2).run(_endless, work()))
    assert time.monotonic() - begun < 300  # and not the 600 seconds of one piece of work


SLEEPERS = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts tests in the background ignores it
from datasets_scripts.annotations.command_line import run
from datasets_scripts.execution.processes import Processes
def wait(number):
    open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
    time.sleep(600)
sys.exit(run(lambda: len(list(Processes(2).run(wait, range(4))))))
"""


def _is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left(number: signal.Signals, tmp_path: Path) -> None:
    """After Ctrl-C, which a terminal sends to the whole group, in one line; and after a kill of the parent."""
    command = [sys.executable, "-c", SLEEPERS, str(tmp_path)]
    parent = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while len(list(tmp_path.iterdir())) < 2:
        assert parent.poll() is None
        time.sleep(0.01)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    if number == signal.SIGINT:
        os.killpg(parent.pid, number)
    else:
        parent.kill()
    _, errors = parent.communicate(timeout=60)
    while any(map(_is_running, workers)):
        time.sleep(0.01)
    if number == signal.SIGINT:
        assert (parent.returncode, errors) == (130, "stopped\n")


def test_workers_are_at_least_one() -> None:
    with pytest.raises(DatasetError, match="workers must be at least 1, not 0"):
        choose_executor(workers=0)
    chosen = choose_executor(workers=3)
    assert isinstance(chosen, Processes)
    assert chosen.workers == 3


def test_a_record_keeps_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    assert list(read_record_lines(path)) == []
    for number in range(2):
        writer = RecordWriter(path, "busy")
        writer.write({"number": number})
        writer.close()
        with path.open("ab") as file:
            file.write(b'{"number": 7')  # a kill
    assert list(read_record_lines(path)) == [{"number": 0}, {"number": 1}]
