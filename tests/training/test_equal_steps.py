"""A step's gradient does not depend on how its samples are cut into micro-batches and spread over processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import step_gradients
import torch
from accelerate.state import AcceleratorState, GradientState
from forked_runs import run_together
from step_gradients import TASKS, record

# Batch size, micro-batches a step, processes: 8 samples each. 3 + 3 + 2 are fewer micro-batches than a step may have.
CUTS = [(2, 4, 1), (3, 4, 1), (2, 2, 2), (1, 4, 2)]


def gradients(name: str, data: Path, begin: Path, folder: Path, cut: tuple[int, int, int], dtype: Any) -> Any:
    batch_size, accumulation, processes = cut
    output = folder / "_".join(map(str, cut))
    arguments = (name, data, begin, output, batch_size, accumulation, dtype)
    if processes == 1:
        AcceleratorState._reset_state(True)
        GradientState._reset_state()
        record(*arguments)
    else:
        run_together(processes, step_gradients.record_together, *arguments)
    return torch.load(output / "gradients.pt", weights_only=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", TASKS)
def test_however_a_step_is_cut(name: str, dtype: Any, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    expected = gradients(name, small_data, pretrained, tmp_path, (8, 1, 1), dtype)
    norm = torch.stack([gradient.norm() for gradient in expected.values()]).norm()
    assert norm > 1e-3
    for cut in CUTS if dtype == torch.float64 else CUTS[1:3]:
        found = gradients(name, small_data, pretrained, tmp_path, cut, dtype)
        assert found.keys() == expected.keys()
        largest = max(float((found[key] - expected[key]).abs().max()) for key in expected)
        if dtype == torch.float64:
            assert largest < 1e-9, cut
        assert largest < 1e-5 * norm, cut
