"""What does work by the video, and how a command chooses it.

The function that is done to each video is the same everywhere. Where a worker is lost (a crash of a decoder, no memory,
a machine that is gone) the video is tried again, and after :data:`ATTEMPTS` it is reported as failed; all others are
done. Results are yielded to the caller, which alone commits them: each once, in whatever order they come.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from datasets_scripts.errors import DatasetError

Work = TypeVar("Work")
Result = TypeVar("Result")

ATTEMPTS = 3
LOST = f"the worker that read it was lost, {ATTEMPTS} times (a crash of a decoder, no memory, or its machine is gone)"


class Executor(Protocol):
    """Does work in some other place."""

    def run(self, do: Callable[[Work], Result | str], todo: Iterable[Work]) -> Iterator[tuple[Work, Result | str]]:
        """Do all work, and yield each result as it comes; a caller that stops early stops the work too.

        Args:
            do: A function that other processes can import, and that may be done twice to the same work.
            todo: What to do it to; taken as workers become free.

        Yields:
            The work and its result; a text where it failed, which for lost workers is :data:`LOST`.

        Raises:
            Exception: What ``do`` raises ends everything.
        """
        ...


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_executor(
    ray: str | None = None, workers: int | None = None, *, per_core: int = 1, preload: Sequence[str] = ()
) -> Executor:
    """The executor that a command was asked for.

    Args:
        ray: The address of a Ray cluster; None for processes of this machine.
        workers: At most so many at once.
        per_core: How many there are on this machine by default, more than one where they wait for the disk.
        preload: See :class:`datasets_scripts.execution.processes.Processes`.

    Raises:
        DatasetError: The number of workers is out of range, or Ray is not installed.
    """
    if workers is not None and workers < 1:
        raise DatasetError(f"workers must be at least 1, not {workers}")
    if ray is not None:
        from datasets_scripts.execution.ray_cluster import RayCluster

        return RayCluster(ray, workers)
    from datasets_scripts.execution.processes import Processes

    return Processes(workers or per_core * usable_cores(), preload)


def add_execution(parser: argparse.ArgumentParser, *, default: str = "one a core") -> None:
    """Add the arguments that say where the work is done."""
    parser.add_argument("--workers", type=int, help=f"number of processes (by default {default}, or all of a cluster)")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="do the work on this Ray cluster, such as auto or ray-head:6379; folders lie at the same paths on each "
        "machine (needs the extra cluster)",
    )
