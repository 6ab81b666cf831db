"""All scores of a split by one model: of the contrastive head, and of every clip of every pair."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from benchmarks.stated_losses.rankings import Scores
from clipbert_hf import ClipBertForVideoTextRetrieval, ClipBertProcessor
from clipbert_hf.model.contrastive_clipbert import contrastive_similarity
from clipbert_hf.model.encoded_videos_clipbert import join_videos
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer, ranking_scores
from clipbert_hf.training.data.splits import load_splits
from clipbert_hf.training.recipe import DataSettings

CLIPS = 16
_VIDEOS_AT_ONCE = 10


@torch.inference_mode()
def score_split(model_folder: Path, data: Path, split: str, kept: Path) -> Scores:
    """Score every text with every clip of every video.

    Args:
        model_folder: A model for retrieval with its processor.
        data: A folder of the embedded data set.
        split: Of it.
        kept: A file for the scores, from which they are taken if it is there.
    """
    rows = load_splits(DataSettings(data_dir=str(data)), "retrieval")[split]
    videos = list(dict.fromkeys(row["video"] for row in rows))
    video_of_text = np.array([videos.index(row["video"]) for row in rows])
    if not kept.exists():
        found = _score([row["caption"] for row in rows], videos, model_folder)
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part.npz")
        np.savez(part, **found)
        part.replace(kept)
    with np.load(kept) as arrays:
        first = arrays.get("first_stage")
        seconds = {"first_stage": float(arrays["seconds"][0]), "matching": float(arrays["seconds"][1])}
        return Scores(first, arrays["clips"], video_of_text, seconds)


def _score(texts: list[str], videos: list[str], model_folder: Path) -> dict[str, Any]:
    model = ClipBertForVideoTextRetrieval.from_pretrained(model_folder).eval()
    processor = ClipBertProcessor.from_pretrained(model_folder)
    scorer = ClipBertPairScorer(model, dtype=torch.bfloat16, pairs_at_once=512)
    exact = ClipBertPairScorer(model)
    tokens = dict(processor(text=texts))
    columns: list[np.ndarray] = []
    vectors: list[torch.Tensor] = []
    seconds = [0.0, 0.0]
    for first in range(0, len(videos), _VIDEOS_AT_ONCE):
        encoded = []
        for video in videos[first : first + _VIDEOS_AT_ONCE]:
            pixels = processor(videos=[video], num_clips=CLIPS, return_metadata=True)
            encoded.append(exact.encode_videos(pixels["pixel_values_videos"], pixels["frame_indices"]))
        block = join_videos(encoded)
        start = time.perf_counter()
        if model.contrastive is not None:
            vectors.append(model.embed_clips(block.tokens)[block.clip_places])
        seconds[0] += time.perf_counter() - start
        start = time.perf_counter()
        logits = cast("torch.Tensor", scorer.score_pairs(**tokens, videos=block).clip_logits)  # (N, B, K, L)
        seconds[1] += time.perf_counter() - start
        columns.append(ranking_scores(logits).numpy())
    found: dict[str, Any] = {"clips": np.concatenate(columns, 1)}
    if model.contrastive is not None:
        start = time.perf_counter()
        of_texts, kept = model.embed_texts(tokens["input_ids"], tokens["attention_mask"])
        pooling: Any = model.config.contrastive_pooling
        found["first_stage"] = contrastive_similarity(of_texts, kept, torch.cat(vectors), pooling=pooling).numpy()
        seconds[0] += time.perf_counter() - start
    return {**found, "seconds": np.array(seconds)}
