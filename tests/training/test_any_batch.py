"""No combination of rows, batch size, processes and task crashes a run or gives NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import step_gradients
from accelerate.state import AcceleratorState, GradientState
from datasets import DatasetDict
from forked_runs import run_together
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from script_runs import RECIPES
from step_gradients import TASKS

from clipbert_hf.training.data.splits import LOADERS
from datasets_scripts.moving_shapes import load_moving_shapes


def few_videos(load: Callable[..., DatasetDict], videos: int, *arguments: Any, **options: Any) -> DatasetDict:
    """The rows of the first few videos of each split."""
    splits = load(*arguments, **options)
    for name, rows in splits.items():
        kept = set(list(dict.fromkeys(rows["video"]))[:videos])
        splits[name] = rows.filter(lambda row, kept=kept: row["video"] in kept)
    return splits


def run(name: str, videos: int, data: Path, begin: Path, output: Path, *more: str) -> dict[str, Any]:
    script, recipe, options = TASKS[name]
    load = (
        step_gradients.people_or_numbers(name)
        if name in ("soft", "count")
        else partial(load_moving_shapes, progress=False)
    )
    arguments = [str(RECIPES / f"{recipe}_moving_shapes.yaml"), "--data_dir", str(data), "--start_from", str(begin)]
    arguments += ["--output_dir", str(output), "--dataset_options", "{}", "--tracker", "none", "--num_workers", "0"]
    arguments += [
        "--threads",
        "1",
        "--best_metric",
        "null",
        "--max_steps",
        "null",
        "--evaluate_every",
        "null",
        *options,
    ]
    if name in ("cross_entropy", "rank", "contrastive", "contrastive_alone"):
        arguments += ["--negatives", "random", "--inference_clips", "1,2"]
    with patch.dict(LOADERS, {"moving_shapes": partial(few_videos, load, videos)}):
        return script.main([*arguments, *more])


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, (int, float)):
        yield float(value)


def check(results: dict[str, Any], output: Path) -> None:
    assert results["test"], results
    assert results["validation"], results
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert lines
    assert all(math.isfinite(number) for number in numbers({**results, "lines": dict(enumerate(lines))}))


@pytest.mark.parametrize("name", TASKS)
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    videos=st.integers(1, 3),
    batch_size=st.integers(1, 3),
    accumulation=st.integers(1, 3),
    clips=st.integers(1, 2),
)
def test_any_rows_and_batches(
    name: str,
    videos: int,
    batch_size: int,
    accumulation: int,
    clips: int,
    small_data: Path,
    pretrained: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    output = tmp_path_factory.mktemp("run")
    more = ["--batch_size", str(batch_size), "--gradient_accumulation_steps", str(accumulation), "--epochs", "2"]
    more += ["--training_clips", str(clips)] if name in ("qa", "soft", "count", "multiple_choice", "rank") else []
    check(run(name, videos, small_data, pretrained, output, *more), output)


def run_as_one_of_two(rank: int, *arguments: Any) -> None:
    results = run(*arguments)
    if rank == 0:
        check(results, arguments[4])


@pytest.mark.parametrize("name", TASKS)
def test_one_video_in_two_processes(name: str, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    options = ["--batch_size", "2", "--epochs", "2"]
    run_together(2, run_as_one_of_two, name, 1, small_data, pretrained, tmp_path / "run", *options)
