"""The comparison of ranks measures four ways of scoring the same test set."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.retrieval_ranks import METHODS, run
from clipbert_hf import ClipBertForVideoTextRetrieval, ClipBertProcessor


def test_ranks_are_equal(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ClipBertForVideoTextRetrieval.from_pretrained(pretrained)
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.mul_(30)
    model.save_pretrained(tmp_path)
    ClipBertProcessor.from_pretrained(pretrained).save_pretrained(tmp_path)
    results = run(tmp_path, small_data, clips=2, dataset_options={})
    assert results["fp32"] == results["forward"] == results["published"]
    assert results["difference_fp32"] < 1e-4
    assert results["videos"] == 6
    assert set(results["seconds"]) == set(METHODS)
    assert 0 < results["bf16"]["text_to_video"]["mean_rank"] <= 6
