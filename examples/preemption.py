"""Being asked to stop: SIGTERM is noted, and the run leaves when it next can without losing anything.

Schedulers send SIGTERM some seconds before they take the machine away. All processes leave together, at the same
step, whichever of them were told.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from accelerate import Accelerator

from clipbert_hf import ClipBertError


class PreemptedError(ClipBertError):
    """The run was asked to stop. What it needs to go on is saved."""


class StopRequest:
    """Notes SIGTERM while it is entered.

    Args:
        accelerator: Of the run.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._received = False
        self._before: Any = None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python takes no handlers
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *details: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def __call__(self) -> bool:
        """Whether any process was told to stop; all processes ask together and get the same answer."""
        if self._accelerator.num_processes == 1:
            return self._received
        if self._received:
            self._accelerator.set_trigger()
        return bool(self._accelerator.check_trigger())

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = True


def never_stop() -> bool:
    """The answer where nobody can ask."""
    return False


def ignore_termination(worker: int) -> None:
    """Let a worker of a loader live on when its whole process group is told to stop: ``worker_init_fn``.

    The training process needs its workers until it has saved; it ends them itself, also by SIGTERM, so a worker obeys
    the one that started it and nobody else.

    Args:
        worker: Its number.
    """
    if not hasattr(signal, "sigwaitinfo"):  # macOS, Windows: workers end, and the run with an error
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey_parent, name="termination", daemon=True).start()


def _obey_parent() -> None:
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == os.getppid():
            os._exit(0)
