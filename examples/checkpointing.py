"""Checkpoints of a training run: written whole or not at all, found again, pruned.

``<output_dir>/checkpoints/step_00000120`` holds the complete state after 120 steps: what accelerate saves (model,
optimizer, loss scaler, random number generators of each process) and what is registered with it. A folder gets its
name when everything is in it, so whatever is interrupted leaves the earlier checkpoints as they were.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from accelerate import Accelerator

from clipbert_hf import ClipBertError

_NAME = re.compile(r"step_(\d+)")


class CheckpointError(ClipBertError):
    """There is no such checkpoint, or it does not hold what it should."""


def checkpoint_folder(output_dir: str | Path) -> Path:
    """Where the checkpoints of a run are."""
    return Path(output_dir) / "checkpoints"


def checkpoint_path(output_dir: str | Path, step: int) -> Path:
    """The checkpoint after a number of steps."""
    return checkpoint_folder(output_dir) / f"step_{step:08d}"


def complete_steps(output_dir: str | Path) -> list[int]:
    """The steps after which there is a complete checkpoint, in order."""
    folder = checkpoint_folder(output_dir)
    if not folder.is_dir():
        return []
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir() if path.is_dir())
    return sorted(int(match[1]) for match in matches if match)


def save_checkpoint(
    accelerator: Accelerator, output_dir: str | Path, step: int, *, keep_last: int, keep: Collection[int] = ()
) -> Path:
    """Save the state of a run, all processes together, and then remove what is not kept.

    Args:
        accelerator: Knows model, optimizer and whatever else was registered.
        output_dir: The run's folder.
        step: Steps done so far.
        keep_last: How many of the latest checkpoints to keep.
        keep: Steps whose checkpoints are kept in any case.

    Returns:
        The checkpoint.
    """
    final = checkpoint_path(output_dir, step)
    unfinished = final.with_name(f".unfinished_{final.name}")
    if accelerator.is_main_process:
        shutil.rmtree(unfinished, ignore_errors=True)
    accelerator.wait_for_everyone()
    # safetensors would drop the second name of tied weights, with a warning each time.
    accelerator.save_state(str(unfinished), safe_serialization=False)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(final, ignore_errors=True)  # a resumed run may come by the same step again
        os.replace(unfinished, final)
        steps = complete_steps(output_dir)
        for old in set(steps) - set(steps[-max(keep_last, 1) :]) - set(keep):
            shutil.rmtree(checkpoint_path(output_dir, old), ignore_errors=True)
    accelerator.wait_for_everyone()
    return final


def find_checkpoint(output_dir: str | Path, wanted: str) -> Path | None:
    """Find the checkpoint to resume from.

    Args:
        output_dir: The run's folder.
        wanted: A checkpoint's folder, or ``"last"``.

    Returns:
        The folder; None for ``"last"`` where the run has not saved one yet, so that the same command starts a run
        and continues it.

    Raises:
        CheckpointError: If there is no such folder.
    """
    if wanted == "last":
        steps = complete_steps(output_dir)
        return checkpoint_path(output_dir, steps[-1]) if steps else None
    path = Path(wanted)
    if not _NAME.fullmatch(path.name) or not path.is_dir():
        there = [str(checkpoint_path(output_dir, step)) for step in complete_steps(output_dir)]
        raise CheckpointError(
            f"resume_from_checkpoint must be last or a folder named step_…; got {wanted}; "
            f"checkpoints of this run: {', '.join(there) or 'none'}"
        )
    return path


def load_checkpoint(accelerator: Accelerator, path: Path) -> None:
    """Restore everything that :func:`save_checkpoint` saved.

    Raises:
        CheckpointError: If a file is missing or damaged, or belongs to another model.
    """
    # accelerate passes over random states that it cannot read, and the run would not continue exactly.
    random_states = path / f"random_states_{accelerator.process_index}.pkl"
    if not random_states.is_file():
        raise CheckpointError(
            f"{path} has no random state of process {accelerator.process_index}: "
            f"resume with as many processes as saved it"
        )
    try:
        accelerator.load_state(str(path))
    except Exception as error:  # whatever unpickling and load_state_dict raise
        raise CheckpointError(f"cannot resume from {path}: {type(error).__name__}: {error}") from error
