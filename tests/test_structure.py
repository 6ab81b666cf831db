"""Who may import whom, and which files may travel to the Hub, as CONTRIBUTING.md draws it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from clipbert_hf.model.hub_code_clipbert import AUTO_MAP, model_code

ROOT = Path(__file__).parents[1]
PACKAGES = ("clipbert_hf", "clipbert_command_line", "datasets_scripts", "examples", "benchmarks")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
}
ALWAYS_INSTALLED = {"torch", "torchvision", "transformers", "timm", "numpy", "safetensors", "huggingface_hub", "PIL"}


def statements(tree: ast.AST, *, guarded: bool = True) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a file, wherever they stand, but for those that only type checkers see.

    Args:
        tree: The file.
        guarded: Also those inside of ``try``.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Try) and not guarded:
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        yield from statements(node, guarded=guarded)


@cache
def imported(module: str) -> frozenset[str]:
    """Absolute names of what a module of ours imports, our own ones as modules."""
    path, names = MODULES[module], set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for statement in statements(ast.parse(path.read_text("utf-8"))):
        if isinstance(statement, ast.Import):
            names.update(alias.name for alias in statement.names)
            continue
        base = statement.module or ""
        if statement.level:
            parents = package.split(".")
            base = ".".join([*parents[: len(parents) - statement.level + 1], *filter(None, [statement.module])])
        submodules = {f"{base}.{alias.name}" for alias in statement.names} & MODULES.keys()
        names.update(submodules or {base})
    return frozenset(names)


@cache
def reached(module: str) -> frozenset[str]:
    """Everything that a module imports, and what those of ours import in turn."""
    seen, todo = set(), [module]
    while todo:
        for name in imported(todo.pop()) - seen:
            seen.add(name)
            if name in MODULES:
                todo.append(name)
    return frozenset(seen)


def ours(names: frozenset[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] in PACKAGES}


def modules_in(*places: str) -> list[str]:
    """The modules that are one of these, or lie in one of these packages."""
    return [name for name in MODULES if any(name == place or name.startswith(f"{place}.") for place in places)]


VIDEO = ("clipbert_hf.video", "clipbert_hf.errors")
MODEL = ("clipbert_hf.model", *VIDEO)
# Data sets load no torch and so nothing of clipbert_hf; what VQA v2's answers are is known to them and to its metric.
METRICS = ("clipbert_hf.metrics", "datasets_scripts.annotations.vqa_answers")
ALLOWED = {
    "clipbert_hf.errors": (),
    "clipbert_hf.video": VIDEO,
    "clipbert_hf.video.sampling": ("clipbert_hf.errors",),
    # Loaded one by one by datasets_scripts.preparation.reader_rules.
    "clipbert_hf.video.completeness": (),
    "clipbert_hf.video.packet_table": (),
    "clipbert_hf.video.orientation": (),
    "clipbert_hf.video.picture": ("clipbert_hf.video.orientation",),
    "clipbert_hf.model": MODEL,
    "clipbert_hf.model.configuration_clipbert": ("clipbert_hf.errors", "clipbert_hf.model.hub_code_clipbert"),
    "clipbert_hf.data_collator": MODEL,
    "clipbert_hf.metrics": METRICS,
    "clipbert_hf.retrieval": ("clipbert_hf.retrieval", *MODEL, *METRICS),
    "clipbert_hf.explanation": ("clipbert_hf.explanation", "clipbert_hf.retrieval", *MODEL, *METRICS),
    # Checks itself on videos of the embedded data set.
    "clipbert_hf.export": ("clipbert_hf.export", "datasets_scripts", *MODEL),
    "clipbert_hf.training": ("clipbert_hf.training", "clipbert_hf.retrieval", "datasets_scripts", *MODEL, *METRICS),
    "clipbert_hf.training.loop": tuple(
        f"clipbert_hf.{name}"
        for name in (
            *("errors", "training.checkpoints", "training.evaluation", "training.faults", "training.loop"),
            *("training.optimization", "training.recipe", "training.tracking"),
        )
    ),
    "datasets_scripts": ("datasets_scripts",),
}


@pytest.mark.parametrize("place", ALLOWED)
def test_who_may_import_whom(place):
    """In the end, not only directly."""
    allowed = set(modules_in(*ALLOWED[place]))
    for module in modules_in(place):
        assert ours(reached(module)) <= allowed, f"{module} reaches {sorted(ours(reached(module)) - allowed)}"


def test_the_rules_see_what_is_imported():
    """The loop of training is reached from the run, by relative imports; and imports in functions count."""
    assert "clipbert_hf.video.reading" in reached("clipbert_hf.training.run")
    assert "decord" in imported("clipbert_hf.video.gated_readers")
    assert "av" in reached("datasets_scripts.check")


def test_data_sets_never_load_a_framework():
    frameworks = {"torch", "torchvision", "transformers", "timm", "accelerate"}
    for module in modules_in("datasets_scripts"):
        assert not {name.split(".")[0] for name in reached(module)} & frameworks, module


def test_the_rules_that_preparing_shares_with_the_reader_need_numpy_only():
    for name in ("completeness", "orientation", "packet_table"):
        packages = {each.split(".")[0] for each in imported(f"clipbert_hf.video.{name}")}
        assert packages <= {"numpy"} | set(sys.stdlib_module_names), name


def test_pure_metrics_need_numpy_only():
    for module in modules_in("clipbert_hf.metrics"):
        if "evaluation_modules" not in module:
            assert not {name.split(".")[0] for name in imported(module)} & {"evaluate", "datasets", "torch"}, module


def test_nothing_imports_examples_or_benchmarks():
    for package in PACKAGES:
        for module in modules_in(package):
            foreign = {name for name in ours(imported(module)) if name.startswith(("examples", "benchmarks"))}
            assert all(name.startswith(f"{package}.") for name in foreign), module


def test_a_script_stands_alone_and_fits_two_screens():
    scripts = sorted((ROOT / "examples").glob("*.py"))
    assert {"run_multiple_choice", "run_pretraining", "run_retrieval", "run_video_qa"} <= {
        path.stem for path in scripts
    }
    assert len(scripts) <= 7
    for path in scripts:
        others = {name for name in imported(f"examples.{path.stem}") if name.startswith("examples")}
        # serve.py starts what is too large for a script.
        assert others == ({"examples.serving.command_line"} if path.stem == "serve" else set()), path
        assert len(path.read_text("utf-8").splitlines()) <= 150, path


def test_what_declares_commands_loads_what_they_do_when_they_are_called():
    """Help and completion must not wait for torch; ``test_startup`` measures what is loaded."""
    for module in modules_in("clipbert_command_line"):
        if ".actions" not in module:
            assert all(name.startswith("clipbert_command_line") for name in ours(imported(module))), module


def test_data_sets_are_found_at_a_glance():
    assert len(list((ROOT / "datasets_scripts").glob("*.py"))) <= 18


# --- What travels to the Hub ---

FLAT = {name.removesuffix(".py"): ast.parse(text) for name, text in model_code().items()}


@pytest.mark.parametrize("name", FLAT)
def test_saved_code_can_travel(name):
    """Remote code finds siblings only as single-level relative imports, and demands every unguarded package."""
    packages = set()
    for statement in statements(FLAT[name]):
        if isinstance(statement, ast.ImportFrom) and statement.level:
            assert statement.level == 1, ast.unparse(statement)
            assert statement.module in FLAT, ast.unparse(statement)
    for statement in statements(FLAT[name], guarded=False):
        if isinstance(statement, ast.Import):
            packages.update(alias.name.split(".")[0] for alias in statement.names)
        elif not statement.level:
            packages.add((statement.module or "").split(".")[0])
    assert packages <= ALWAYS_INSTALLED | set(sys.stdlib_module_names)
    # transformers reads imports as text, so a docstring must not look like one.
    relative = re.findall(r"^\s*from\s+\.(\S+)\s+import", model_code()[f"{name}.py"], flags=re.MULTILINE)
    assert set(relative) <= FLAT.keys()


def test_every_auto_class_brings_all_saved_code():
    """The files that an Auto class names lead to hub_code, which leads to all others, as transformers reads them."""
    texts = {name: model_code()[f"{name}.py"] for name in FLAT}
    edges = {name: set(re.findall(r"^\s*from\s+\.(\S+)\s+import", text, flags=re.M)) for name, text in texts.items()}
    for entry in {target.split(".")[0] for target in AUTO_MAP.values()}:
        found, todo = set(), [entry]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo.extend(edges[name])
        assert found == set(FLAT), entry
