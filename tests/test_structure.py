"""Who may import whom, and which files may travel to the Hub, as CONTRIBUTING.md draws it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOM = sorted((ROOT / "clipbert_hf" / "model").glob("*_clipbert.py"))
ALWAYS_INSTALLED = {"torch", "torchvision", "transformers", "timm", "numpy", "safetensors", "huggingface_hub", "PIL"}


def imported(path: Path, *, unguarded_only: bool = False) -> set[str]:
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if unguarded_only and isinstance(node, ast.Try):
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text("utf-8")))
    return names


@pytest.mark.parametrize("path", ROOM, ids=lambda path: path.stem)
def test_files_of_the_room_can_travel(path):
    """Remote code finds siblings only as single-level relative imports, and demands every unguarded package."""
    siblings = {file.stem for file in ROOM}
    for name in imported(path):
        if name.startswith("."):
            assert re.fullmatch(r"\.\w+", name), name
            assert name[1:] in siblings, name
        assert not name.startswith(("clipbert_hf", "datasets_scripts"))
    packages = {name.split(".")[0] for name in imported(path, unguarded_only=True) if not name.startswith(".")}
    assert packages <= ALWAYS_INSTALLED | set(sys.stdlib_module_names)
    # transformers reads imports as text, so a docstring must not look like one.
    relative = re.findall(r"^\s*from\s+\.(\S+)\s+import", path.read_text("utf-8"), flags=re.MULTILINE)
    assert set(relative) <= siblings


@pytest.mark.parametrize("name", ["clip_sampling", "clip_aggregation", "errors"])
def test_foundations_import_nothing_of_ours_but_errors(name):
    path = ROOT / "clipbert_hf" / "model" / f"{name}_clipbert.py"
    assert {module for module in imported(path) if module.startswith(".")} <= {".errors_clipbert"}


def test_every_file_of_the_room_leads_to_the_hub_code():
    """Each Auto class brings the whole room only if its file imports hub_code in the end."""
    edges = {path.stem: {name[1:] for name in imported(path) if name.startswith(".")} for path in ROOM}
    reached, todo = set(), ["hub_code_clipbert"]
    while todo:
        stem = todo.pop()
        if stem not in reached:
            reached.add(stem)
            todo.extend(edges[stem])
    assert reached == set(edges)
    for entry in ("configuration_clipbert", "modeling_clipbert", "processing_clipbert", "video_processing_clipbert"):
        assert "hub_code_clipbert" in edges[entry] | set().union(*(edges[stem] for stem in edges[entry]))


def test_data_sets_and_metrics_never_import_the_model():
    for folder in ("datasets_scripts", "clipbert_hf/metrics"):
        for path in (ROOT / folder).rglob("*.py"):
            ours = {name for name in imported(path) if "clipbert" in name}
            assert ours <= {"clipbert_hf.model.errors_clipbert"}, f"{path}: {ours}"


def test_nothing_imports_examples_or_benchmarks():
    examples = {path.stem for path in (ROOT / "examples").glob("*.py")} | {"examples", "benchmarks"}
    for folder in ("clipbert_hf", "datasets_scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not {name.split(".")[0] for name in imported(path)} & examples, path
