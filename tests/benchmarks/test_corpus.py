"""A small corpus goes through all of the benchmark but its own processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import corpus


def test_a_small_corpus(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "_INDEXING_SECONDS", 0.1)
    corpus.generate(tmp_path, rows=300, images=10)
    assert len([*(tmp_path / "coco" / "images").iterdir()]) == 4
    assert len([*(tmp_path / "vg" / "images").iterdir()]) == 6
    results = corpus.run(tmp_path)
    assert results["rows"] == 300
    assert results["rows_per_second"] > 0
    assert results["start_seconds"] >= results["import_seconds"]
    assert "started\n" in capfd.readouterr().out


def test_memory_is_that_of_a_process_and_its_children() -> None:
    before = corpus.memory(os.getpid())
    assert before["Pss"] >= before["Pss_Anon"] > 0.01
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in corpus._children(os.getpid())
        assert corpus.memory(child.pid)["Pss"] > 0
