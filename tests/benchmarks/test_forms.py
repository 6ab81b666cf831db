"""A few videos in two forms go through the benchmark, one of them streamed."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
from accelerate_fixtures import fresh_accelerate

from benchmarks import forms
from benchmarks.forms import Kind, Variant

__all__ = ["fresh_accelerate"]


@pytest.fixture
def every(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Variant]:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setitem(forms.KINDS, "embedded", Kind(videos=6, edge=64, batch_size=2))
    return [*forms.variants(tmp_path, ["embedded"], ["files", "tar"])]


def test_every_form_is_read(every: list[Variant], tmp_path: Path) -> None:
    assert [(each.prepared, each.form, each.streamed) for each in every] == [
        (prepared, *how) for prepared in (False, True) for how in (("files", False), ("tar", False), ("tar", True))
    ]
    assert len([*(tmp_path / "embedded" / "original" / "tar").rglob("*.tar")]) > 1
    for variant in every[2:4]:
        assert forms._read_epoch(["--output_dir", str(tmp_path / "run"), *variant.options, "--num_workers", "0"]) > 0


@pytest.mark.long
@pytest.mark.slow
def test_a_run_is_measured(every: list[Variant], tmp_path: Path) -> None:
    found = forms.measure(every[2], 2, tmp_path / "run")
    assert found["reading_ms"] > 0
    assert found["samples_per_second"] > 0
    assert 0 < found["stall_share"] < 1
    figures = {"kind": "embedded", "prepared": True, "form": "tar", "streamed": True, **found, "rounds": [found]}
    assert "| embedded, prepared | tar | streamed |" in forms.table([figures])


def test_real_clips_are_named_after_their_number(tmp_path: Path) -> None:
    rows = forms.make_rows("real", Kind(videos=4, edge=64, batch_size=2), tmp_path / "videos")
    assert [row["answer"] for row in rows] == ["bikes", "bigbuckbunny", "carphone_pristine", "bikes"]
    assert Path(rows[3]["video"]).read_bytes() == Path(rows[0]["video"]).read_bytes()
