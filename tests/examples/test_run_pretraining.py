from __future__ import annotations

import json
from pathlib import Path

import pytest
import run_pretraining
from script_runs import EXAMPLES, SHORT, TINY, assert_same_weights, finish, kill_after, launch
from transformers import AutoModelForPreTraining

import clipbert_hf  # noqa: F401 (registers the Auto classes)

RECIPE = "pretraining_moving_shapes.yaml"


@pytest.mark.slow
def test_train_kill_resume(small_data: Path, tmp_path: Path) -> None:
    options = [*TINY, *SHORT, "--data_dir", small_data, "--keep_checkpoints", "9", "--resume_from_checkpoint", "last"]
    output = finish(launch("run_pretraining.py", RECIPE, *options, "--output_dir", tmp_path / "whole"))
    assert "mlm_accuracy" in output
    process = launch("run_pretraining.py", RECIPE, *options, "--output_dir", tmp_path / "parts")
    kill_after(process, tmp_path / "parts" / "checkpoints" / "step_00000003")
    finish(launch("run_pretraining.py", RECIPE, *options, "--output_dir", tmp_path / "parts"))
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "parts")]
    assert results[0]["test"] == results[1]["test"]
    assert results[0]["steps"] == results[1]["steps"] == 8
    assert set(results[0]["test"]) == {"mlm_accuracy", "itm_accuracy", "mean_accuracy"}
    assert list((tmp_path / "whole" / "curves").iterdir())
    AutoModelForPreTraining.from_pretrained(tmp_path / "whole")


def test_learns_in_process(small_data: Path, tmp_path: Path) -> None:
    options = [*TINY, "--data_dir", str(small_data), "--tracker", "none", "--num_workers", "0", "--batch_size", "4"]
    run_pretraining.main(
        [str(EXAMPLES / "recipes" / RECIPE), *options, "--output_dir", str(tmp_path), "--max_steps", "24"]
    )
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
