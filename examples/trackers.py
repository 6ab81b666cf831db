"""Trackers: where the curves of a run go, and how a resumed run goes on with them.

Each works without network and account, in the output folder: ``curves/`` (TensorBoard), ``trackio/``, ``wandb/``. A run
that resumes after step n keeps its points up to n and draws the later ones anew, so that no curve has a step twice.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from checkpointing import complete_steps, find_checkpoint
from recipe import LoopSettings, RecipeError
from wandb_parts import cut_offline_parts

from clipbert_hf import ClipBertError

_PROJECT = "clipbert_hf"


class TrackerError(ClipBertError):
    """What an earlier part of a run has drawn cannot be continued."""


def installed_tracker(name: str) -> str | None:
    """What accelerate takes as ``log_with``: the tracker, or None for ``"none"``.

    Raises:
        RecipeError: If the tracker's package is missing, which accelerate only warns of.
    """
    if name == "none":
        return None
    if name not in [str(tracker) for tracker in get_available_trackers()]:
        raise RecipeError(f"tracker={name} needs a package that is not installed: pip install {name}")
    return name


def start_tracker(accelerator: Accelerator, recipe: LoopSettings) -> None:
    """Start the tracker of a run in the main process, with all settings as its configuration.

    Args:
        accelerator: Made with ``log_with=installed_tracker(recipe.tracker)``.
        recipe: The settings; the output folder exists.

    Raises:
        CheckpointError: If there is no such checkpoint to resume from.
        TrackerError: If what an earlier part of the run has left cannot be continued.
    """
    if recipe.tracker == "none" or not accelerator.is_main_process:
        return
    output, step = Path(recipe.output_dir).resolve(), last_step_kept(recipe)
    settings = flatten(dataclasses.asdict(recipe))
    if recipe.tracker == "tensorboard":
        _start_tensorboard(accelerator, output, step, settings)
        return
    run_id = read_run_id(output, anew=recipe.resume_from_checkpoint is None and step == 0)
    start = _start_trackio if recipe.tracker == "trackio" else _start_wandb
    start(accelerator, output, step, settings, run_id)


def last_step_kept(recipe: LoopSettings) -> int:
    """The step after which a run draws: that of the checkpoint it resumes from, or 0."""
    if recipe.resume_from_checkpoint is None:
        # Where there are checkpoints the loop refuses to train, so nothing of theirs is to be dropped.
        return max(complete_steps(recipe.output_dir), default=0)
    path = find_checkpoint(recipe.output_dir, recipe.resume_from_checkpoint)
    return 0 if path is None else int(path.name.removeprefix("step_"))


def flatten(settings: Mapping[str, Any]) -> dict[str, bool | int | float | str | None]:
    """Settings as trackers take them: mappings become names with dots, as on the command line, and lists text.

    Example:
        >>> flatten({"seed": 1, "model": {"hidden_size": 32}, "frozen": ["cnn"], "processor": {}})
        {'seed': 1, 'model.hidden_size': 32, 'frozen': '["cnn"]', 'processor': '{}'}
    """
    flat: dict[str, bool | int | float | str | None] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{name}.{key}": inner for key, inner in flatten(value).items()}
        elif value is None or isinstance(value, bool | int | float | str):
            flat[name] = value
        else:
            flat[name] = json.dumps(value, default=str)
    return flat


def read_run_id(output: Path, *, anew: bool) -> str:
    """The name under which a service knows this run, kept in its folder.

    Args:
        output: The run's folder.
        anew: Whether a new run begins there.
    """
    path = output / "tracker_id"
    known = path.read_text("utf-8").strip() if path.is_file() and not anew else ""
    if known:
        return known
    made = uuid.uuid4().hex[:8]
    path.write_text(f"{made}\n", "utf-8")
    return made


def _start_tensorboard(accelerator: Accelerator, output: Path, step: int, settings: dict[str, Any]) -> None:
    # accelerate makes new folders for the settings at each start, which TensorBoard would show as so many runs.
    curves = output / "curves"
    for folder in curves.iterdir() if curves.is_dir() else ():
        if folder.is_dir():
            shutil.rmtree(folder)
    options = {"tensorboard": {"purge_step": step + 1}}
    accelerator.init_trackers(curves.name, config=settings, init_kwargs=options)


def _start_trackio(accelerator: Accelerator, output: Path, step: int, settings: dict[str, Any], run_id: str) -> None:
    folder, name = _import_trackio(output / "trackio"), f"{output.name}-{run_id}"
    database = folder / f"{_PROJECT}.db"
    if database.is_file():
        try:
            with closing(sqlite3.connect(database)) as connection, connection:
                connection.execute("DELETE FROM metrics WHERE run_name = ? AND step > ?", (name, step))
        except sqlite3.Error as error:
            raise TrackerError(f"cannot drop the points after step {step} from {database}: {error}") from error
    # Given afterwards, as accelerate would, the settings get a further one, allow_val_change.
    options = {"trackio": {"name": name, "resume": "allow", "config": settings}}
    accelerator.init_trackers(_PROJECT, init_kwargs=options)


def _import_trackio(default: Path) -> Path:
    """Import trackio, which on that occasion decides where it writes, and return the folder."""
    given = os.environ.get("TRACKIO_DIR")
    wanted = given or str(default)
    os.environ["TRACKIO_DIR"] = wanted
    from trackio.fragments import import_inbox_dir
    from trackio.utils import TRACKIO_DIR

    if given is None:
        del os.environ["TRACKIO_DIR"]
    if Path(wanted) != TRACKIO_DIR:
        raise TrackerError(
            f"trackio writes all runs of a process into one folder, here {TRACKIO_DIR}: start the run of "
            f"{default.parent} in a process of its own, or set TRACKIO_DIR"
        )
    import_inbox_dir()  # what it has not put into its database yet, as on network file systems
    return TRACKIO_DIR


def _start_wandb(accelerator: Accelerator, output: Path, step: int, settings: dict[str, Any], run_id: str) -> None:
    os.environ.setdefault("WANDB_MODE", "offline")
    cut_offline_parts(output / "wandb", run_id, step)
    options = {"wandb": {"id": run_id, "name": output.name, "dir": str(output), "resume": "allow"}}
    project = os.environ.get("WANDB_PROJECT", _PROJECT)
    accelerator.init_trackers(project, config=settings, init_kwargs=options)
