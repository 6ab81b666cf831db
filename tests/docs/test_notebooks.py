"""The notebooks, run from the top to the end without Jupyter: their cells are plain Python."""

from __future__ import annotations

import ast
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from documentation import Block
from script_runs import EXAMPLES

NOTEBOOKS = sorted((EXAMPLES / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[Block]:
    """The cells with code; the line of a block is the number of its cell."""
    content = json.loads(path.read_text("utf-8"))
    found = [(n, cell) for n, cell in enumerate(content["cells"]) if cell["cell_type"] == "code"]
    return [Block(path.name, n, "python", "".join(cell["source"]), None) for n, cell in found]


def run(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run all cells in one namespace, which is returned."""
    module = ModuleType("notebook")
    monkeypatch.setitem(sys.modules, "notebook", module)
    for cell in cells(path):
        exec(compile(cell.code, str(cell), "exec"), module.__dict__)
    return module.__dict__


def test_asks_and_searches(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree("my-retrieval-model", "runs/demo_retrieval/retrieval")
    names = run(EXAMPLES / "notebooks" / "ask_and_search.ipynb", monkeypatch)
    assert [len(names["answers"]), len(names["videos"])] == [3, 2]
    assert all((home / picture).read_bytes()[:4] == b"\x89PNG" for picture in ("when.png", "where.png"))
    assert names["index"].errors == {}


def test_fine_tunes(home: Path, prepared_rows_in_a_folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree("data")
    names = run(EXAMPLES / "notebooks" / "fine_tune.ipynb", monkeypatch)
    assert names["results"]["steps"] == 8
    assert (home / "runs/mine/model.safetensors").is_file()


def test_nothing_is_left_in_them() -> None:
    """Without outputs, so that a change shows; with code that parses."""
    assert len(NOTEBOOKS) == 2
    for path in NOTEBOOKS:
        content = json.loads(path.read_text("utf-8"))
        assert all(not cell.get("outputs") for cell in content["cells"])
        assert all(ast.parse(cell.code) for cell in cells(path))
