from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import forked_runs
import pytest
from script_runs import ROOT

from examples.demo import retrieval


@pytest.mark.slow
def test_every_step_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(script: str, recipe: str, output: Path, *overrides: str) -> dict[str, Any]:
        forked_runs.run(script, f"{recipe}.yaml", "--output_dir", output, *overrides)
        return json.loads((output / "results.json").read_text())

    monkeypatch.setattr(retrieval, "launch", launch)  # which takes seconds to import everything, each time
    steps = ["--max_steps", "2", "--batch_size", "4", "--num_workers", "0", "--tracker", "none"]
    retrieval.run(tmp_path, from_scratch=True, train=8, test=3, overrides=steps)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["text_to_video"]) == set(summary["video_to_text"]) == {"r1", "r5", "r10", "median_rank"}
    assert set(summary["without_pretraining"]["text_to_video"]) == {"r1", "r5", "r10", "median_rank"}
    assert set(summary["ranking"]) == set(summary["seconds_a_text"]) == {"first_stage", "two_stage", "matching"}
    assert summary["text_to_video"]["r1"] == max(each["text_to_video"]["r1"] for each in summary["ranking"].values())
    assert 0 <= summary["multiple_choice_accuracy"] <= 1
    assert summary["seconds"] > 0
    assert "examples.demo.retrieval" in (ROOT / "Makefile").read_text()
