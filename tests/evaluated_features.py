"""Retrieval under bf16 in several processes: in which precision the CNN computes, in training and in evaluations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sharded_on_cpu
import torch
from script_runs import RECIPES

from clipbert_hf import ClipBertModel
from clipbert_hf.model.encoded_videos_clipbert import EncodedVideos
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer
from examples import run_retrieval

FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "BertLayer,ClipBertGridBackbone",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
}
OPTIONS = ["--max_steps", "4", "--evaluate_every", "2", "--batch_size", "2", "--num_workers", "0", "--tracker", "none"]
OPTIONS += ["--dataset_options", "{}", "--mixed_precision", "bf16", "--threads", "1", "--inference_clips", "1,2"]


def run(data: Path, begin: Path, output: Path) -> set[tuple[bool, torch.dtype]]:
    """Train, evaluate in the middle, train on and test; returns the dtypes of features in training and evaluation."""
    seen: set[tuple[bool, torch.dtype]] = set()
    get_grid_features = ClipBertModel.get_grid_features

    def noted(model: ClipBertModel, *arguments: torch.Tensor, **named: Any) -> torch.Tensor:
        grid = get_grid_features(model, *arguments, **named)
        seen.add((model.training, grid.dtype))
        return grid

    encode_videos = ClipBertPairScorer.encode_videos

    def noted_videos(scorer: ClipBertPairScorer, *arguments: torch.Tensor, **named: torch.Tensor) -> EncodedVideos:
        videos = encode_videos(scorer, *arguments, **named)
        seen.add((scorer.model.training, videos.tokens.dtype))
        return videos

    recipe = [str(RECIPES / "retrieval_moving_shapes.yaml"), "--data_dir", str(data), "--start_from", str(begin)]
    of_training, of_evaluation = (
        patch.object(ClipBertModel, "get_grid_features", noted),
        patch.object(ClipBertPairScorer, "encode_videos", noted_videos),
    )
    with of_training, of_evaluation:
        results = run_retrieval.main([*recipe, "--output_dir", str(output), *OPTIONS])
    assert results["test"]["text_to_video"]["r1"] >= 0
    return seen


def run_as_one_of_two(rank: int, sharded: bool, *arguments: Path) -> None:
    """Do so as one of two processes, with DDP or FSDP2."""
    if sharded:
        os.environ.update(FSDP2)
        sharded_on_cpu.allow_sharding()
    assert run(*arguments) == {(True, torch.bfloat16), (False, torch.bfloat16)}
