"""A run that can be killed without paying for its imports each time: imported by multiprocessing's fork server."""

from __future__ import annotations

import multiprocessing
import os
import sys

import run_video_qa
import torch
from experiment import run_script


def start(arguments: list[str], log: str) -> None:
    """Run the script in a session of its own, with its output in a file."""
    os.setsid()
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w")
    torch.set_num_threads(1)
    # As in a run from the command line; a child of the fork server would have it start its loaders' workers too.
    multiprocessing.set_start_method("fork", force=True)
    run_script(lambda: run_video_qa.main(arguments))
