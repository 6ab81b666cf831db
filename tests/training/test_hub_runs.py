"""A run ends with the same bits whichever form its data set has."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
from accelerate.data_loader import BatchSamplerShard
from forked_runs import ForkedRun, free_port
from hub_folders import FORMS, write_form, write_source
from hub_server import Repository, serve
from script_runs import EXAMPLES, ROOT, accelerate_launch, assert_same_weights, finish
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
        return _options("hub", write_form(name, source, small_data, root / name))

    return cache(form)


def _options(dataset: str, settings: dict[str, Any]) -> list[str]:
    return [
        *("--dataset", dataset, "--dataset_config", "null", "--data_dir", settings["data_dir"]),
        *("--dataset_options", json.dumps(settings["dataset_options"])),
    ]


STREAMED = ["--streaming", "true", "--shuffle_buffer", "4"]


class Runs:
    """The same run from any form, whole once for all tests or killed and resumed.

    Args:
        root: Where they go.
        forms: The options of a form.
        pretrained: What they start from.
    """

    def __init__(self, root: Path, forms: Callable[[str], list[str]], pretrained: Path) -> None:
        self.root, self.forms, self.pretrained = root, forms, pretrained

    def options(self, output: Path, form: str, processes: int) -> list[str | Path]:
        """Of a run, which is continued if it has begun; of two processes each has two workers."""
        options: list[str | Path] = [*SHORT, "--start_from", self.pretrained, "--output_dir", output]
        options += ["--inference_clips", "1", "--checkpoint_every", "1", "--resume_from_checkpoint", "last"]
        options += self.forms(form)
        return [*options, *(["--num_workers", "2", "--batch_size", "2"] if processes == 2 else [])]

    def start(self, output: Path, form: str, processes: int, *more: str) -> ForkedRun:
        """Starts a run, or continues it."""
        options = self.options(output, form, processes)
        return ForkedRun("run_video_qa.py", "video_qa_moving_shapes.yaml", *options, *more, processes=processes)

    def whole(self, form: str, processes: int, *more: str) -> Path:
        """The folder of a run that nothing has interrupted."""
        output = self.root / "_".join(["whole", form, str(processes), *more]).replace("--", "")
        if not output.exists():
            self.start(output, form, processes, *more).finish()
        return output

    def killed(self, output: Path, form: str, processes: int, *more: str) -> Path:
        """The folder of a run that was killed after its second checkpoint, and resumed."""
        run = self.start(output, form, processes, *more)
        run.wait_for(checkpoint_path(output, 2))
        run.kill()
        assert not (output / "results.json").exists()
        self.start(output, form, processes, *more).finish()
        return output


@pytest.fixture(scope="module")
def runs(forms: Callable[[str], list[str]], pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"), forms, pretrained)


def results(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "results.json").read_text())
    assert found["test"]
    return {split: found[split] for split in ("validation", "test")}


def assert_same_run(output: Path, expected: Path) -> None:
    """Check that two runs ended with the same bits: metrics, weights, and the last checkpoint but for its times."""
    assert results(output) == results(expected)
    assert_same_weights(output, expected)
    states = [
        json.loads((checkpoint_path(folder, 4) / "files.json").read_text()) | {"state.json": 0}
        for folder in (output, expected)
    ]
    assert states[0] == states[1]


IN_SHARDS = ("embed", "tar")
IN_FILES = ("names", "videofolder")  # and files
ONE_AND_TWO = [1, pytest.param(2, marks=pytest.mark.long)]
TWO_AND_ONE = [2, pytest.param(1, marks=pytest.mark.long)]


@pytest.mark.slow
@pytest.mark.parametrize("processes", ONE_AND_TWO)
@pytest.mark.parametrize(
    "form", [*IN_SHARDS, *(pytest.param(form, marks=pytest.mark.long) for form in ("files", *IN_FILES))]
)
def test_each_form_killed_and_resumed_ends_as_the_files_do(
    form: str, processes: int, runs: Runs, tmp_path: Path
) -> None:
    assert_same_run(runs.killed(tmp_path, form, processes), runs.whole("custom", processes))


@pytest.mark.slow
@pytest.mark.parametrize("processes", TWO_AND_ONE)
@pytest.mark.parametrize("form", IN_SHARDS)
def test_each_streamed_form_killed_and_resumed_ends_as_the_other(
    form: str, processes: int, runs: Runs, tmp_path: Path
) -> None:
    """Parquet and tar files have the same shards here, and so the same order."""
    killed = runs.killed(tmp_path, form, processes, *STREAMED)
    assert_same_run(killed, runs.whole("embed", processes, *STREAMED))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("processes", ONE_AND_TWO)
@pytest.mark.parametrize("form", ["files", *IN_FILES])
def test_streamed_rows_of_files_killed_and_resumed_end_as_if_not_streamed(
    form: str, processes: int, runs: Runs, tmp_path: Path
) -> None:
    """They have no shards to read on in, and so the order of all rows."""
    assert_same_run(runs.killed(tmp_path, form, processes, *STREAMED), runs.whole("custom", processes))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_joined_stream_killed_and_resumed_ends_as_if_it_was_not(processes: int, runs: Runs, tmp_path: Path) -> None:
    more = [*STREAMED, *joined(runs.forms, "tar", "custom")]
    assert_same_run(runs.killed(tmp_path, "embed", processes, *more), runs.whole("embed", processes, *more))


class Machines:
    """Two launches with a process each, as on two machines: the second reads a copy of the shards.

    Args:
        runs: Whose options they have.
        form: Of the data.
        folder: For the copy, caches and the output, which both write to.
    """

    def __init__(self, runs: Runs, form: str, folder: Path) -> None:
        self.runs, self.form, self.folder, self.output = runs, form, folder, folder / "out"
        shards = runs.forms(form)[5]
        self.shards = [shards, shutil.copytree(shards, folder / "copy")]

    def launch(self) -> list[subprocess.Popen[str]]:
        """Start the run on both, or continue it."""
        place = ["--main_process_ip", "127.0.0.1", "--main_process_port", str(free_port()), "--num_processes", "2"]
        launches = []
        for rank, shards in enumerate(self.shards):
            options = [*self.runs.options(self.output, self.form, 2), *STREAMED, "--data_dir", shards]
            file = EXAMPLES / "accelerate_configs" / "multi_node.yaml"
            machine = ["--config_file", file, "--machine_rank", str(rank)]
            script = [EXAMPLES / "run_video_qa.py", "video_qa_moving_shapes", *options]
            cache = str(self.folder / f"cache_{rank}")
            launches.append(accelerate_launch(*place, *machine, *script, HF_DATASETS_CACHE=cache))
        return launches

    def lose(self, launches: Sequence[subprocess.Popen[str]], lost: int) -> str:
        """Kill all processes of a machine after the second checkpoint.

        Returns:
            What the other one wrote, which ends by itself with an error.
        """
        while not checkpoint_path(self.output, 2).exists():
            assert all(launch.poll() is None for launch in launches)
            time.sleep(0.01)
        machine = psutil.Process(launches[lost].pid)
        for process in (*machine.children(recursive=True), machine):
            process.kill()
        other = launches[1 - lost]
        text = other.communicate(timeout=120)[0]
        assert other.returncode not in (0, None)
        return text


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("form", IN_SHARDS)
def test_two_machines_stream_what_two_processes_do(form: str, runs: Runs, tmp_path: Path) -> None:
    machines = Machines(runs, form, tmp_path)
    for process in machines.launch():
        finish(process)
    assert_same_run(machines.output, runs.whole("embed", 2, *STREAMED))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_machine_is_lost_and_both_go_on(lost: int, runs: Runs, tmp_path: Path) -> None:
    machines = Machines(runs, "tar", tmp_path)
    assert "Error" in machines.lose(machines.launch(), lost)
    assert not (machines.output / "results.json").exists()
    for process in machines.launch():
        finish(process)
    assert_same_run(machines.output, runs.whole("embed", 2, *STREAMED))


def joined(forms: Callable[[str], list[str]], *names: str) -> list[str]:
    """The option that joins further forms as data sets of their own."""
    settings = []
    for name in names:
        options = forms(name)
        given = dict(zip(options[::2], options[1::2], strict=True))
        source = {"dataset": given["--dataset"], "data_dir": given["--data_dir"]}
        settings.append({**source, "dataset_options": json.loads(given["--dataset_options"])})
    return ["--more_data", json.dumps(settings)]


def test_data_sets_are_joined_as_streams_as_they_are_on_a_disk(forms: Callable[[str], list[str]]) -> None:
    """Of two streams and of rows that are not streamed: all rows once, and always some of each near each other."""
    more = joined(forms, "tar", "custom")
    expected = seen([*forms("embed"), *more], 0, 1)[0]
    found = seen([*forms("embed"), *more, *STREAMED], 0, 1)[0]
    assert sorted(found) == sorted(expected)
    sources = [name.split("/")[0] for name in dict.fromkeys(name.rsplit("_", 1)[0] for name in found)]
    assert len(sources) == 3 * 24
    for first in range(0, 72, 12):
        assert set(sources[first : first + 12]) == {"hub", "hub.2", "custom"}


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
    for form in FORMS:
        for more in ([], STREAMED):
            for epoch in (0, 1):
                of_processes = seen([*forms(form), *more], epoch, processes)
                assert sorted(itertools.chain(*of_processes)) == expected


def test_a_stream_is_not_continued_with_other_workers(runs: Runs, tmp_path: Path) -> None:
    shutil.copytree(runs.whole("embed", 1, *STREAMED), tmp_path / "out")
    again = runs.start(tmp_path / "out", "embed", 1, *STREAMED, "--num_workers", "2")
    for process in again.processes:
        process.join()
    assert "streamed by 1 workers in all then" in again.output
    assert "streamed by 2 workers in all now" in again.output


@pytest.mark.slow
def test_a_repository_of_the_hub_is_streamed_by_its_name(
    forms: Callable[[str], list[str]], runs: Runs, pretrained: Path, tmp_path: Path
) -> None:
    folder = Path(forms("embed")[5])
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    more = [*SHORT, "--start_from", pretrained, "--output_dir", tmp_path / "hub", "--inference_clips", "1", *STREAMED]
    more += ["--checkpoint_every", "1", "--dataset", "hub", "--dataset_config", "null", "--data_dir", "team/shapes"]
    with serve(Repository("team/shapes", files)) as repository:
        environment = {**repository.environment(tmp_path / "home"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, EXAMPLES / "run_video_qa.py", "video_qa_moving_shapes", *more]
        done = subprocess.run(
            [*map(str, command)], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "hub", runs.whole("embed", 1, *STREAMED))
    assert not [*(tmp_path / "home").rglob("*.parquet")]  # no shard was downloaded as a whole
