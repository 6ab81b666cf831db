"""The rows of a run: data sets by name, several joined to one, and the splits that a task cannot do without."""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import DatasetDict

from datasets_scripts import load
from datasets_scripts.loading import LOADERS as ANNOTATED
from datasets_scripts.moving_shapes import load_moving_shapes

from ..recipe import DataSettings, DataSource, RecipeError, ScriptSettings
from ..recipe_parsing import check_keys

Row = dict[str, Any]
Splits = dict[str, list[Row]]

# What the rows of each task cannot do without.
_COLUMNS = {"pretraining": "caption", "retrieval": "caption", "qa": "question", "multiple_choice": "options"}


def _load_annotated(name: str, config: str, data_dir: str, **options: Any) -> DatasetDict:
    """Load a data set of annotation files; the folder of its videos or images is among the options."""
    splits = load(name, config, annotation_dir=data_dir, **options)
    # ActivityNet Captions publishes two validation splits and no test; the paper reports the first.
    return DatasetDict({{"val1": "test"}.get(split, split): rows for split, rows in splits.items()})


# A loader takes the configuration (qa, retrieval, multiple_choice, pretraining), the data folder and options of its
# own, and returns the splits train, validation and test, as far as they exist, in the project's row schemas.
LOADERS: dict[str, Callable[..., DatasetDict]] = {
    "moving_shapes": load_moving_shapes,
    **{name: partial(_load_annotated, name) for name in ANNOTATED},
}


def load_task_splits(settings: ScriptSettings, task: str) -> Splits:
    """Load the data of a run, and check that the splits are there that its settings ask for.

    Args:
        settings: Which data, whether the run trains, and whether a metric chooses its best checkpoint.
        task: ``pretraining``, ``qa``, ``multiple_choice`` or ``retrieval``; also the configuration of a data set that
            names none.

    Returns:
        The rows of each split, as :func:`load_splits` does; without a training split, ``train`` has no rows.

    Raises:
        RecipeError: If rows are those of another task or their text is blank, or there is something to train but no
            split for it, or ``best_metric`` and no split for that.
    """
    config = settings.dataset_config or task
    splits = load_splits(settings, config)
    _check_rows(splits, task, _described(settings, config))
    if settings.validation_rows is not None and "validation" in splits:
        splits["validation"] = some_videos(splits["validation"], settings.validation_rows, settings.seed)
    if not settings.trains:
        return {"train": [], **splits}
    has = f"{_described(settings, config)} has {', '.join(splits)}"
    if "train" not in splits:
        stop = "epochs" if settings.max_steps is None else "max_steps"
        raise RecipeError(f"training needs a split 'train', and {has}; to evaluate only, give --{stop} 0")
    if "validation" not in splits:
        if settings.best_metric is not None:
            raise RecipeError(
                f"best_metric={settings.best_metric} chooses a checkpoint by the split 'validation', and {has}; to "
                "keep the latest weights, give --best_metric null"
            )
        if PartialState().is_main_process:
            sys.stderr.write(f"no split 'validation': {has}; the latest weights are kept\n")
    return splits


def some_videos(rows: list[Row], number: int, seed: int) -> list[Row]:
    """The rows of as many videos, drawn at random, as it takes for a number of rows; in their order.

    Args:
        rows: Of a split.
        number: How many are enough.
        seed: Of the draw.
    """
    counts = Counter(row["video"] for row in rows)
    videos = list(counts)
    kept: set[str] = set()
    enough = 0
    for place in np.random.default_rng(seed).permutation(len(videos)):
        if enough >= number:
            break
        kept.add(videos[place])
        enough += counts[videos[place]]
    return [row for row in rows if row["video"] in kept]


def _check_rows(splits: Splits, task: str, described: str) -> None:
    """Check that rows are those of a task, and that their captions or questions are texts; options have their own."""
    column = _COLUMNS[task]
    for split, rows in splits.items():
        for row in rows:
            if column not in row:
                raise RecipeError(
                    f"{task} needs rows with {column!r}, and row {row['id']} of {described} has {', '.join(row)}; "
                    "dataset_config chooses other rows"
                )
            if column == "options":
                continue
            further = [("hard_negatives", text) for text in row.get("hard_negatives") or ()]
            for name, text in ((column, row[column]), *further):
                if not isinstance(text, str) or not text.strip():
                    raise RecipeError(
                        f"{task} needs rows whose {name!r} is a text that is not blank, and row {row['id']} of the "
                        f"split {split!r} of {described} has {text!r}"
                    )


def _described(data: DataSettings, config: str) -> str:
    sources = [data, *data.more_data]
    names = [f"{source.dataset} ({source.dataset_config or config}) in {source.data_dir}" for source in sources]
    return f"data set {' with '.join(names)}"


def load_splits(settings: DataSettings, config: str) -> Splits:
    """Load a data set, or several as one.

    The rows of several have ``source``, the name of their data set, which also leads their ids.

    Args:
        settings: Which one, from where, and what to join to it.
        config: Which of its configurations, and of further data sets that name none.

    Returns:
        The rows of each split; a split without rows is not there.

    Raises:
        RecipeError: If there is no data set of that name, or a video to train on is for evaluation in another one.
    """
    first = load_source(settings, config)
    if not settings.more_data:
        return first
    parts = {settings.dataset: first}
    seen = Counter(parts.keys())
    for source in settings.more_data:
        seen[source.dataset] += 1
        number = seen[source.dataset]
        name = source.dataset if number == 1 else f"{source.dataset}.{number}"
        parts[name] = load_source(source, source.dataset_config or config)
    return _joined(parts)


def load_source(source: DataSource, config: str) -> Splits:
    """Load one data set; see :func:`load_splits`."""
    if source.dataset not in LOADERS:
        raise RecipeError(f"dataset must be one of {', '.join(sorted(LOADERS))}; got {source.dataset!r}")
    loader = LOADERS[source.dataset]
    if loader is load_moving_shapes:  # the others name the options that they have
        known = [*inspect.signature(loader).parameters][2:]
        check_keys(source.dataset_options, known, name="dataset_options")
    loaded = loader(config, source.data_dir, **source.dataset_options)
    splits = {name: split.to_list() for name, split in loaded.items() if len(split)}
    for row in (row for rows in splits.values() for row in rows):
        if "image" in row:
            row.setdefault("video", row["image"])  # an image is a video of one frame
        if row.get("people_answers"):
            row["people_answers"] = [*map(sys.intern, row["people_answers"])]  # millions, of which few differ
    return splits


def _joined(parts: Mapping[str, Splits]) -> Splits:
    """The splits of several data sets as one; ids are told apart by the data set, videos by their paths."""
    joined: Splits = {}
    trained: dict[str, set[str]] = {}
    for name, splits in parts.items():
        for split, rows in splits.items():
            for row in rows:
                row.update(id=f"{name}/{row['id']}", source=name)
                if split == "train":
                    trained.setdefault(row["video"], set()).add(name)
            joined.setdefault(split, []).extend(rows)
    for split in joined.keys() - {"train"}:
        for row in joined[split]:
            others = trained.get(row["video"], set()) - {row["source"]}
            if others:
                raise RecipeError(
                    f"{row['video']} is in the split 'train' of {min(others)} and in {split!r} of {row['source']}: "
                    "what is trained on cannot be evaluated on"
                )
    return joined
