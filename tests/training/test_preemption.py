from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import forked_runs
import pytest
from accelerate import Accelerator
from forked_runs import ForkedRun
from script_runs import SHORT, assert_same_weights
from torch import nn
from toy_task import ToyTask, equal, run

from clipbert_hf.training.checkpoints import checkpoint_path, complete_steps
from clipbert_hf.training.faults import PreemptedError, StopRequest


class Terminated(ToyTask):
    """Is told to stop while it computes a loss, or while it evaluates."""

    def __init__(self, *, loss_call: int | None = None, predict_call: int | None = None) -> None:
        super().__init__()
        self.loss_call, self.predict_call, self.predictions = loss_call, predict_call, 0

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Any:
        loss = super().loss(model, batch)
        if self.calls == self.loss_call:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[float]:
        self.predictions += 1
        if self.predictions == self.predict_call:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().predict(model, batch)


@pytest.mark.parametrize(
    ("when", "step", "options"),
    [
        ({"loss_call": 3}, 3, {}),
        ({"loss_call": 6}, 6, {}),  # the evaluation after it is left as well
        ({"loss_call": 3}, 2, {"gradient_accumulation_steps": 2}),  # in the middle of step 2
        ({"predict_call": 2}, 6, {}),
        ({"predict_call": 6}, 6, {}),
        ({"predict_call": 13}, 14, {}),
        ({"loss_call": 5}, 5, {"workers": 1}),
    ],
)
def test_stop_save_and_resume_exactly(tmp_path: Path, when: dict[str, int], step: int, options: dict[str, Any]) -> None:
    options = {"evaluate_every": 6, **options}  # after steps 6, 12 and 14
    expected, summary = run(tmp_path / "whole", ToyTask(scores=[0.1, 0.9, 0.3]), **options)
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest(Accelerator(cpu=True)) as stop, pytest.raises(PreemptedError, match=rf"after step {step} of 14"):
        run(tmp_path / "parts", Terminated(**when), should_stop=stop, **options)
    assert signal.getsignal(signal.SIGTERM) is before
    assert complete_steps(tmp_path / "parts")[-1] == step
    scores = [0.1, 0.9, 0.3][0 if step <= 6 else 2 :]  # of the evaluations that are still to come
    weights, resumed = run(tmp_path / "parts", ToyTask(scores=scores), resume_from_checkpoint="last", **options)
    assert equal(weights, expected)
    assert resumed.metrics == summary.metrics
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    assert len(logs[0]) == len(logs[1])


def test_nobody_asked(tmp_path: Path) -> None:
    with StopRequest(Accelerator(cpu=True)) as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()


# The scripts share their loop; retrieval has an evaluation of its own.
OTHERS = ("pretraining", "video_qa", "multiple_choice")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["retrieval", *(pytest.param(name, marks=pytest.mark.long) for name in OTHERS)])
def test_two_processes_of_which_one_is_told(name: str, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    script, recipe = f"run_{name}.py", f"{name}_moving_shapes.yaml"
    options = [*SHORT, "--max_steps", "12", "--data_dir", small_data, "--dataset_options", "{}", "--tracker", "none"]
    options += ["--start_from", pretrained, "--num_workers", "1", "--resume_from_checkpoint", "last"]
    seldom = ["--checkpoint_every", "12"]  # only the run that is stopped has to have one soon
    forked_runs.run(script, recipe, *options, *seldom, "--output_dir", tmp_path / "whole", processes=2)
    output = tmp_path / "parts"
    run = ForkedRun(script, recipe, *options, "--output_dir", output, processes=2)
    run.wait_for(checkpoint_path(output, 1))
    os.kill(run.processes[1].pid or 0, signal.SIGTERM)
    text = run.finish()
    step = complete_steps(output)[-1]
    assert text.count(f"stopped by SIGTERM and saved after step {step} of 12") == 2
    assert "Traceback" not in text
    forked_runs.run(script, recipe, *options, *seldom, "--output_dir", output, processes=2)
    assert_same_weights(tmp_path / "whole", output)
    results = [json.loads((folder / "results.json").read_text()) for folder in (tmp_path / "whole", output)]
    assert results[0]["test"] == results[1]["test"]
