from __future__ import annotations

import json
import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from forked_runs import run_code
from toy_task import ToyTask, equal, run

from clipbert_hf.training.checkpoints import CheckpointError, checkpoint_path, complete_steps, damage, find_checkpoint


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    run(tmp_path, ToyTask(), checkpoint_every=1, keep_checkpoints=3, max_steps=6)
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
    options = {"max_steps": 9, "evaluate_every": 6}
    fifth = str(checkpoint_path(healthy, 5))
    expected, _ = run(healthy, ToyTask(), resume_from_checkpoint=fifth, **options)
    last = checkpoint_path(saved, 6)
    assert damage(last) is None
    harm(last / name)
    if name == "files.json" and harm is truncate:
        (last / name).write_text((last / name).read_text()[:-20])
    with pytest.raises(CheckpointError, match=rf"step_00000006 is damaged: .*({reason}).*resume_from_checkpoint=last"):
        find_checkpoint(saved, str(last))
    with caplog.at_level(logging.WARNING):
        weights, summary = run(saved, ToyTask(), resume_from_checkpoint="last", **options)
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
    run(saved, ToyTask(), max_steps=7, resume_from_checkpoint="last")
    assert sorted(path.name for path in folder.iterdir()) == ["step_00000006", "step_00000007"]


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
