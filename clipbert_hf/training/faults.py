"""What a run survives: being asked to stop, and videos that cannot be read.

SIGTERM is noted, and the run leaves when it next can without losing anything. Schedulers send it some seconds before
they take the machine away. All processes leave together, at the same step, whichever of them were told.

Of videos that cannot be read the loaders' workers only report; the loop decides whether they are an error or are
skipped, counted and named, so that the message is the same whatever the number of workers.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from accelerate import Accelerator
from accelerate.logging import get_logger
from accelerate.utils import gather_object

from ..errors import ClipBertError

KEY = "unreadable_videos"
logger = get_logger(__name__)


# --- Being asked to stop ---


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
    """Let a worker of a loader live on when its whole process group is told to stop.

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


# --- Videos that cannot be read ---


class UnreadableVideoError(ClipBertError):
    """A video cannot be read, and the recipe does not say that such videos are to be skipped."""


@dataclass(frozen=True)
class Unreadable:
    """A sample that could not be read.

    Args:
        video: The video as its row names it.
        reason: Why.
        ids: Ids of the rows.
    """

    video: str
    reason: str
    ids: list[Any]


class UnreadableVideos:
    """Counts them, over all processes of a run.

    Args:
        accelerator: Of the run.
        skip: Whether they are counted; otherwise the first one is an error.
        output_dir: Where ``unreadable_videos.json`` names those that were skipped, if there are any.
    """

    def __init__(self, accelerator: Accelerator, *, skip: bool, output_dir: str | Path = ".") -> None:
        self._accelerator, self._skip = accelerator, skip
        self._path = Path(output_dir) / "unreadable_videos.json"
        self._new: list[tuple[str, Unreadable]] = []  # of this process
        self._known: dict[str, dict[str, Any]] = {}  # of all processes

    def note(self, batch: Any, split: str) -> None:
        """Take notice of what the loader could not read for a batch.

        Args:
            batch: A batch of ``create_loader``; others report nothing.
            split: What it is a batch of.

        Raises:
            UnreadableVideoError: If videos are not to be skipped.
        """
        if not isinstance(batch, dict):
            return
        for entry in batch.get(KEY, ()):
            # The loader looked for another video to take its place and found none.
            hopeless = set(batch) == {KEY}
            if hopeless or not self._skip:
                raise UnreadableVideoError(
                    f"video {entry.video} of the split {split} cannot be read: {entry.reason}; ids of its rows: "
                    f"{entry.ids}. Replace it, leave it out, or give --on_unreadable_video skip"
                )
            self._new.append((split, entry))

    def gather(self) -> None:
        """Bring the processes' notes together, all at once, and write them down."""
        if not self._skip:
            return
        for split, entry in gather_object(self._new):
            known = self._known.setdefault(entry.video, {"reason": entry.reason, "ids": entry.ids, "times": {}})
            if not known["times"]:
                logger.warning("skipped a video of the split %s: %s: %s", split, entry.video, entry.reason)
            known["times"][split] = known["times"].get(split, 0) + 1
        self._new.clear()
        if self._known and self._accelerator.is_main_process:
            self._path.write_text(json.dumps(self._known, indent=1, default=str) + "\n", "utf-8")

    def counts(self) -> dict[str, int]:
        """How many videos of each split were skipped, as far as they were gathered; nothing where there were none."""
        splits = sorted({split for known in self._known.values() for split in known["times"]})
        return {f"{KEY}/{split}": sum(split in known["times"] for known in self._known.values()) for split in splits}

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return self._known

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self._known, self._new = state, []
