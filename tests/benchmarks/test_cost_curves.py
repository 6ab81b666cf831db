"""The cost curves score every pair, and the projection is the arithmetic that it says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.cost_curves.curves import Work, curves, do_share
from benchmarks.cost_curves.plots import plot
from benchmarks.cost_curves.projection import H100_PEAK, cnn_operations, project
from clipbert_hf import ClipBertConfig


def test_shares_make_the_whole() -> None:
    work = Work(clips=2, texts=3, videos=5)
    assert [do_share(work, rank, 2) for rank in range(2)] == [3 * 3, 2 * 3]
    assert do_share(work, 0, 1) == 15


def test_points_and_pictures(tmp_path: Path) -> None:
    sizes = {"clips": (1, 2), "texts": (1,), "videos": (1, 3)}
    with ThreadPoolExecutor(1) as one:
        found = curves({1: one}, sizes, repeats=1, base=Work(clips=1, texts=2, videos=2))
    assert [point.work for point in found["videos"]] == [Work(1, 2, 1), Work(1, 2, 3)]
    row = found["clips"][1].as_row()
    assert row["seconds"] > 0
    assert row["rate"] * row["seconds"] == pytest.approx(2 * 2 * 2)
    for path in plot(found, tmp_path, "a note"):
        with Image.open(path) as image:
            assert image.width > 1000


def test_a_projection_is_operations_over_peak_and_efficiency() -> None:
    projected = project({"encoder": 3 * H100_PEAK, "cnn": H100_PEAK}, 0.5)
    assert projected["seconds"]["1_accelerators"] == {"as_here": 8, "half_of_it": 16}
    assert projected["seconds"]["8_accelerators"] == {"as_here": 1, "half_of_it": 2}
    assert "not a measurement" in projected["is"]


def test_operations_of_the_cnn() -> None:
    """ResNet-50 does 4.1 billion multiplications and additions on 224 x 224 pixels; four times the pixels, our 448."""
    operations, cells = cnn_operations(ClipBertConfig(), 448)
    assert cells == 49
    assert 4 * 2 * 3.5e9 < operations < 4 * 2 * 6e9
