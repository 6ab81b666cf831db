"""How the tests of the scripts run them: a tiny model, as a process of its own or within the test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
RECIPES = ROOT / "clipbert_hf" / "recipes"

TINY = [
    "--threads",
    "1",
    "--model.hidden_size",
    "32",
    "--model.intermediate_size",
    "64",
    "--model.hidden_dropout_prob",
    "0.1",
    "--model.backbone_kwargs",
    "{layers: [1, 1, 1, 1], channels: [8, 8, 16, 16], stem_type: deep, stem_width: 4, out_indices: [3]}",
]
SHORT = ["--threads", "1", "--batch_size", "4", "--max_steps", "8", "--evaluate_every", "4", "--checkpoint_every", "1"]


def accelerate_launch(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
    """Start ``accelerate launch`` on the CPU, in a session of its own; `variables` of the environment beside."""
    command = [sys.executable, "-m", "accelerate.commands.launch", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(
        command,
        env={**environment, **variables},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def launch(script: str, recipe: str, *overrides: str | Path, processes: int = 1) -> subprocess.Popen[str]:
    """Start a script with ``accelerate launch``, on the CPU."""
    # With --cpu and two processes accelerate starts one; with --multi_gpu and the variable two, on the CPU.
    how = ["--cpu"] if processes == 1 else ["--multi_gpu", "--main_process_port", "0"]
    place = ["--num_processes", str(processes), *how]
    return accelerate_launch(*place, EXAMPLES / script, RECIPES / recipe, *overrides)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a script to end well; returns what it wrote."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The saved weights of a model."""
    return load_file(folder / "model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    """Check that two runs ended with the same bits."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different
