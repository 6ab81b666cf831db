"""What the wheel installs is enough: the scripts run from another folder, far from this repository."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from reference_inputs import CASES, DATA, published_state
from script_runs import EXAMPLES, RECIPES, ROOT, TINY, assert_same_weights
from video_files import real_clip

import clipbert_hf

# In a process where nothing can be imported but what the wheel and its base dependencies bring.
BASE = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
import numpy as np, torch, clipbert_hf
from transformers import pipeline
from clipbert_hf import ClipBertForVideoQuestionAnswering, ClipBertProcessor
from clipbert_hf.convert_original_checkpoint import main
from clipbert_hf.metrics import choice_accuracy, count_error, dual_softmax, qa_accuracy, retrieval_metrics
from clipbert_hf.metrics import soft_scores, vqa_score
from clipbert_hf.retrieval import PairScorer

assert qa_accuracy(["a"], ["a"])["accuracy"] == 1
folder, site = sys.argv[2:]
assert clipbert_hf.__file__.startswith(site)
video = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
parts = {"model": ClipBertForVideoQuestionAnswering.from_pretrained(folder)}
parts["processor"] = ClipBertProcessor.from_pretrained(folder)
answers = pipeline("video-question-answering", **parts)(video, "what is shown ?", top_k=3)
scores = PairScorer.from_pretrained(folder).score(["what is shown ?"], [video])
refused = []
for module in ("clipbert_hf.training", "datasets_scripts.check"):
    try:
        __import__(module)
    except ImportError as error:
        refused.append(str(error))
print(json.dumps([clipbert_hf.__version__, answers, scores.tolist(), refused]))
"""
# Imports everything once, then runs each script as its own main program in a process that is forked from there.
DRIVER = """
import json, os, runpy, signal, sys, time
from pathlib import Path
import torch, clipbert_hf
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
PACKAGES = ("clipbert_command_line", "clipbert_hf", "datasets_scripts")
SHORT = ["--batch_size", "4", "--max_steps", "4", "--checkpoint_every", "1", "--num_workers", "0", "--threads", "1"]
SHORT += ["--dataset_options", "{}", "--tracker", "none", "--keep_checkpoints", "9"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since building leaves files in the source folder."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
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
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".yaml", ".jinja") or path.name == "py.typed"
    }
    assert names == files
    extras = {line.removeprefix("Provides-Extra: ") for line in text.splitlines() if line.startswith("Provides-Extra")}
    _, _, table = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("| extra | for |\n")
    assert extras == set(re.findall(r"^\| `(\w+)` \|", table.partition("\n\n")[0], flags=re.M))
    assert f"Version: {clipbert_hf.__version__}" in text.splitlines()
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## .*\b{re.escape(clipbert_hf.__version__)}\b", changes, flags=re.M)


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*install, str(wheel)], check=True)
    return folder


def needed_by(requirements: list[str], extras: tuple[str, ...] = ("",)) -> set[str]:
    """The names of installed distributions that some requirements lead to."""
    names: set[str] = set()
    for requirement in map(Requirement, requirements):
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        try:
            distribution = importlib.metadata.distribution(requirement.name)
        except importlib.metadata.PackageNotFoundError:  # for another platform, in a marker of its own
            continue
        name = distribution.metadata["Name"]
        if name not in names:
            names |= {name, *needed_by(distribution.requires or [], ("", *requirement.extras))}
    return names


def test_the_base_alone_answers(site: Path, tmp_path: Path) -> None:
    """Without any extra: what else is installed here cannot be imported."""
    base = needed_by(importlib.metadata.requires("clipbert_hf") or [])
    owners = importlib.metadata.packages_distributions()
    foreign = [module for module, names in owners.items() if not base & set(names) and module not in PACKAGES]
    assert {"accelerate", "datasets", "evaluate", "ijson"} <= set(foreign)
    folder = tmp_path / "model"
    with zipfile.ZipFile(DATA / "saved_by_0.1.0.zip") as archive:
        archive.extractall(folder)
    for path in folder.glob("*.py"):  # never run: the package's own classes load the folder
        path.write_text("raise SystemExit")
    done = subprocess.run(
        [sys.executable, "-c", BASE, json.dumps(foreign), str(folder), str(site)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version, answers, scores, refused = json.loads(done.stdout.strip().splitlines()[-1])
    assert version == clipbert_hf.__version__
    expected = torch.tensor(json.loads((folder / "expected.json").read_text())["logits"])
    probabilities = expected.softmax(-1)[0]
    labels = json.loads((folder / "config.json").read_text())["id2label"]
    assert {answer["answer"]: answer["score"] for answer in answers} == pytest.approx(
        {label: float(probabilities[int(index)]) for index, label in labels.items()}, abs=1e-5
    )
    assert scores == [[pytest.approx(probabilities.tolist(), abs=1e-5)]]
    assert [re.search(r"needs (\w+)", reason)[1] for reason in refused] == ["accelerate", "ijson"]
    assert all('pip install "clipbert_hf[train]"' in reason for reason in refused)


def test_the_documentation_shows_the_script_of_a_task_of_ones_own() -> None:
    script = (EXAMPLES / "run_yes_no.py").read_text("utf-8").strip()
    assert f"```python\n{script}\n```" in (ROOT / "docs" / "how_to" / "own_task.md").read_text("utf-8")


@pytest.mark.slow
def test_scripts_run_far_from_the_repository(site: Path, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
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


# Runs commands one after another, each in a process that is forked from where everything is imported.
COMMANDS_DRIVER = """
import json, os, sys
from pathlib import Path
import clipbert_command_line.main, clipbert_hf.retrieval.video_index, clipbert_hf.training, clipbert_hf.export

