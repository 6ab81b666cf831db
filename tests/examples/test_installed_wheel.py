"""What the wheel installs is enough: the scripts run from another folder, far from this repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from script_runs import EXAMPLES, RECIPES, ROOT, TINY, assert_same_weights

# Imports everything once, then runs each script as its own main program in a process that is forked from there.
DRIVER = """
import json, os, runpy, signal, sys, time
from pathlib import Path
import torch, clipbert_hf
from clipbert_hf.metrics import choice_accuracy, count_error, dual_softmax, qa_accuracy, retrieval_metrics
from clipbert_hf.metrics import soft_scores, vqa_score

assert not {"evaluate", "datasets"} & set(sys.modules)
assert qa_accuracy(["a"], ["a"])["accuracy"] == 1

import clipbert_hf.training, datasets_scripts.moving_shapes

site, runs = Path(sys.argv[1]), json.loads(sys.argv[2])
for module in (clipbert_hf, clipbert_hf.training, datasets_scripts):
    assert Path(module.__file__).is_relative_to(site), module.__file__

for script, arguments, kill_when in runs:
    child = os.fork()
    if not child:
        sys.argv = [script, *arguments]
        status = 1
        try:
            runpy.run_path(script, run_name="__main__")
            status = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    deadline = time.monotonic() + 200
    while kill_when and not Path(kill_when).exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    if kill_when:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) if kill_when else status == 0, (script, status)
"""
SHORT = ["--batch_size", "4", "--max_steps", "4", "--checkpoint_every", "1", "--num_workers", "0", "--threads", "1"]
SHORT += ["--dataset_options", "{}", "--tracker", "none", "--keep_checkpoints", "9"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since building leaves files in the source folder."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("clipbert_hf", "datasets_scripts"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(target), str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (path,) = target.glob("*.whl")
    return path


def test_what_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
        text = archive.read(metadata).decode()
    files = {
        str(path.relative_to(ROOT))
        for package in ("clipbert_hf", "datasets_scripts")
        for path in (ROOT / package).rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert names == files
    assert {"Provides-Extra: train", "Provides-Extra: trackers"} <= set(text.splitlines())


def test_the_documentation_shows_the_script_of_a_task_of_ones_own() -> None:
    script = (EXAMPLES / "run_yes_no.py").read_text("utf-8").strip()
    assert f"```python\n{script}\n```" in (EXAMPLES / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_scripts_run_far_from_the_repository(wheel: Path, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    site, scripts = tmp_path / "site", tmp_path / "scripts"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True)
    scripts.mkdir()
    for path in EXAMPLES.glob("*.py"):
        shutil.copy(path, scripts)
    shutil.copytree(RECIPES, scripts / "recipes")

    def run(name: str, output: str, *more: str, recipe: bool = True, kill_when: str = "") -> tuple[str, list[str], str]:
        arguments = [f"recipes/{name}_moving_shapes.yaml"] if recipe else ["--processor", "{num_frames: 1}"]
        arguments += ["--data_dir", str(small_data), "--output_dir", output, *SHORT, *more]
        return f"run_{name}.py", arguments, kill_when

    start = ["--start_from", str(pretrained)]
    yes_no = [*start, "--training_clips", "2", "--validation_clips", "2", "--resume_from_checkpoint", "last"]
    runs = [
        run("pretraining", "pretraining", *TINY),
        run("video_qa", "qa", *start),
        run("multiple_choice", "multiple_choice", *start),
        run("retrieval", "retrieval", *start),
        run("yes_no", "whole", *yes_no, recipe=False),
        run("yes_no", "parts", *yes_no, recipe=False, kill_when="parts/checkpoints/step_00000002"),
        run("yes_no", "parts", *yes_no, recipe=False),
    ]
    environment = {**os.environ, "PYTHONPATH": str(site), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(site), json.dumps(runs)],
        cwd=scripts,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for output in ("pretraining", "qa", "multiple_choice", "retrieval", "whole", "parts"):
        results = json.loads((scripts / output / "results.json").read_text())
        assert results["steps"] == 4
        assert results["test"]
    assert set(results["test"]) == {"accuracy", "says_yes"}
    assert_same_weights(scripts / "whole", scripts / "parts")
