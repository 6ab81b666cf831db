"""Checkpoints of a training run: written whole or not at all, checked before use, pruned.

``<output_dir>/checkpoints/step_00000120`` holds the complete state after 120 steps: what accelerate saves (model,
optimizer, loss scaler, random number generators of each process), and in ``state.json`` what the loop knows. A folder
gets its name when everything in it has reached the disk, so whatever is interrupted leaves the earlier checkpoints as
they were; and a list of its files with their sizes and SHA-256, written last, finds out before it is used one that has
been damaged since: what a power cut or a full disk leaves behind has another name, or differs from the list.
All processes, also of several machines, must see the same folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.logging import get_logger
from torch.utils.data import DataLoader

from ..errors import ClipBertError
from .recipe import LoopSettings, fixed_settings

_NAME = re.compile(r"step_(\d+)")
_STATE = "state.json"
_LIST = "files.json"
logger = get_logger(__name__)


class CheckpointError(ClipBertError):
    """A checkpoint cannot be written, does not exist, or does not hold what it should."""


def checkpoint_folder(output_dir: str | Path) -> Path:
    """Where the checkpoints of a run are."""
    return Path(output_dir) / "checkpoints"


def checkpoint_path(output_dir: str | Path, step: int) -> Path:
    """The checkpoint after a number of steps."""
    return checkpoint_folder(output_dir) / f"step_{step:08d}"


def complete_steps(output_dir: str | Path) -> list[int]:
    """The steps after which a checkpoint was completed, in order."""
    folder = checkpoint_folder(output_dir)
    if not folder.is_dir():
        return []
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir() if path.is_dir())
    return sorted(int(match[1]) for match in matches if match)


def save_checkpoint(
    accelerator: Accelerator,
    output_dir: str | Path,
    step: int,
    state: dict[str, Any],
    *,
    keep_last: int,
    keep: Collection[int] = (),
) -> Path:
    """Save the state of a run, all processes together, and then remove what is not kept.

    Args:
        accelerator: Knows the model and the optimizer.
        output_dir: The run's folder.
        step: Steps done so far.
        state: What else is to be restored, as JSON takes it; that of the main process is saved.
        keep_last: How many of the latest checkpoints to keep.
        keep: Steps whose checkpoints are kept in any case.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: If it cannot be written. Earlier ones are as they were.
    """
    final = checkpoint_path(output_dir, step)
    unfinished = final.with_name(f".unfinished_{final.name}")
    if accelerator.is_main_process:
        _remove_leftovers(output_dir)
    accelerator.wait_for_everyone()
    try:
        # safetensors would drop the second name of tied weights, with a warning each time.
        accelerator.save_state(str(unfinished), safe_serialization=False)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (unfinished / _STATE).write_text(json.dumps(state) + "\n", "utf-8")
            seal(unfinished, final)
    except (OSError, RuntimeError) as error:  # PyTorch reports a full disk as a RuntimeError
        raise _cannot_write(final, unfinished, error) from error
    if accelerator.is_main_process:
        steps = complete_steps(output_dir)
        for old in set(steps) - set(steps[-max(keep_last, 1) :]) - set(keep):
            shutil.rmtree(checkpoint_path(output_dir, old), ignore_errors=True)
    accelerator.wait_for_everyone()
    return final


def _remove_leftovers(output_dir: str | Path) -> None:
    """Remove what runs that were killed while they wrote have left behind."""
    for pattern in (".unfinished_*", ".outdated_*"):
        for folder in checkpoint_folder(output_dir).glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)


def _cannot_write(final: Path, unfinished: Path, error: Exception) -> CheckpointError:
    free = shutil.disk_usage(next(path for path in final.parents if path.exists())).free
    shutil.rmtree(unfinished, ignore_errors=True)
    steps = complete_steps(final.parents[1])
    last = (
        f"the last good one is {checkpoint_path(final.parents[1], steps[-1])}" if steps else "there is none before it"
    )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return CheckpointError(
        f"cannot write checkpoint {final} with {free / 2**20:.1f} MiB free on its disk: {reason}; {last}, and "
        f"resume_from_checkpoint=last goes on from there"
    )


def find_checkpoint(output_dir: str | Path, wanted: str) -> Path | None:
    """Find the checkpoint to resume from, and make sure that it is undamaged.

    Args:
        output_dir: The run's folder.
        wanted: A checkpoint's folder, or ``"last"``, the latest one that is undamaged.

    Returns:
        The folder; None for ``"last"`` where the run has not saved one yet, so that the same command starts a run
        and continues it.

    Raises:
        CheckpointError: If there is no such folder, or it or all of them are damaged.
    """
    if wanted == "last":
        return _last_undamaged([checkpoint_path(output_dir, step) for step in complete_steps(output_dir)])
    path = Path(wanted)
    if not _NAME.fullmatch(path.name) or not path.is_dir():
        there = [str(checkpoint_path(output_dir, step)) for step in complete_steps(output_dir)]
        raise CheckpointError(
            f"resume_from_checkpoint must be last or a folder named step_…; got {wanted}; "
            f"checkpoints of this run: {', '.join(there) or 'none'}"
        )
    reason = damage(path)
    if reason is not None:
        raise CheckpointError(f"checkpoint {path} is damaged: {reason}; resume_from_checkpoint=last takes another")
    return path


def _last_undamaged(paths: list[Path]) -> Path | None:
    reasons = []
    for path in reversed(paths):
        reason = damage(path)
        if reason is None:
            return path
        reasons.append(f"{path}: {reason}")
        logger.warning("checkpoint %s is damaged (%s); looking for an earlier one", path, reason)
    if reasons:
        raise CheckpointError(f"all checkpoints are damaged: {'; '.join(reasons)}")
    return None


# --- What it depends on that a resumed run ends as it would have ---


def resume_conditions(settings: LoopSettings, processes: int, loader: DataLoader[Any]) -> dict[str, Any]:
    """What must be the same when a run is resumed, for it to end with the same weights.

    Args:
        settings: All settings count that are not marked with ``may_change``.
        processes: How many train together.
        loader: Of the training split; its data set may have a ``fingerprint()``, else its length counts.

    Returns:
        Values by name, as JSON gives them back.
    """
    data: Any = loader.dataset
    known = data.fingerprint() if hasattr(data, "fingerprint") else f"{len(data)} samples"
    return json.loads(json.dumps({**fixed_settings(settings), "processes": processes, "training data": known}))


def check_conditions(path: Path, saved: dict[str, Any] | None, now: dict[str, Any]) -> None:
    """Compare the conditions under which a checkpoint was saved with those of the run that is to continue it.

    Args:
        path: The checkpoint.
        saved: Its conditions.
        now: Those of this run.

    Raises:
        CheckpointError: If they differ; the message names each difference with both values.
    """
    if saved is None:
        raise CheckpointError(f"{path} was saved by an earlier version, which did not note its settings")
    missing = object()
    differing = [name for name in {**saved, **now} if saved.get(name, missing) != now.get(name, missing)]
    if differing:
        listed = "; ".join(f"{name}: {saved.get(name, 'none')} then, {now.get(name, 'none')} now" for name in differing)
        raise CheckpointError(
            f"{path} cannot be continued exactly under other settings: {listed}. Use those of then; or, to train on "
            "from what has been learned, give the result as start_from with another output_dir"
        )


def read_state(path: Path) -> dict[str, Any]:
    """The ``state`` that was given to :func:`save_checkpoint`.

    Raises:
        CheckpointError: If it cannot be read.
    """
    try:
        return json.loads((path / _STATE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot resume from {path}: {type(error).__name__}: {error}") from error


def load_checkpoint(accelerator: Accelerator, path: Path) -> dict[str, Any]:
    """Restore what :func:`save_checkpoint` saved.

    Args:
        accelerator: The model and the optimizer are prepared.
        path: The checkpoint.

    Returns:
        The ``state`` that was given to :func:`save_checkpoint`.

    Raises:
        CheckpointError: If a file is missing, or belongs to another model.
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
    return read_state(path)