for module in (clipbert_command_line, clipbert_hf):
    assert Path(module.__file__).is_relative_to(sys.argv[1]), module.__file__
for command in json.loads(sys.argv[2]):
    print("$ clipbert", *command, flush=True)
    child = os.fork()
    if not child:
        status = 99
        try:
            status = clipbert_command_line.main.main(command)
        finally:
            sys.stdout.flush()
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, (command, status)
"""


@pytest.mark.slow
@pytest.mark.long  # tests/command_line runs each of them from the checkout, and the next two here start from the wheel
def test_each_command_runs_from_the_wheel_on_a_real_video(
    site: Path, small_data: Path, pretrained: Path, tmp_path: Path
) -> None:
    """What training leaves is what the other commands take."""
    assert (site / "bin" / "clipbert").is_file()
    shutil.copy(real_clip("bikes"), tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(real_clip("bikes"), tmp_path / "data")
    (tmp_path / "data" / "test.csv").write_text("video,question,answer\nbikes.mp4,what color ?,red\n")
    case = next(case for case in CASES["cases"] if case["original_class"] == "ClipBertForMultipleChoice")
    torch.save(published_state(case), tmp_path / "published.pt")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(30517))]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    search = ["--model.contrastive_size", "16"]
    data = ["custom", "qa", "--annotation_dir", "data", "--no_progress"]

    def train(task: str, output: str, *more: str) -> list[str]:
        options = [
            "--data_dir",
            str(small_data),
            "--start_from",
            str(pretrained),
            "--output_dir",
            output,
            *SHORT,
            *more,
        ]
        return ["train", task, f"{task}_moving_shapes", *options]

    commands = [
        ["doctor", "bikes.mp4"],
        ["data", "check", *data],
        ["data", "statistics", *data],
        ["data", "prepare", *data, "--output", "prepared", "--workers", "1"],
        ["data", "export", *data, "--output", "exported_data"],
        train("video_qa", "qa"),
        train("multiple_choice", "choice"),
        train("retrieval", "retrieval", *search),
        ["ask", "bikes.mp4", "what color is the circle ?", "--model", "qa"],
        ["choose", "bikes.mp4", "what ?", "--option", "red", "--option", "blue", "--model", "choice"],
        ["match", "bikes.mp4", "a red circle", "a blue square", "--model", "retrieval"],
        ["index", "bikes.mp4", "--uri", "an.index", "--model", "retrieval"],
        ["search", "an.index", "a red circle"],
        ["info", "--model", "qa"],
        [
            "convert",
            "--checkpoint",
            "published.pt",
            "--task",
            "multiple-choice",
            "--output",
            "new",
            "--vocab",
            "vocab.txt",
        ],
        ["export", "retrieval", "--format", "torch", "--output", "exported"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS_DRIVER, str(site), json.dumps(commands)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "qa" / "results.json").read_text())["steps"] == 4
    assert "clipbert ask" in done.stdout  # of info
    assert (tmp_path / "exported" / "clipbert_export.json").is_file()
