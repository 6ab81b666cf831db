"""Work on many videos on the machines of a Ray cluster, of which each may go away.

Ray's own retries are off, and tasks are submitted again here: so the number of attempts is that of all executors, and a
video that brings its worker down is reported as failed, where Ray would raise an error for all.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from datasets_scripts.errors import DatasetError
from datasets_scripts.execution.executor import ATTEMPTS, LOST, Result, Work

# Machines may join while work is done; how many there are is asked again after so many seconds.
_ASK_AGAIN = 10.0
# Seconds until an address that does not answer is given up.
_PATIENCE = 10.0


class RayCluster:
    """A cluster with this package on each machine, and the folders of the data set at the same paths.

    Args:
        address: As ``ray.init`` takes it: ``auto``, ``host:6379``, ``ray://host:10001``, or ``local`` for a new one on
            this machine.
        workers: At most so many tasks at once, each of which takes a core; by default as many as there are.

    Raises:
        DatasetError: Ray is not installed.
    """

    def __init__(self, address: str, workers: int | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise DatasetError("--ray needs Ray: pip install 'clipbert_hf[cluster]'") from error
        self._ray, self.address, self.workers = ray, address, workers

    def run(self, do: Callable[[Work], Result | str], todo: Iterable[Work]) -> Iterator[tuple[Work, Result | str]]:
        """Do all work, and yield each result as it comes; see :class:`datasets_scripts.execution.executor.Executor`.

        Raises:
            DatasetError: There is no cluster at the address, or its machines lack this package.
        """
        connects = not self._ray.is_initialized()
        if connects:
            self._connect()
        try:
            yield from self._run(do, todo)
        finally:
            if connects:
                self._ray.shutdown()  # ends what this run has under way

    def _connect(self) -> None:
        host, _, port = self.address.removeprefix("ray://").rpartition(":")
        try:
            if host and port.isdigit():  # Ray itself would wait for minutes
                socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
            self._ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise DatasetError(f"no Ray cluster answers at {self.address}: {error}") from error

    def _run(self, do: Callable[[Work], Result | str], todo: Iterable[Work]) -> Iterator[tuple[Work, Result | str]]:
        task = self._ray.remote(num_cpus=1, max_retries=0)(_apply)
        running: dict[Any, tuple[Work, int]] = {}
        waiting, most, asked = iter(todo), 0, -_ASK_AGAIN
        is_open = True
        while is_open or running:
            if time.monotonic() - asked > _ASK_AGAIN:
                most, asked = self._most(), time.monotonic()
            while is_open and len(running) < most:
                each = next(waiting, None)
                if each is None:
                    is_open = False
                else:
                    running[task.remote(do, each)] = each, 1
            done, _ = self._ray.wait(list(running), timeout=_ASK_AGAIN) if running else ([], [])
            for reference in done:
                each, attempt = running.pop(reference)
                is_lost, result = self._result(reference)
                if is_lost and attempt < ATTEMPTS:
                    running[task.remote(do, each)] = each, attempt + 1
                else:
                    yield each, LOST if is_lost else result

    def _most(self) -> int:
        """How many tasks are handed out at once: what is worked on, and as much again that waits beside it."""
        cores = int(self._ray.cluster_resources().get("CPU", 0))
        return 2 * max(cores, 1) if self.workers is None else self.workers

    def _result(self, reference: Any) -> tuple[bool, Any]:
        """Whether the worker or its result was lost; the result."""
        errors = self._ray.exceptions
        try:
            return False, self._ray.get(reference)
        except errors.RayTaskError as error:
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, (ImportError, errors.RaySystemError)):
                raise DatasetError(
                    f"a machine of the Ray cluster at {self.address} cannot import what it is to do; clipbert_hf is to "
                    f"be installed on each of them: {str(cause).splitlines()[0]}"
                ) from error
            raise cause from error
        except (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.LocalRayletDiedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,  # it was done, and went with its machine before it was fetched
        ):
            return True, None


def _apply(function: Callable[[Any], Any], each: Any) -> Any:
    return function(each)