# --- Folders that can tell whether they are what was written ---


def seal(unfinished: Path, final: Path) -> None:
    """List what is in a folder, force it to the disk and give it its name; an older folder of that name goes.

    Args:
        unfinished: A folder of files and folders, complete.
        final: Its name from now on, in the same folder.

    Raises:
        OSError: If something cannot be written; then ``final`` does not exist, or is as it was.
    """
    files = {str(path.relative_to(unfinished)): path for path in sorted(unfinished.rglob("*")) if path.is_file()}
    listing = {name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for name, path in files.items()}
    (unfinished / _LIST).write_text(json.dumps(listing, indent=1) + "\n", "utf-8")
    for path in [*unfinished.rglob("*"), unfinished]:
        _to_disk(path)
    outdated = final.with_name(f".outdated_{final.name}")
    shutil.rmtree(outdated, ignore_errors=True)
    if final.exists():  # a resumed run may come by the same step again
        os.replace(final, outdated)
    os.replace(unfinished, final)
    _to_disk(final.parent)
    shutil.rmtree(outdated, ignore_errors=True)


def damage(folder: Path) -> str | None:
    """Compare a sealed folder with its list of files.

    Args:
        folder: What :func:`seal` named.

    Returns:
        What is wrong with it; None if nothing is.
    """
    try:
        listing = json.loads((folder / _LIST).read_text("utf-8"))
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in listing.items()}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        return f"{_LIST} cannot be read ({type(error).__name__}: {error})"
    for name, (size, digest) in expected.items():
        path = folder / name
        try:
            if path.stat().st_size != size:
                return f"{name} has {path.stat().st_size} bytes instead of {size}"
            if _sha256(path) != digest:
                return f"the content of {name} has changed"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _to_disk(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":  # Windows has no such thing for folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
