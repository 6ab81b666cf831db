"""Workers that outlive nobody."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import Connection, wait
from typing import Any


def end_with_parent(*others: Connection) -> None:
    """Make this process end when its parent is killed; by itself a worker would wait for work forever.

    Args:
        others: It ends also when one of these has something to read, or is closed.
    """
    parent = multiprocessing.parent_process()
    watched: list[Any] = [*others, *([] if parent is None else [parent.sentinel])]
    if not watched:
        return

    def watch() -> None:
        wait(watched)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
