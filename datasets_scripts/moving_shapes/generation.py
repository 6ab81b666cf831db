"""Fills a folder with MovingShapes videos and annotations: parallel, resumable, and never over other data.

The folder holds ``moving_shapes.json`` (the manifest: parameters and counts), ``annotations/<split>.jsonl`` (one
line a video, written when its videos are complete) and ``videos/<split>/<split>_<number>.mp4``.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
from tqdm.auto import tqdm

from datasets_scripts.errors import DatasetError
from datasets_scripts.execution.executor import usable_cores
from datasets_scripts.execution.orphans import end_with_parent
from datasets_scripts.moving_shapes.rendering import SIZE, is_complete_mp4, write_atomically, write_video
from datasets_scripts.moving_shapes.scenes import FPS, FRAMES, SPLITS, SplitName, VideoPlan, plan_split

MANIFEST = "moving_shapes.json"
# To be raised when equal parameters would no longer give equal videos.
GENERATOR_VERSION = 1

# Below this, starting processes costs more than it saves.
_PARALLEL_FROM = 64


@dataclass(frozen=True)
class GenerationSummary:
    """What :func:`generate` did.

    Args:
        folder: The data folder.
        seed: The seed of the data set.
        scenes: The smallest and the largest number of scenes a video.
        motion: Whether shapes move in a direction.
        plans: The videos of each split.
        written: How many videos were written now.
        kept: How many complete ones were there already.
        size: Bytes of all listed videos.
        seconds: How long it took.
    """

    folder: Path
    seed: int
    scenes: tuple[int, int]
    motion: bool
    plans: dict[SplitName, list[VideoPlan]]
    written: int
    kept: int
    size: int
    seconds: float


@dataclass(frozen=True)
class Manifest:
    """What a data folder holds, or is being filled with.

    Args:
        seed: The seed of the data set.
        scenes: The smallest and the largest number of scenes a video.
        splits: The number of videos of each split.
        motion: Whether shapes move in a direction.
    """

    seed: int
    scenes: tuple[int, int]
    splits: dict[SplitName, int]
    motion: bool = False

    def parameters(self) -> dict[str, Any]:
        """Everything that decides what a video looks like."""
        fixed = {"generator_version": GENERATOR_VERSION, "size": SIZE, "frames": FRAMES, "fps": FPS}
        # A folder without motion says nothing of it, as before there was any.
        return {"seed": self.seed, "scenes": list(self.scenes), **fixed, **({"motion": True} if self.motion else {})}


def generate(
    output_dir: str | os.PathLike[str],
    *,
    seed: int = 0,
    train: int = 1000,
    validation: int = 100,
    test: int = 200,
    scenes: tuple[int, int] = (2, 3),
    motion: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> GenerationSummary:
    """Write the videos and annotations of a MovingShapes data set.

    A second call with the same parameters writes only what is missing, so an interrupted run is resumed and
    counts can grow. Equal parameters give the same bytes on one machine; each video depends on
    ``(seed, split, number)`` and in the evaluation splits on the videos before it.

    Args:
        output_dir: The data folder, made if missing.
        seed: Any integer from 0.
        train: Number of training videos.
        validation: Number of validation videos.
        test: Number of test videos.
        scenes: Smallest and largest number of scenes a video, within 2 to 5. Questions are learned fastest
            with (2, 3); for retrieval (3, 4) leaves fewer videos that look alike.
        motion: Whether all that a scene shows moves left, right, up or down, 4 to 6 pixels a frame, instead of drifting
            by a few; the configuration ``motion_qa`` asks for it. The scenes are those without motion.
        workers: Number of processes; by default one a core.
        progress: Whether to show a progress bar.

    Raises:
        DatasetError: An option is out of range, the folder holds videos made with other parameters, or
            PyAV cannot encode H.264.
    """
    begin = time.perf_counter()
    counts: dict[SplitName, int] = {"train": train, "validation": validation, "test": test}
    _check_options(seed=seed, counts=counts, scenes=scenes, workers=workers)
    folder = Path(output_dir).resolve()
    manifest = Manifest(seed=seed, scenes=(scenes[0], scenes[1]), splits=counts, motion=motion)
    _claim(folder, manifest)
    plans = {
        split: plan_split(split=split, count=counts[split], seed=seed, scenes=manifest.scenes, motion=motion)
        for split in SPLITS
    }
    listed = [plan for split in SPLITS for plan in plans[split]]
    missing = [plan for plan in listed if not is_complete_mp4(folder / plan.file)]
    _write_videos(folder, missing, seed=seed, workers=workers or usable_cores(), progress=progress)
    for split in SPLITS:
        lines = "".join(json.dumps(plan.to_json()) + "\n" for plan in plans[split])
        write_atomically(annotation_file(folder, split), lines.encode())
    return GenerationSummary(
        folder=folder,
        seed=seed,
        scenes=manifest.scenes,
        motion=motion,
        plans=plans,
        written=len(missing),
        kept=len(listed) - len(missing),
        size=sum((folder / plan.file).stat().st_size for plan in listed),
        seconds=time.perf_counter() - begin,
    )


def _check_options(*, seed: int, counts: dict[SplitName, int], scenes: tuple[int, int], workers: int | None) -> None:
    if seed < 0:
        raise DatasetError(f"seed must be at least 0, not {seed}")
    for split, count in counts.items():
        if not 0 <= count <= 99_999:
            raise DatasetError(f"{split} must be a number of videos from 0 to 99999, not {count}")
    if not any(counts.values()):
        raise DatasetError("train, validation and test are all 0: nothing to generate")
    if len(scenes) != 2 or not 2 <= scenes[0] <= scenes[1] <= 5:
        raise DatasetError(f"scenes must be (smallest, largest) within 2 to 5, not {scenes}")
    if workers is not None and workers < 1:
        raise DatasetError(f"workers must be at least 1, not {workers}")
    if "libx264" not in av.codecs_available:
        raise DatasetError("MovingShapes needs the encoder libx264, which the installed PyAV lacks")


def _claim(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, unless the folder belongs to other data."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise DatasetError(f"the data folder {folder} cannot be made: a file of that name exists") from error
    # Manifest first, folders after: a process that fills the same folder at the same time must never see
    # the videos of another without their manifest.
    filled = (folder / "videos").exists()
    existing = find_manifest(folder)
    if existing is None and filled:
        raise DatasetError(f"{folder} holds a folder 'videos' but no {MANIFEST}: choose another folder")
    if existing is not None:
        _check_same(folder, _read_json(folder / MANIFEST)["parameters"], manifest.parameters())
    if existing != manifest:
        content = {"data_set": "moving_shapes", "parameters": manifest.parameters(), "splits": manifest.splits}
        write_atomically(folder / MANIFEST, (json.dumps(content, indent=2) + "\n").encode())
    for split in SPLITS:
        (folder / "videos" / split).mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)


def _check_same(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    names = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    if names:
        there = ", ".join(f"{name} {found.get(name)}" for name in names)
        asked = ", ".join(f"{name} {wanted.get(name)}" for name in names)
        raise DatasetError(
            f"{folder} holds videos made with {there}, but {asked} was asked for: "
            "choose another folder or delete this one"
        )


def _write_videos(folder: Path, plans: list[VideoPlan], *, seed: int, workers: int, progress: bool) -> None:
    work = partial(_write_one, folder, seed)
    bar = partial(tqdm, total=len(plans), desc="videos", unit="video", disable=not progress or not plans)
    if workers == 1 or len(plans) < _PARALLEL_FROM:
        for _ in bar(map(work, plans)):
            pass
        return
    # On Linux a fork starts at once; a spawned process would import the caller's main module again. The
    # workers use only NumPy and PyAV, so no thread pool of the parent is touched.
    method = "fork" if sys.platform == "linux" else None
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
        for _ in bar(pool.map(work, plans, chunksize=8)):
            pass


def _write_one(folder: Path, seed: int, plan: VideoPlan) -> None:
    write_video(folder / plan.file, plan, seed=seed)


# --- Reading a folder back ---


def annotation_file(folder: Path, split: SplitName) -> Path:
    """Where the annotations of a split lie."""
    return folder / "annotations" / f"{split}.jsonl"


def find_manifest(folder: Path) -> Manifest | None:
    """The manifest of a data folder, or None if it has none.

    Raises:
        DatasetError: The file is not a manifest of this data set.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    content = _read_json(path)
    try:
        parameters = content["parameters"]
        smallest, largest = parameters["scenes"]
        splits: dict[SplitName, int] = {split: int(content["splits"][split]) for split in SPLITS}
        motion = bool(parameters.get("motion", False))
        return Manifest(seed=int(parameters["seed"]), scenes=(smallest, largest), splits=splits, motion=motion)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} is not a manifest of MovingShapes: {error!r}") from error


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a data folder.

    Raises:
        DatasetError: There is none, or it is not one of this data set.
    """
    manifest = find_manifest(folder)
    if manifest is None:
        raise DatasetError(f"{folder} has no {MANIFEST}: generate the data set there first")
    return manifest


def read_plans(folder: Path, split: SplitName) -> list[VideoPlan]:
    """What each video of a split shows and when.

    Raises:
        DatasetError: Annotations or videos are missing or damaged.
    """
    path = annotation_file(folder, split)
    manifest = read_manifest(folder)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if len(lines) != manifest.splits[split]:
        raise DatasetError(
            f"{path} lists {len(lines)} videos instead of {manifest.splits[split]}: "
            "generating was interrupted; do it again to complete it"
        )
    plans = []
    for number, line in enumerate(lines, start=1):
        try:
            plans.append(VideoPlan.from_json(json.loads(line)))
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{path}, line {number}, is not an annotation: {error!r}") from error
    missing = [plan.file for plan in plans if not (folder / plan.file).is_file()]
    if missing:
        raise DatasetError(f"{len(missing)} videos are missing in {folder}, the first is {missing[0]}")
    return plans


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path} must hold a JSON object, not {type(content).__name__}")
    return content
