"""The flow of each task, a file each: settings, rows, processor, model, loaders, then training and test.

``clipbert train TASK`` and the scripts of ``examples/`` run them; each can be
copied and changed.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

TASKS = ("multiple_choice", "pretraining", "retrieval", "video_qa")


def run_task(task: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run the flow of a task.

    Args:
        task: One of :data:`TASKS`.
        arguments: A recipe, by its name or a YAML file, and ``--key value`` pairs.

    Returns:
        What it writes to results.json.
    """
    results: dict[str, Any] = importlib.import_module(f"{__name__}.{task}").main(arguments)
    return results
