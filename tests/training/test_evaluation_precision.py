"""Evaluations compute in the precision of training, whatever accelerate has wrapped around the model."""

from __future__ import annotations

from pathlib import Path

import evaluated_features
import pytest
import torch
from forked_runs import fork_context, free_port


def test_in_one_process(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    seen = evaluated_features.run(small_data, pretrained, tmp_path)
    assert seen == {(True, torch.bfloat16), (False, torch.bfloat16)}


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp2"])
def test_in_two_processes(sharded: bool, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    port, log = free_port(), str(tmp_path / "log.txt")
    arguments = (small_data, pretrained, tmp_path / "run")
    group = [
        fork_context().Process(target=evaluated_features.run_in_process, args=(rank, port, log, sharded, arguments))
        for rank in range(2)
    ]
    for process in group:
        process.start()
    for process in group:
        process.join(timeout=200)
    assert [process.exitcode for process in group] == [0, 0], Path(log).read_text()
