"""The commands of README and of the pages.

Those that ask, search and handle data are run as they stand there, on tiny models and files. Of those that train, all
settings are read as the command reads them; of some others, whose work other tests do, the options are looked up in
their help. Servers are started with the page's options, but each on a free port, where curl asks what the page asks.
What needs the Hub or several machines is marked in the page, and counted.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from documentation import Block, blocks, commands, pages
from miniature_files import write_table
from script_runs import ROOT

from clipbert_command_line.main import main as clipbert
from clipbert_hf import ClipBertConfig, ClipBertVideoProcessor
from clipbert_hf.training import parse_recipe
from clipbert_hf.training.tasks.multiple_choice import MultipleChoiceRecipe
from clipbert_hf.training.tasks.pretraining import PretrainingRecipe
from clipbert_hf.training.tasks.retrieval_batches import RetrievalRecipe
from clipbert_hf.training.tasks.video_qa import VideoQARecipe
from examples.app.video_app.settings import read_settings as read_app_settings

SHELL = {str(page.relative_to(ROOT)): blocks(page, "sh") for page in pages()}
TASKS: dict[str, Any] = {
    "pretraining": PretrainingRecipe,
    "video_qa": VideoQARecipe,
    "retrieval": RetrievalRecipe,
    "multiple_choice": MultipleChoiceRecipe,
}
OPTIONS_ALONE = ("clipbert_hf.convert_original_checkpoint", "clipbert_hf.export.__main__")
APP = "examples/app/app.py"
PLAIN = ("ls", "for", "do", "done", "wait")


def expanded(found: list[Block]) -> Iterator[list[str]]:
    """The commands of a page with its variables filled in, without settings of the environment."""
    variables: dict[str, str] = {}

    def words(word: str) -> list[str]:
        value = variables.get(word.removeprefix("$")) if word.startswith("$") else None
        return [word] if value is None else [each for part in value.split() for each in words(part)]

    for block in found:
        for command in commands(block):
            while command and (assigned := re.fullmatch(r"([A-Z_]+)=(.*)", command[0])):
                variables[assigned[1]], command = assigned[2], command[1:]
            if command:
                yield [each for word in command for each in words(word)]


def kind(command: list[str]) -> str:
    """How a command is checked: ``run``, ``server``, ``curl``, ``settings``, ``options``, ``target`` or ``shell``."""
    first, *rest = command
    if first == "curl":
        return "curl"
    if command[:2] == ["python", "examples/serve.py"]:
        return "server"
    if first in PLAIN:
        return "shell"
    if first == "make":
        return "target"
    if command[:2] == ["clipbert", "train"] or command[:2] == ["accelerate", "launch"]:
        return "settings"
    if command[:2] == ["python", APP]:
        return "settings"  # run by tests/examples/app/test_app_in_browser.py
    if command[:2] in (["clipbert", "push"], ["clipbert", "report"]):
        return "options"
    if first == "python" and module_of(rest[1]) in OPTIONS_ALONE:
        return "options"
    assert first in ("clipbert", "python"), command
    return "run"


def module_of(name: str) -> str:
    """What ``python -m`` runs."""
    return f"{name}.__main__" if (ROOT / name.replace(".", "/")).is_dir() else name


def read_settings(command: list[str]) -> None:
    """Read the settings of the app, or of a training, which must name a task, a recipe and what that has."""
    if command[:2] == ["python", APP]:
        assert read_app_settings(command[2:]).models
        return
    if command[0] == "clipbert":
        task, *settings = command[2:]
        if "--processes" in settings:
            place = settings.index("--processes")
            assert int(settings[place + 1]) > 0
            del settings[place : place + 2]
        has_one_start(parse_recipe(TASKS[task], settings))
        return
    place = next(number for number, word in enumerate(command) if word.endswith(".py"))
    assert (ROOT / command[place]).is_file()
    for option, value in zip(command[2:place:2], command[3:place:2], strict=True):
        assert option != "--config_file" or (ROOT / value).is_file()
    has_one_start(parse_recipe(TASKS[Path(command[place]).stem.removeprefix("run_")], command[place + 1 :]))


def has_one_start(recipe: Any) -> None:
    """Training would refuse both a model and the parts of one to start from."""
    assert recipe.start_from is None or (recipe.vision, recipe.text) == (None, None), recipe


def read_options(command: list[str]) -> None:
    """Each option must be in the command's help."""
    shown = io.StringIO()
    with redirect_stdout(shown):
        if command[0] == "clipbert":
            assert clipbert([command[1], "--help"]) == 0
        else:
            with pytest.raises(SystemExit, match="0"):
                importlib.import_module(module_of(command[2])).main(["--help"])
    for word in command:
        assert not word.startswith("--") or word in shown.getvalue(), word


