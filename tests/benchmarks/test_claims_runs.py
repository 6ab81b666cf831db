"""Runs of the claims: trained by the scripts, tested as the scripts test, done once, and the whole command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forked_runs import run, run_code

from benchmarks.claims.__main__ import all_points
from benchmarks.claims.outcomes import Outcomes
from benchmarks.claims.page import claim_sentence, table_text
from benchmarks.claims.results import Results
from benchmarks.claims.settings import QUICK, by_name

ROOT = Path(__file__).parents[2]
# In a process that has not trained anything: PyTorch cannot go backward in a process that is forked from one that has.
SOME_RUNS = """
import dataclasses, sys
from pathlib import Path
from benchmarks.claims.families import PRETRAINING, trained
from benchmarks.claims.runner import run_all, runs_of
from benchmarks.claims.settings import QUICK, ClaimsError, by_name
scale = dataclasses.replace(QUICK, seeds=(42,), gallery=QUICK.test["retrieval"])
broken = trained("qa", 1, suffix="broken", more={"processor.num_frames": 0})
settings = by_name([PRETRAINING, broken, trained("qa", 2), trained("retrieval", 2)])
try:
    run_all(runs_of(settings, scale, Path(sys.argv[1])), scale, processes=2)
except ClaimsError as error:
    print(f"error: {error}")
"""


@pytest.mark.slow
def test_runs_are_done_once_and_tested_as_the_scripts_do(tmp_path: Path) -> None:
    status, output = run_code(SOME_RUNS, tmp_path)
    assert status == 0, output
    assert "4 runs, 0 of them done" in output
    assert f"error: 1 runs failed, or what they need did; see first {tmp_path}/runs/qa-random1-broken/42/log" in output
    folders = {name: tmp_path / "runs" / name / "42" for name in ("qa-random2-lse", "retrieval-random2-lse")}
    trained_at = {name: (folder / "results.json").stat().st_mtime_ns for name, folder in folders.items()}
    for name, folder in folders.items():
        row = json.loads((folder / "row.json").read_text())
        assert (row["setting"], row["seed"], row["cost"]["clips"]) == (name, 42, 2 * 2 * 2)
        assert row["cost"].keys() == {"clips", "seconds", "cpu_seconds", "peak_mib", "test_seconds"}
        assert row["metrics"] == Outcomes.load(folder / "outcomes.npz").metrics()
        assert not (folder / "checkpoints").exists()
        of_script = script_results(folder, tmp_path, name.partition("-")[0])
        assert {count: row["metrics"][f"{measure(name)}@{count}"] / 100 for count in of_script} == pytest.approx(
            of_script, abs=1e-5
        )
    # One that was stopped before its test goes on with that; the others are left alone.
    metrics = json.loads((folders["qa-random2-lse"] / "row.json").read_text())["metrics"]
    (folders["qa-random2-lse"] / "row.json").unlink()
    (folders["qa-random2-lse"] / "outcomes.npz").unlink()
    status, output = run_code(SOME_RUNS, tmp_path)
    assert "4 runs, 2 of them done" in output
    # Its clips were decoded for the first test, and kept.
    assert len(list((tmp_path / "data" / "inference_clips").glob("qa_test-*.npz"))) == 1
    assert json.loads((folders["qa-random2-lse"] / "row.json").read_text())["metrics"] == metrics
    assert {name: (folder / "results.json").stat().st_mtime_ns for name, folder in folders.items()} == trained_at


def measure(name: str) -> str:
    return "r1" if name.startswith("retrieval") else "accuracy"


def script_results(folder: Path, root: Path, task: str) -> dict[str, float]:
    """What the script finds with each number of clips when it only evaluates."""
    script, recipe = {
        "qa": ("run_video_qa.py", "video_qa_moving_shapes.yaml"),
        "retrieval": ("run_retrieval.py", "retrieval_moving_shapes.yaml"),
    }[task]
    output = root / "again" / task
    options = ["--max_steps", "0", "--best_metric", "null", "--start_from", folder, "--num_workers", "0"]
    options += ["--data_dir", root / "data" / f"{task}_test", "--dataset_options", "{}", "--tracker", "none"]
    options += ["--model.score_aggregation", "lse", "--inference_clips", "1,2,4,8,16", "--output_dir", output]
    run(script, recipe, *options)
    test: dict[str, Any] = json.loads((output / "results.json").read_text())["test"]
    return test["r1_by_inference_clips" if task == "retrieval" else "accuracy_by_inference_clips"]


@pytest.mark.slow
@pytest.mark.long
def test_the_whole_command_and_its_page(tmp_path: Path) -> None:
    def command() -> str:
        line = [sys.executable, "-m", "benchmarks.claims", "--quick", "--work", str(tmp_path), "--processes", "2"]
        return subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    command()
    points = all_points()[:4]
    settings = by_name(setting for point in points for setting in point.settings)
    docs = tmp_path / "docs"
    rows = json.loads((docs / "claims.json").read_text())
    assert {(row["setting"], row["seed"]) for row in rows} == {
        (name, seed) for name in settings for seed in QUICK.seeds
    }
    assert all(row.keys() == {"setting", "seed", "metrics", "cost"} for row in rows)
    results = Results.load(docs / "claims.json", draws=QUICK.draws)
    text = (docs / "claims.md").read_text()
    for point in points:
        for table in point.tables:
            assert table_text(table, results) in text
            for _, setting, metric in table.rows:
                mean = sum(row["metrics"][metric] for row in results.of(setting)) / len(QUICK.seeds)
                assert results.estimate(setting, metric).mean == pytest.approx(mean, abs=2e-3)
        assert all(f"{claim.text} {claim_sentence(claim, results)}" in text for claim in point.claims)
        assert (docs / "figures" / f"claims_{point.number}.png").exists()
    assert re.findall(r"^- (\d)\.", text, re.MULTILINE) == ["5", "6", "7"]
    assert f"{len(rows)} runs, {len(rows)} of them done" in command()
    assert (docs / "claims.md").read_text() == text
