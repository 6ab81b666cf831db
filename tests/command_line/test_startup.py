"""Help, completion and refused command lines load no framework."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest
from script_runs import ROOT

from clipbert_command_line import training
from clipbert_hf.training.recipe_files import recipe_names
from clipbert_hf.training.scripts import TASKS

DRIVER = """
import contextlib, io, json, sys
from clipbert_command_line.main import main

ended = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    ended.append([status, out.getvalue(), err.getvalue()])
print(json.dumps([ended, sorted({"torch", "transformers", "numpy", "clipbert_hf"} & set(sys.modules))]))
"""
COMMANDS = ["ask", "choose", "match", "index", "search", "train", "data", "info", "doctor", "push"]


def alone(code: str, *arguments: str, **environment: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run(
        [sys.executable, *(["-c", code] if code else ["-m", "clipbert_command_line"]), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_and_refusals_load_no_framework():
    helps = [["--help"], *([name, "--help"] for name in COMMANDS), ["data", "check", "--help"]]
    refused = [["ask"], ["aks"], ["ask", "no.mp4", "what ?", "--model", "x"], ["train", "pre"], ["search", "x"]]
    ended, loaded = json.loads(alone(DRIVER, json.dumps([*helps, ["--version"], *refused])))
    assert loaded == []
    for arguments, (status, out, err) in zip(helps, ended, strict=False):
        assert (status, err) == (0, ""), arguments
        assert "sage: clipbert " + " ".join(arguments[:-1]) in out
    assert ended[len(helps)] == [0, f"clipbert_hf {version('clipbert_hf')}\n", ""]
    for status, out, err in ended[-len(refused) :]:
        assert (status, out) == (2, "")
        assert len(err.splitlines()) == 1
    assert "--annotation_dir" in ended[len(helps) - 1][1]


def test_every_option_is_explained_in_each_command():
    ended, _ = json.loads(
        alone(DRIVER, json.dumps([[name, "--help"] for name in COMMANDS if name not in ("train", "data")]))
    )
    for _, out, _ in ended:
        assert "--verbose" in out
        assert "--json" in out


def test_the_shell_completes_commands_tasks_and_recipes():
    def completed(words: str) -> list[str]:
        place = str(len(words.split(" ")) - 1)
        return alone("", _CLIPBERT_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=place).split()

    assert completed("clipbert in") == ["index", "info"]
    assert completed("clipbert train r") == ["retrieval"]
    assert completed("clipbert train retrieval retrieval_ms") == ["retrieval_msrvtt_4x1", "retrieval_msrvtt_8x2"]


def test_tasks_and_recipes_are_those_of_the_package():
    assert sorted(training.TASKS) == sorted(TASKS)
    assert training.recipe_names() == recipe_names()


@pytest.mark.parametrize("task", TASKS)
def test_help_of_a_task_lists_its_recipes_and_settings(task, clipbert):
    done = clipbert("train", task, "--help")
    assert done.status == 0
    assert {name for name in recipe_names() if name.startswith(task)} <= set(done.out.split())
    assert "--learning_rate (float; 5e-05)" in done.out
    assert "--processes N" in done.out