def run(command: list[str]) -> None:
    """Run a command within this process; it must end well."""
    if command[0] == "clipbert":
        assert clipbert(command[1:]) == 0
    else:
        assert importlib.import_module(command[2]).main([*command[3:], "--no_progress"]) == 0


def serve(command: list[str]) -> tuple[int, AbstractContextManager[Any]]:
    """The port that a command states, and a server with its options on another; skipped where there is no FastAPI."""
    from running_server import running

    from examples.serving.command_line import read_arguments

    stated = read_arguments(command[2:])
    return stated.port, running(**vars(stated.settings))


def curl(command: list[str], ports: dict[int, int]) -> None:
    """Run curl against the servers that the page has started, whose answers must be JSON."""
    words = [re.sub(r"(?<=^http://127.0.0.1:)\d+", lambda port: str(ports[int(port[0])]), word) for word in command]
    assert words != command
    done = subprocess.run([*words, "--silent", "--show-error", "--fail"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


@pytest.fixture
def tables(home: Path) -> Path:
    """Questions in ``data/mine``, and what pages call A and V."""
    (home / "A").symlink_to(home / "data" / "msrvtt")
    (home / "V").symlink_to(home / "data" / "msrvtt" / "videos")
    shutil.copytree(home / "data" / "videos", home / "data" / "mine" / "videos")
    rows = [[f"clip_{number}.mp4", "who rides ?", "a man"] for number in range(3)]
    for split, row in zip(("train", "validation", "test"), rows, strict=True):
        write_table(home / "data" / "mine" / f"{split}.csv", [["video", "question", "answer"], row], delimiter=",")
    return home


@pytest.mark.parametrize("page", [page for page, found in SHELL.items() if found])
def test_the_commands_of_a_page(
    page: str,
    tables: Path,
    prepared_rows_in_a_folder: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("videos/1.mp4\n"))  # what `ls videos/*.mp4` hands on
    ports: dict[int, int] = {}  # of servers: as stated, and as they are
    with ExitStack() as servers:
        for command in expanded([block for block in SHELL[page] if block.is_run]):
            check = kind(command)
            if check == "target":
                assert re.search(rf"^{command[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
            elif check == "settings":
                read_settings(command)
            elif check == "options":
                read_options(command)
            elif check == "server":
                port, server = serve(command)
                ports[port] = servers.enter_context(server).port
            elif check == "curl":
                curl(command, ports)
            elif check == "run":
                run(command)
    assert "Traceback" not in capsys.readouterr().err


def test_how_many_are_checked_how() -> None:
    """A command that joins or leaves changes these numbers."""
    found = [block for each in SHELL.values() for block in each]
    kinds = Counter(kind(c) for each in SHELL.values() for c in expanded([b for b in each if b.is_run]))
    not_run = sum(len(commands(block)) for block in found if not block.is_run)
    assert (dict(kinds), not_run) == (
        {
            **{"run": 20, "settings": 27, "options": 5, "target": 2, "shell": 5},
            **{"server": 3, "curl": 6},
        },
        7,
    )


def test_what_migration_names_is_there() -> None:
    """Settings, fields of the model and options of the processor; recipes."""
    page = (ROOT / "docs" / "migration.md").read_text("utf-8")
    options = re.findall(r"^\| .+? \| (.+) \|$", page.split("\n## Options\n")[1], re.MULTILINE)[2:]
    named = re.findall(r"`([a-z][\w.]*)`", "\n".join(options))
    settings = {entry.name for recipe in TASKS.values() for entry in fields(recipe)}
    inside = {"model": ClipBertConfig(), "processor": ClipBertVideoProcessor()}
    values = {"dense", "cross_entropy", "rank", "soft", "fp16", "bf16", "null", "test"}
    for name in named:
        first, _, rest = name.partition(".")
        assert first in settings | values, name
        assert not rest or first not in inside or hasattr(inside[first], rest.split(".")[0]), name
    recipes = {path.stem for path in (ROOT / "clipbert_hf" / "recipes").glob("*.yaml")}
    configurations = page.split("\n## Configurations\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| `\w+\.json`.*? \| (.+) \|$", configurations, re.MULTILINE)
    assert len(cells) == 8
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} <= recipes
