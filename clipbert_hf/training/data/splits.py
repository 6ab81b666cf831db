"""The rows of a run: data sets by name, several joined to one, and the splits that a task cannot do without."""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import DatasetDict

from datasets_scripts import load
from datasets_scripts.loading import LOADERS as ANNOTATED
from datasets_scripts.moving_shapes import load_moving_shapes

from ..recipe import DataSettings, DataSource, RecipeError, ScriptSettings
from ..recipe_parsing import build, check_keys
from .hub import HubOptions, load_hub
from .row_tables import Row
from .rows import Rows, as_rows, join_rows

Splits = dict[str, Rows]
HUB = "hub"  # the data set that is any other

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
    splits = load_splits(settings, config, needed=_COLUMNS[task])
    _check_rows(splits, task, _described(settings, config))
    if settings.validation_rows is not None and "validation" in splits:
        splits["validation"] = some_videos(splits["validation"], settings.validation_rows, settings.seed)
    if not settings.trains:
        return {"train": as_rows([]), **splits}
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


def some_videos(rows: Sequence[Row], number: int, seed: int) -> Rows:
    """The rows of as many videos, drawn at random, as it takes for a number of rows; in their order.

    Args:
        rows: Of a split.
        number: How many are enough.
        seed: Of the draw.
    """
    found = as_rows(rows)
    codes, videos = found.codes("video")
    drawn = np.random.default_rng(seed).permutation(len(videos))
    enough = np.cumsum(np.bincount(codes, minlength=len(videos))[drawn])  # rows of the first so many drawn
    kept = np.zeros(len(videos), dtype=bool)
    kept[drawn[: np.searchsorted(enough, number) + 1]] = True
    return found.select(np.flatnonzero(kept[codes]))


def _check_rows(splits: Splits, task: str, described: str) -> None:
    """Check that rows are those of a task, and that their captions or questions are texts; options have their own."""
    column = _COLUMNS[task]
    for split, rows in splits.items():
        row = rows.first_without(column)
        if row is not None:
            raise RecipeError(
                f"{task} needs rows with {column!r}, and row {row['id']} of {described} has {', '.join(row)}; "
                "dataset_config chooses other rows"
            )
        if column == "options":
            continue
        further = ["hard_negatives"] if rows.has("hard_negatives") else []
        for name in (column, *further):
            for place, value in enumerate(rows.values(name)):
                for text in (value or ()) if name == "hard_negatives" else (value,):
                    if not isinstance(text, str) or not text.strip():
                        raise RecipeError(
                            f"{task} needs rows whose {name!r} is a text that is not blank, and row "
                            f"{rows[place]['id']} of the split {split!r} of {described} has {text!r}"
                        )


def _described(data: DataSettings, config: str) -> str:
    sources = [data, *data.more_data]
    names = [f"{source.dataset} ({source.dataset_config or config}) in {source.data_dir}" for source in sources]
    return f"data set {' with '.join(names)}"


def load_splits(settings: DataSettings, config: str, *, needed: str | None = None) -> Splits:
    """Load a data set, or several as one.

    The rows of several have ``source``, the name of their data set, which also leads their ids.

    Args:
        settings: Which one, from where, and what to join to it.
        config: Which of its configurations, and of further data sets that name none.
        needed: A column that rows cannot do without.

    Returns:
        The rows of each split; a split without rows is not there.

    Raises:
        RecipeError: If there is no data set of that name, or a video to train on is for evaluation in another one.
    """
    if settings.streaming and HUB not in (settings.dataset, *(source.dataset for source in settings.more_data)):
        raise RecipeError(f"streaming is for dataset={HUB}: the files of {settings.dataset} lie on a disk")
    how: dict[str, Any] = {"needed": needed, "streaming": settings.streaming}
    first = load_source(settings, config, **how)
    if not settings.more_data:
        return first
    parts = {settings.dataset: first}
    seen = Counter(parts.keys())
    for source in settings.more_data:
        seen[source.dataset] += 1
        number = seen[source.dataset]
        name = source.dataset if number == 1 else f"{source.dataset}.{number}"
        parts[name] = load_source(source, source.dataset_config or config, **how)
    return _joined(parts)


def load_source(source: DataSource, config: str, *, needed: str | None = None, streaming: bool = False) -> Splits:
    """Load one data set; see :func:`load_splits`. Only ``hub`` can be streamed: the others lie on a disk."""
    splits = _loaded(source, config, needed, streaming)
    return {split: rows.numbered("video") for split, rows in splits.items()}


def _loaded(source: DataSource, config: str, needed: str | None, streaming: bool) -> Splits:
    if source.dataset == HUB:
        options = build(HubOptions, source.dataset_options, "dataset_options")
        config_given = source.dataset_config
        return load_hub(source.data_dir, config_given, options, wish=config, column=needed, streaming=streaming)
    if source.dataset not in LOADERS:
        raise RecipeError(f"dataset must be one of {', '.join(sorted([*LOADERS, HUB]))}; got {source.dataset!r}")
    loader = LOADERS[source.dataset]
    if loader is load_moving_shapes:  # the others name the options that they have
        known = [*inspect.signature(loader).parameters][2:]
        check_keys(source.dataset_options, known, name="dataset_options")
    loaded = loader(config, source.data_dir, **source.dataset_options)
    return {name: _with_videos(as_rows(split)) for name, split in loaded.items() if len(split)}


def _with_videos(rows: Rows) -> Rows:
    """Rows of images as rows of videos of one frame."""
    has_none = "image" in rows[0] and "video" not in rows[0]
    return rows.also_called("video", "image") if has_none else rows


def _joined(parts: Mapping[str, Splits]) -> Splits:
    """The splits of several data sets as one; ids are told apart by the data set, videos by their paths."""
    named = {name: {split: rows.named(name) for split, rows in splits.items()} for name, splits in parts.items()}
    _check_training_videos(named)
    every = dict.fromkeys(split for splits in named.values() for split in splits)
    return {split: join_rows([splits[split] for splits in named.values() if split in splits]) for split in every}


def _check_training_videos(parts: Mapping[str, Splits]) -> None:
    """Check that no video is for training in one data set and for evaluation in another."""
    trained: dict[str, str] = {}
    everywhere: dict[str, set[str]] = {}
    for name, splits in parts.items():
        for video in splits["train"].unique("video") if "train" in splits else ():
            first = trained.setdefault(video, name)
            if first != name:
                everywhere.setdefault(video, {first}).add(name)
    for name, splits in parts.items():
        for split in splits.keys() - {"train"}:
            for video in splits[split].unique("video"):
                if video not in trained:
                    continue
                others = everywhere.get(video, {trained[video]}) - {name}
                if others:
                    raise RecipeError(
                        f"{video} is in the split 'train' of {min(others)} and in {split!r} of {name}: "
                        "what is trained on cannot be evaluated on"
                    )
