"""The settings of each task; ``docs/settings.md`` is made here, out of the recipes' own explanations.

``python -m pytest tests/docs/test_settings_table.py --write-tables`` writes it anew.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from script_runs import ROOT

from clipbert_hf.training.recipe import DataSettings, LoopSettings, ScriptSettings, StartSettings
from clipbert_hf.training.tasks.multiple_choice import MultipleChoiceRecipe
from clipbert_hf.training.tasks.pretraining import PretrainingRecipe
from clipbert_hf.training.tasks.retrieval_batches import RetrievalRecipe
from clipbert_hf.training.tasks.video_qa import VideoQARecipe

PAGE = ROOT / "docs" / "settings.md"
HEAD = """# Settings

What a recipe holds, and what `--name value` changes on the command line; a table that
`tests/docs/test_settings_table.py` makes out of the recipes themselves. `model` and `processor` are mappings, of the
fields of `ClipBertConfig` and of the options of `ClipBertVideoProcessor`; so is `dataset_options`, of the arguments of
a loader: a dot reaches into them (`--processor.size.longest_edge 224`). `null` in YAML stands for none.

A run that is resumed must have the settings that it began with, but for those marked with ✓.
"""
EVERY_TASK = {"Training": LoopSettings, "Data": DataSettings, "Start": StartSettings}
TASKS = {
    "video_qa": VideoQARecipe,
    "multiple_choice": MultipleChoiceRecipe,
    "retrieval": RetrievalRecipe,
    "pretraining": PretrainingRecipe,
}


def default_of(entry: dataclasses.Field[Any]) -> str:
    value = entry.default if entry.default_factory is dataclasses.MISSING else entry.default_factory()
    return "" if value is dataclasses.MISSING else f"`{json.dumps(value)}`"


def type_of(entry: dataclasses.Field[Any]) -> str:
    """As a recipe has it: the words of a Literal in place of its name."""
    kind = re.sub(r"Literal\[([^\]]*)\]", lambda found: found[1].replace('"', ""), str(entry.type))
    return kind.replace(" | None", ", null").replace("|", "\\|")


def table(title: str, fields: list[dataclasses.Field[Any]]) -> str:
    lines = [f"\n## {title}", "| setting | type | default | meaning | may change |", "| --- | --- | --- | --- | --- |"]
    for entry in fields:
        changes = "✓" if entry.metadata.get("may_change") else ""
        meaning = entry.metadata.get("help", "").replace("|", "\\|")
        lines.append(f"| `{entry.name}` | {type_of(entry)} | {default_of(entry)} | {meaning} | {changes} |")
    return "\n".join(lines)


def test_the_page_is_what_the_recipes_say(request: pytest.FixtureRequest) -> None:
    common = {entry.name for entry in dataclasses.fields(ScriptSettings)}
    parts = [table(f"{title}, every task", list(dataclasses.fields(group))) for title, group in EVERY_TASK.items()]
    own = {entry.name for group in EVERY_TASK.values() for entry in dataclasses.fields(group)}
    parts.append(table("Besides", [each for each in dataclasses.fields(ScriptSettings) if each.name not in own]))
    for task, recipe in TASKS.items():
        assert common <= {entry.name for entry in dataclasses.fields(recipe)}
        parts.append(table(f"`{task}`", [each for each in dataclasses.fields(recipe) if each.name not in common]))
    page = HEAD + "\n".join(parts) + "\n"
    if request.config.getoption("--write-tables"):
        PAGE.write_text(page, "utf-8")
    assert PAGE.read_text("utf-8") == page, "run this test with --write-tables and look at what it wrote"
