"""How many processes read for a run, and how far ahead: what its settings say, else what the machine has."""

from __future__ import annotations

import os

from accelerate import PartialState
from accelerate.utils import gather_object

from datasets_scripts.execution.executor import usable_cores

from ..recipe import DataSettings

# Each holds batches and, of a stream, a buffer of videos in memory: a process with very many cores does not take all.
_MOST = 8
# Batches that are ready or under way, in all workers of a process.
_BATCHES = 16


def choose_workers(settings: DataSettings) -> int:
    """How many workers a loader of this process has.

    Where a stream is read on several machines it is the smallest number that one of them would take, since the order of
    an epoch is made for as many on each: a call that all processes make.

    Args:
        settings: A number, or None to choose by the cores.
    """
    if settings.num_workers is not None:
        return settings.num_workers
    state = PartialState()
    # Launchers tell how many processes are on this machine; without them all are taken to be here.
    here = min(int(os.environ.get("LOCAL_WORLD_SIZE", state.num_processes)), state.num_processes)
    workers = workers_for(usable_cores(), here, on_cpu=state.device.type == "cpu")
    return smallest_of_all(workers) if settings.streaming and here < state.num_processes else workers


def smallest_of_all(number: int) -> int:
    """The smallest number that any process has; all of them make this call."""
    return int(min(gather_object([number])))


def workers_for(cores: int, processes: int, *, on_cpu: bool) -> int:
    """How many workers each of several processes of a machine has.

    Args:
        cores: Of the machine, or as many of them as the process may use.
        processes: On this machine, each of which keeps a core for itself.
        on_cpu: Whether the model computes on the same cores; then half of them are left to it.

    Example:
        >>> workers_for(16, 1, on_cpu=False), workers_for(64, 8, on_cpu=False), workers_for(8, 1, on_cpu=True)
        (8, 7, 3)
    """
    free = cores // processes - 1
    return max(1, min(_MOST, free // 2 if on_cpu else free))


def batches_ahead(given: int | None, workers: int) -> int | None:
    """How many batches each worker reads ahead: as given, else 2 to 4, and less of many workers; None without any.

    Example:
        >>> [batches_ahead(None, workers) for workers in (0, 1, 4, 6, 8)]
        [None, 4, 4, 2, 2]
    """
    if workers == 0:
        return None
    return max(2, min(4, _BATCHES // workers)) if given is None else given
