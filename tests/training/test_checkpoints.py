from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from forked_runs import run_code
from toy_task import KilledError, ToyTask, equal, read_sample, run

from clipbert_hf.training import ScriptSettings, create_loader
from clipbert_hf.training.checkpoints import (
    CheckpointError,
    check_conditions,
    checkpoint_path,
    complete_steps,
    damage,
    find_checkpoint,
    resume_conditions,
)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


OPTIONS: dict[str, Any] = {"max_steps": 9, "evaluate_every": 6}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A run of nine steps that was killed after its sixth."""
    with pytest.raises(KilledError):
        run(tmp_path, ToyTask(kill_at=6), checkpoint_every=1, keep_checkpoints=3, **OPTIONS)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "harm", "reason"),
    [
        ("pytorch_model.bin", truncate, r"pytorch_model.bin has \d+ bytes instead of \d+"),
        ("optimizer.bin", flip_a_bit, "content of optimizer.bin has changed"),
        ("state.json", flip_a_bit, "content of state.json has changed"),
        ("random_states_0.pkl", Path.unlink, "random_states_0.pkl cannot be read"),
        ("files.json", truncate, "cannot be read|JSON"),
        ("files.json", Path.unlink, "files.json cannot be read"),
    ],
)
def test_a_torn_checkpoint_is_found_out_and_the_previous_one_used(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, name: str, harm: Any, reason: str, caplog: Any
) -> None:
    healthy = shutil.copytree(saved, tmp_path_factory.mktemp("healthy"), dirs_exist_ok=True)
    fifth = str(checkpoint_path(healthy, 5))
    expected, _ = run(healthy, ToyTask(), resume_from_checkpoint=fifth, **OPTIONS)
    last = checkpoint_path(saved, 6)
    assert damage(last) is None
    harm(last / name)
    if name == "files.json" and harm is truncate:
        (last / name).write_text((last / name).read_text()[:-20])
    with pytest.raises(CheckpointError, match=rf"step_00000006 is damaged: .*({reason}).*resume_from_checkpoint=last"):
        find_checkpoint(saved, str(last))
    with caplog.at_level(logging.WARNING):
        weights, summary = run(saved, ToyTask(), resume_from_checkpoint="last", **OPTIONS)
    assert "step_00000006 is damaged" in caplog.text
    assert summary.steps == 9
    assert equal(weights, expected)
    assert find_checkpoint(saved, "last") == checkpoint_path(saved, 9)


def test_no_undamaged_checkpoint(saved: Path) -> None:
    for step in complete_steps(saved):
        truncate(checkpoint_path(saved, step) / "optimizer.bin")
    with pytest.raises(CheckpointError, match=r"all checkpoints are damaged: .*step_00000006: .*step_00000004: "):
        find_checkpoint(saved, "last")


def test_keep_the_last_few(tmp_path: Path) -> None:
    run(tmp_path, ToyTask(), checkpoint_every=1, keep_checkpoints=3, max_steps=6)
    assert complete_steps(tmp_path) == [4, 5, 6]
    assert complete_steps(tmp_path / "nowhere") == []


def test_leftovers_of_killed_runs_go(saved: Path) -> None:
    folder = saved / "checkpoints"
    for name in (".unfinished_step_00000007", ".outdated_step_00000005"):
        (folder / name).mkdir()
        (folder / name / "pytorch_model.bin").write_bytes(b"half")
    run(saved, ToyTask(), resume_from_checkpoint="last", **OPTIONS)
    assert sorted(path.name for path in folder.iterdir()) == ["step_00000006", "step_00000009"]


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"batch_size": 2}, ["batch_size: 4 then, 2 now"]),
        ({"gradient_accumulation_steps": 2}, ["gradient_accumulation_steps: 1 then, 2 now"]),
        ({"learning_rate": 0.5, "seed": 7}, ["learning_rate: 0.01 then, 0.5 now", "seed: 42 then, 7 now"]),
        ({"max_steps": 12}, ["max_steps: 9 then, 12 now"]),
        ({"warmup_ratio": 0.5, "weight_decay": 0.1}, ["warmup_ratio: 0.1 then, 0.5 now", "weight_decay: 0.001 then"]),
        ({"adam_betas": [0.9, 0.999]}, [r"adam_betas: \[0.9, 0.98\] then, \[0.9, 0.999\] now"]),
    ],
)
def test_a_run_that_would_not_go_on_exactly_is_refused(
    saved: Path, changed: dict[str, Any], named: list[str], finished: bool
) -> None:
    if finished:
        run(saved, ToyTask(), resume_from_checkpoint="last", **OPTIONS)
    before = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    task = ToyTask()
    with pytest.raises(CheckpointError) as error:
        run(saved, task, resume_from_checkpoint="last", **OPTIONS | changed)
    for name in named:
        assert re.search(name, str(error.value)), error.value
    assert str(error.value).count(" then, ") == len(changed)
    assert "start_from with another output_dir" in str(error.value)
    assert task.calls == 0
    assert {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()} == before


def test_what_may_change_when_a_run_is_resumed(saved: Path) -> None:
    more: dict[str, Any] = {"log_every": 3, "workers": 1, "keep_checkpoints": 1, "eval_batch_size": 7}
    _, summary = run(saved, ToyTask(), resume_from_checkpoint="last", **OPTIONS | more)
    assert summary.steps == 9


def test_other_data_and_processes_are_noticed(tmp_path: Path) -> None:
    settings = ScriptSettings(output_dir="x", data_dir="x", num_workers=0)

    def conditions(*texts: str, video: str = "a.mp4", processes: int = 1) -> dict[str, Any]:
        groups = [[{"id": text, "video": video, "caption": text}] for text in texts]
        loader = create_loader(groups, read_sample, list, settings, training=True)
        return resume_conditions(settings, processes, loader)

    known = conditions("one", "two")
    check_conditions(tmp_path, known, conditions("one", "two", video="moved/a.mp4"))
    for other in (conditions("one", "2"), conditions("two", "one"), conditions("one")):
        with pytest.raises(CheckpointError, match=r"training data: \w{16} then, \w{16} now"):
            check_conditions(tmp_path, known, other)
    with pytest.raises(CheckpointError, match="processes: 1 then, 2 now"):
        check_conditions(tmp_path, known, conditions("one", "two", processes=2))
    with pytest.raises(CheckpointError, match="saved by an earlier version"):
        check_conditions(tmp_path, None, known)


FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from toy_task import ToyTask, make_model, run
from clipbert_hf.training.checkpoints import CheckpointError

torch.set_num_threads(int(sys.argv[2]))  # others add up in another order
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the kernel refuses to write instead of killing

class Task(ToyTask):
    def loss(self, model, batch):
        if self.calls == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        return super().loss(model, batch)

try:
    run(Path(sys.argv[1]), Task(), checkpoint_every=2, keep_checkpoints=1)
except CheckpointError as error:
    sys.stderr.write(f"error: {error}")
    raise SystemExit(1)
"""


def test_a_file_that_cannot_be_written_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """The kernel refuses to write beyond a size, as it does on a full disk."""
    status, output = run_code(FULL_DISK, tmp_path, str(torch.get_num_threads()))
    assert status == 1, output
    message = output[output.rindex("error: ") :]
    assert "cannot write checkpoint" in message
    assert "step_00000006" in message
    assert "MiB free on its disk" in message
    assert "the last good one is" in message
    assert "step_00000004" in message
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000004"]
    expected, _ = run(tmp_path / "whole", ToyTask())
    weights, _ = run(tmp_path, ToyTask(), resume_from_checkpoint="last")
    assert equal(weights, expected)


def test_what_a_checkpoint_lists(saved: Path) -> None:
    listing = json.loads((checkpoint_path(saved, 6) / "files.json").read_text())
    assert {"pytorch_model.bin", "optimizer.bin", "random_states_0.pkl", "state.json"} <= listing.keys()
    for name, entry in listing.items():
        path = checkpoint_path(saved, 6) / name
        digest = subprocess.run(["sha256sum", str(path)], capture_output=True, text=True, check=True).stdout.split()[0]
        assert entry == {"bytes": path.stat().st_size, "sha256": digest}
