"""The benchmark of searching, small: what it writes, and that it finds what it looks for."""

from __future__ import annotations

import json

import pytest
import torch
from video_indexes import SIZES

from benchmarks import search
from clipbert_hf.retrieval import index_table

pytest.importorskip("lancedb", reason='needs pip install "clipbert_hf[search]"')


def test_all_that_is_stated_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(search, "GEMM_SIDE", 64)
    monkeypatch.setattr("benchmarks.scoring.GEMM_SIDE", 64)
    monkeypatch.setattr(index_table, "_INDEXED_FROM", 3000)
    arguments = ["--output", str(tmp_path / "x.json"), "--videos", "12", "--entries", "3000", "--repeats", "1"]
    results = search.main(
        [*arguments, "--queries", "5"],
        **{name: value for name, value in SIZES.items() if not name.endswith("token_id")},
    )
    assert json.loads((tmp_path / "x.json").read_text()) == results == json.loads(capsys.readouterr().out)
    assert results["search_seconds_x_gemm_bf16"] == results["search_seconds"] * results["gemm_bf16"]
    assert results["search_seconds_k10_x_gemm_bf16"] == results["search_seconds_k10"] * results["gemm_bf16"]
    assert [(stage["pairs"], stage["pairs_with_clips"]) for stage in results["stages"]] == [
        (12, 12),
        (12, 48),
        (12, 48),
    ]
    for kind in ("clustered", "uniform"):
        found = results[f"first_stage_3000_{kind}"]
        assert found["recall_at_50"] > 0.95  # all groups of so few vectors are looked through
        assert found["megabytes"] > 3000 * 256 * 4 / 1e6
        assert found["index_megabytes"] > 3000 * 256 / 1e6
        assert found["milliseconds"] > 0


def test_clustered_vectors_have_few_directions_that_matter():
    """Participation ratio of the variances 1 / n of 256 directions: (sum 1 / n)² / sum 1 / n² = 6.12² / 1.64 = 22.9.

    To give all vectors one length makes it a little more even.
    """
    for draw, expected in ((search.clustered_vectors, 22.9), (search.uniform_vectors, 256)):
        vectors = torch.from_numpy(draw(torch.Generator().manual_seed(0), 20_000))
        variances = torch.linalg.eigvalsh(vectors.T.cov())
        assert float(variances.sum() ** 2 / variances.square().sum()) == pytest.approx(expected, rel=0.3)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(20_000))
