"""Evaluations compute in the precision of training, whatever accelerate has wrapped around the model."""

from __future__ import annotations

from pathlib import Path

import evaluated_features
import pytest
import torch
from forked_runs import run_together


def test_in_one_process(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    seen = evaluated_features.run(small_data, pretrained, tmp_path)
    assert seen == {(True, torch.bfloat16), (False, torch.bfloat16)}


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp2"])
def test_in_two_processes(sharded: bool, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    arguments = (small_data, pretrained, tmp_path / "run")
    run_together(2, evaluated_features.run_as_one_of_two, sharded, *arguments)
