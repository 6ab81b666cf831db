"""Data sets are looked at without the model's libraries, which take seconds to import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from miniature_files import write_jsonl, write_media

import datasets_scripts
from datasets_scripts.loading import LOADERS

ROOT = Path(datasets_scripts.__file__).parents[1]
COMMANDS = ("check", "statistics", "export", "prepare", "moving_shapes")
HEAVY = ("torch", "transformers", "timm", "clipbert_hf")

# One process for all, with what each step loaded beside what was there.
STEPS = """
import contextlib, importlib, io, json, runpy, sys
loaded = {}
def record(step, *, watched):
    loaded[step] = [name for name in watched if name in sys.modules]
def help_of(command):
    sys.argv = [command, "--help"]
    printed = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(printed):
        runpy.run_module(f"datasets_scripts.{command}", run_name="__main__")
    assert "usage: python -m datasets_scripts." + command in printed.getvalue(), printed.getvalue()
commands, loaders, heavy = (json.loads(argument) for argument in sys.argv[1:])
for command in commands:
    help_of(command)
    record(command, watched=[*heavy, "datasets", "pyarrow"])
importlib.import_module("datasets_scripts.loading")
record("loading", watched=[*heavy, "datasets", "pyarrow"])
for loader in loaders:
    importlib.import_module(f"datasets_scripts.{loader}")
from datasets_scripts import build_answer_vocabulary, create_builder
from datasets_scripts.moving_shapes import generate, load_moving_shapes
record("loaders", watched=heavy)
json.dump(loaded, sys.stdout)
"""


def test_neither_commands_nor_loaders_import_the_models_libraries() -> None:
    arguments = [json.dumps(names) for names in (COMMANDS, list(LOADERS), HEAVY)]
    done = subprocess.run(
        [sys.executable, "-c", STEPS, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert {step: loaded[step] for step in (*COMMANDS, "loading")} == {step: [] for step in (*COMMANDS, "loading")}
    assert loaded["loaders"] == []


def test_a_data_set_is_read_and_checked_without_them(tmp_path: Path) -> None:
    """Reading rows and opening videos needs datasets, PyAV and Pillow only."""
    row = {"video_id": "video0", "question": "q ?", "answer": "a", "answer_type": "q"}
    write_jsonl(tmp_path / "train.jsonl", [row, {**row, "video_id": "video1"}])
    write_media(tmp_path, "video0.mp4", "video1.gif")
    script = f"""
import sys
from datasets_scripts import load
from datasets_scripts.check import main
folder = sys.argv[1]
assert main(["msrvtt", "qa", "--annotation_dir", folder, "--no_progress"]) == 0
rows = load("msrvtt", "qa", annotation_dir=folder, check=True, quiet=True, progress=False, cache_dir=folder + "/cache")
assert rows["train"]["answer"][:] == ["a", "a"]
assert not [name for name in {HEAVY!r} if name in sys.modules]
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
