"""``clipbert train`` in one process and, by ``accelerate launch``, in several."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from script_runs import ROOT, TINY

OPTIONS = [*TINY, "--batch_size", "4", "--num_workers", "0", "--tracker", "none", "--dataset_options", "{}"]


def start(small_data, output, *more):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "clipbert_command_line", "train", "pretraining", "pretraining_moving_shapes"]
    return subprocess.Popen(
        [*command, "--data_dir", str(small_data), "--output_dir", str(output), *OPTIONS, *more],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_recipe_by_its_name(clipbert, small_data, tmp_path):
    places = ["--data_dir", small_data, "--output_dir", tmp_path / "run"]
    done = clipbert("train", "pretraining", "pretraining_moving_shapes", *places, *OPTIONS, "--max_steps", "2")
    assert done.status == 0, done.err
    assert json.loads((tmp_path / "run" / "results.json").read_text())["steps"] == 2
    assert done.out.endswith(f"saved in {tmp_path / 'run'}\n")


@pytest.mark.slow
def test_several_processes(small_data, tmp_path):
    process = start(small_data, tmp_path / "run", "--max_steps", "2", "--log_every", "1", "--processes", "2")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert json.loads((tmp_path / "run" / "results.json").read_text())["steps"] == 2
    # 24 videos in batches of four: an epoch is three steps of two processes; only the second step is told of.
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if "loss" in line] == [pytest.approx(2 / 3, abs=0.01)]


@pytest.mark.long
@pytest.mark.parametrize("processes", [[], ["--processes", "2"]])
def test_ctrl_c_and_refusals_in_real_processes(processes, small_data, tmp_path):
    process = start(small_data, tmp_path / "refused", "--batch_siz", "3", *processes)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "unknown key 'batch_siz'" in err
    assert "Traceback" not in err

    process = start(small_data, tmp_path / "run", "--max_steps", "2000", *processes)
    deadline = time.monotonic() + 200
    while not (tmp_path / "run" / "recipe.yaml").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.rstrip().splitlines()[-1] == "interrupted"
