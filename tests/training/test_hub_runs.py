"""A run ends with the same bits whichever form its data set has."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import forked_runs
import pytest
from accelerate.data_loader import BatchSamplerShard
from forked_runs import ForkedRun
from hub_folders import write_form, write_source
from hub_server import Repository, serve
from script_runs import EXAMPLES, ROOT, assert_same_weights
from torch.utils.data import BatchSampler

from clipbert_hf.training import create_loader, group_by_video, load_task_splits, parse_recipe
from clipbert_hf.training.checkpoints import checkpoint_path
from clipbert_hf.training.data.splits import load_source
from clipbert_hf.training.recipe import DataSource
from clipbert_hf.training.tasks.video_qa import VideoQARecipe

SHORT = ["--threads", "1", "--batch_size", "3", "--max_steps", "4", "--tracker", "none", "--num_workers", "1"]


@pytest.fixture(scope="module")
def forms(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Questions of the embedded data set in any form: the options of a run."""
    root = tmp_path_factory.mktemp("forms")
    splits = load_source(DataSource(dataset="moving_shapes", data_dir=str(small_data)), "qa")
    source = write_source(root / "source", {split: rows.each() for split, rows in splits.items()})

    def form(name: str) -> list[str]:
        if name == "custom":
            settings: dict[str, Any] = {"data_dir": str(source), "dataset_options": {"video_dir": str(small_data)}}
            return _options("custom", settings)
        folder = root / name
        if folder.exists():
            return _options("hub", {"data_dir": str(folder), "dataset_options": {}})
        return _options("hub", write_form(name, source, small_data, folder))

    return form


def _options(dataset: str, settings: dict[str, Any]) -> list[str]:
    return [
        *("--dataset", dataset, "--dataset_config", "null", "--data_dir", settings["data_dir"]),
        *("--dataset_options", json.dumps(settings["dataset_options"])),
    ]


def run(output: Path, pretrained: Path, *options: str) -> dict[str, Any]:
    more = ["--start_from", pretrained, "--output_dir", output, *SHORT, "--inference_clips", "1"]
    forked_runs.run("run_video_qa.py", "video_qa_moving_shapes.yaml", *more, *options)
    results: dict[str, Any] = json.loads((output / "results.json").read_text())
    return {split: results[split] for split in ("validation", "test")}


def test_the_same_run_from_each_form(forms: Callable[[str], list[str]], pretrained: Path, tmp_path: Path) -> None:
    expected = run(tmp_path / "custom", pretrained, *forms("custom"))
    assert expected["test"]
    for form in ("files", "embed", "tar"):
        assert run(tmp_path / form, pretrained, *forms(form)) == expected
        assert_same_weights(tmp_path / form, tmp_path / "custom")


STREAMED = ["--streaming", "true", "--shuffle_buffer", "4", "--checkpoint_every", "1"]


def test_streamed_shards_of_either_form_give_the_same_run(
    forms: Callable[[str], list[str]], pretrained: Path, tmp_path: Path
) -> None:
    expected = run(tmp_path / "embed", pretrained, *forms("embed"), *STREAMED)
    assert run(tmp_path / "tar", pretrained, *forms("tar"), *STREAMED) == expected
    assert_same_weights(tmp_path / "tar", tmp_path / "embed")


def seen(options: Sequence[str], epoch: int, processes: int) -> list[list[str]]:
    """The ids of the rows that each process has in an epoch."""
    recipe = parse_recipe(VideoQARecipe, ["--output_dir", "unused", "--batch_size", "2", *options])
    rows = load_task_splits(recipe, "qa")["train"]
    sampler = create_loader(group_by_video(rows), len, list, recipe, training=True).sampler  # type: ignore[arg-type]
    sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    batches = [*BatchSampler(sampler, 2, drop_last=False)]
    shards = [BatchSamplerShard(batches, processes, place) for place in range(processes)]  # type: ignore[arg-type]
    groups = group_by_video(rows)
    return [[row["id"] for batch in shard for _, index in batch for row in groups[index]] for shard in shards]


@pytest.mark.parametrize("processes", [1, 2])
def test_each_row_once_an_epoch_in_every_form(processes: int, forms: Callable[[str], list[str]]) -> None:
    expected = sorted(itertools.chain(*seen(forms("custom"), 0, processes)))
    assert len(expected) == len(set(expected))
    for form in ("files", "embed", "tar"):
        for more in ([], STREAMED):
            for epoch in (0, 1):
                of_processes = seen([*forms(form), *more], epoch, processes)
                assert sorted(itertools.chain(*of_processes)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("form", ["files", "embed", "tar"])
def test_killed_and_resumed_in_two_processes_with_two_workers(
    form: str, forms: Callable[[str], list[str]], pretrained: Path, tmp_path: Path
) -> None:
    def start(output: Path) -> ForkedRun:
        more = ["--start_from", pretrained, "--output_dir", output, *SHORT, "--inference_clips", "1", *STREAMED]
        more += ["--num_workers", "2", "--batch_size", "2", "--resume_from_checkpoint", "last", *forms(form)]
        return ForkedRun("run_video_qa.py", "video_qa_moving_shapes.yaml", *more, processes=2)

    start(tmp_path / "whole").finish()
    run = start(tmp_path / "killed")
    run.wait_for(checkpoint_path(tmp_path / "killed", 2))
    run.kill()
    assert not (tmp_path / "killed" / "results.json").exists()
    start(tmp_path / "killed").finish()
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")
    states: list[dict[str, Any]] = []
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "killed")]
    assert results[0]["test"] == results[1]["test"]
    for name in ("whole", "killed"):
        files = json.loads((checkpoint_path(tmp_path / name, 4) / "files.json").read_text())
        states.append({**files, "state.json": 0})  # which has times
    assert states[0] == states[1]


def test_a_stream_is_not_continued_with_other_workers(
    forms: Callable[[str], list[str]], pretrained: Path, tmp_path: Path
) -> None:
    run(tmp_path / "out", pretrained, *forms("embed"), *STREAMED)
    more = ["--start_from", pretrained, "--output_dir", tmp_path / "out", *SHORT, "--inference_clips", "1", *STREAMED]
    more += ["--num_workers", "2", "--resume_from_checkpoint", "last", *forms("embed")]
    again = ForkedRun("run_video_qa.py", "video_qa_moving_shapes.yaml", *more)
    for process in again.processes:
        process.join()
    assert "streamed by 1 workers in all then" in again.output
    assert "streamed by 2 workers in all now" in again.output


@pytest.mark.slow
def test_a_repository_of_the_hub_is_streamed_by_its_name(
    forms: Callable[[str], list[str]], pretrained: Path, tmp_path: Path
) -> None:
    expected = run(tmp_path / "folder", pretrained, *forms("embed"), *STREAMED)
    folder = Path(forms("embed")[5])
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    more = ["--start_from", pretrained, "--output_dir", tmp_path / "hub", *SHORT, "--inference_clips", "1", *STREAMED]
    more += ["--dataset", "hub", "--dataset_config", "null", "--data_dir", "team/shapes"]
    with serve(Repository("team/shapes", files)) as repository:
        environment = {**repository.environment(tmp_path / "home"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, EXAMPLES / "run_video_qa.py", "video_qa_moving_shapes", *more]
        done = subprocess.run(
            [*map(str, command)], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "hub" / "results.json").read_text())
    assert {split: results[split] for split in expected} == expected
    assert_same_weights(tmp_path / "folder", tmp_path / "hub")
    assert not [*(tmp_path / "home").rglob("*.parquet")]  # no shard was downloaded as a whole
