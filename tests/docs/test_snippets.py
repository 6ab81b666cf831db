"""The Python of README and of the pages, run as it stands there, from the top of a page to its end.

Models are tiny and have random weights, so nothing is asked of what they answer but that the code runs. What needs the
Hub runs on local folders in place of the names there, and the page says so in a comment before the block; what is not
run has a comment too, and both are counted.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from documentation import Block, blocks, pages
from script_runs import ROOT

from clipbert_hf import export

PYTHON = {str(page.relative_to(ROOT)): blocks(page, "python") for page in pages()}
# Names of the Hub, and the folders that stand in for them.
HUB = {"timm/resnet50.a1_in1k": "cnn", "google-bert/bert-base-uncased": "bert"}


def run_block(block: Block, module: ModuleType, port: int | None) -> None:
    """Run a block in the namespace of its page, under its name and line in a traceback; its server has another port."""
    code = block.code if port is None else block.code.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    if block.note:
        for name, folder in HUB.items():
            code = code.replace(name, folder)
    exec(compile("\n" * (block.line - 1) + code, str(ROOT / block.page), "exec"), module.__dict__)


def a_server() -> AbstractContextManager[Any]:
    """The server that a page asks; the page is skipped where there is no FastAPI."""
    from running_server import running

    return running(model="runs/demo/model")


@pytest.mark.parametrize("page", [page for page, found in PYTHON.items() if found])
def test_a_page_runs(
    page: str,
    home: Path,
    prepared_rows_in_a_folder: None,
    hub_folders: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if page == "docs/export.md":
        export.export_model("my-retrieval-model", Path("exported"), file_format="torch")
    if page == "docs/shards.md":
        from datasets_scripts.export import main

        command = ["custom", "retrieval", "--annotation_dir", "data", "--video_dir", "data/videos", "--no_progress"]
        assert main([*command, "--output", "hub/clips", "--media", "shards"]) == 0
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # where a dataclass looks up its annotations
    with a_server() if page == "docs/how_to/serve.md" else nullcontext() as server:
        for block in PYTHON[page]:
            if block.is_run:
                run_block(block, module, server and server.port)
                shown = [line for line in block.code.splitlines() if line.lstrip().startswith("print(")]
                assert len(capsys.readouterr().out.splitlines()) >= len(shown)


def test_how_many_are_run() -> None:
    """A block that joins or leaves changes these numbers, which the documentation states."""
    all_blocks = [block for found in PYTHON.values() for block in found]
    on_stand_ins = [block for block in all_blocks if block.note and block.is_run]
    not_run = [str(block) for block in all_blocks if not block.is_run]
    assert (len(all_blocks), len(on_stand_ins), len(not_run)) == (18, 1, 1), not_run
