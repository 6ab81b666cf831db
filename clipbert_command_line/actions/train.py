"""Training in this process, or in several that ``accelerate launch`` starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from ..errors import CommandError


def train(
    task: str, settings: Sequence[str], *, processes: int | None, accelerate_config: Path | None, verbose: bool
) -> None:
    """Run the flow of a task.

    Args:
        task: One of :data:`clipbert_hf.training.scripts.TASKS`.
        settings: A recipe and ``--key value``.
        processes: How many; None: as the configuration says, or one.
        accelerate_config: A file of ``accelerate config``.
        verbose: Whether errors show their trace.
    """
    if accelerate_config is not None or (processes or 1) > 1:
        _launch(["train", task, *settings, *(["--verbose"] if verbose else [])], processes, accelerate_config)
        return
    from clipbert_hf.training import PreemptedError
    from clipbert_hf.training.scripts import run_task

    try:
        run_task(task, settings)
    except PreemptedError as error:  # it did what it was asked for
        sys.stderr.write(f"{error}\n")


def _launch(command: list[str], processes: int | None, config: Path | None) -> None:
    """``accelerate launch`` of this command line.

    Raises:
        typer.Exit: With the status of the process that failed.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.utils.logging import get_logger

    get_logger("torch.distributed.elastic").setLevel("CRITICAL")  # the processes tell by themselves what is wrong
    chosen = [] if processes is None else ["--num_processes", str(processes)]
    if config is not None:
        if not config.is_file():
            raise CommandError(f"--accelerate_config {config}: there is no such file")
        chosen += ["--config_file", str(config)]
    else:
        chosen += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", *_devices()]
    try:
        launch_command(launch_command_parser().parse_args([*chosen, "--module", "clipbert_command_line", *command]))
    except subprocess.CalledProcessError as error:
        raise typer.Exit(error.returncode) from error
    except ChildFailedError as error:
        raise typer.Exit(error.get_first_failure()[1].exitcode) from error
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from error
        raise typer.Exit(128 + error.sigval) from error


def _devices() -> list[str]:
    """What makes accelerate start several processes: a GPU each, or on the CPU where there is none."""
    import torch

    if not torch.cuda.is_available():
        os.environ["ACCELERATE_USE_CPU"] = "true"  # with --cpu accelerate starts one process, whatever the number
    return ["--multi_gpu", "--main_process_port", "0"]
