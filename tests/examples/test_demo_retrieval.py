from __future__ import annotations

import json
from pathlib import Path

import pytest
from demo_retrieval import run
from script_runs import ROOT


@pytest.mark.slow
def test_every_step_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    steps = ["--max_steps", "2", "--batch_size", "4", "--num_workers", "0", "--tracker", "none"]
    run(tmp_path, from_scratch=True, train=8, test=3, overrides=steps)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["text_to_video"]) == set(summary["video_to_text"]) == {"r1", "r5", "r10", "median_rank"}
    assert set(summary["without_pretraining"]["text_to_video"]) == {"r1", "r5", "r10", "median_rank"}
    assert 0 <= summary["multiple_choice_accuracy"] <= 1
    assert summary["seconds"] > 0
    assert "demo_retrieval.py" in (ROOT / "Makefile").read_text()
