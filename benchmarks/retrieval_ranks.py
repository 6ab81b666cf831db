"""Do the ranks of a whole test set stay as they are? R@K as published, by ``forward``, and by the scorer of pairs.

On the test split of the embedded data set, with a model that was fine-tuned on it, such as ``make demo-retrieval``
leaves. ``published`` is ``benchmarks.published_procedure``; ``forward`` takes each video's features with all texts,
padded to the longest; the scorer computes in fp32 and in bf16. ``difference_*`` is the largest difference from what
the published procedure orders the videos by, the logit of a match minus that of none. Decoding is not timed.

Run ``python -m benchmarks.retrieval_ranks --model MODEL --data_dir DATA --output ranks.json``; after the demo ``MODEL``
and ``DATA`` are ``runs/demo_retrieval/retrieval`` and ``runs/demo_retrieval/data``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from benchmarks.published_procedure import published_logits
from clipbert_hf import ClipBertForVideoTextRetrieval, ClipBertProcessor
from clipbert_hf.metrics import retrieval_metrics
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer, ranking_scores
from clipbert_hf.training.data.splits import load_splits
from clipbert_hf.training.recipe import DataSettings

METHODS = ("published", "forward", "fp32", "bf16")


def score(
    model: ClipBertForVideoTextRetrieval, processor: ClipBertProcessor, texts: list[str], videos: list[str], clips: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Score every text with every video in each way.

    Returns:
        What orders the videos, (texts, videos), and the seconds that CNN and encoder took.
    """
    tokens = dict(processor(text=texts))
    scorers = {"fp32": ClipBertPairScorer(model), "bf16": ClipBertPairScorer(model, dtype=torch.bfloat16)}
    columns: dict[str, list[torch.Tensor]] = {method: [] for method in METHODS}  # logits (texts, 1, 2)
    seconds = dict.fromkeys(METHODS, 0.0)
    for video in videos:
        pixels = processor(videos=[video], num_clips=clips)["pixel_values_videos"]
        for method in METHODS:
            start = time.perf_counter()
            columns[method].append(_logits(method, model, scorers.get(method), tokens, pixels))
            seconds[method] += time.perf_counter() - start
    return {name: ranking_scores(torch.cat(some, 1)).float().numpy() for name, some in columns.items()}, seconds


@torch.inference_mode()
def _logits(
    method: str,
    model: ClipBertForVideoTextRetrieval,
    scorer: ClipBertPairScorer | None,
    tokens: dict[str, torch.Tensor],
    pixels: torch.Tensor,
) -> torch.Tensor:
    """All texts with one video, (texts, 1, 2)."""
    if scorer is not None:
        return cast(
            "torch.Tensor",
            scorer.score_pairs(
                tokens["input_ids"], tokens["attention_mask"], videos=scorer.encode_videos(pixels)
            ).logits,
        )
    if method == "published":
        return published_logits(model, pixels, tokens["input_ids"], tokens["attention_mask"])
    return model(**tokens, grid_features=model.get_grid_features(pixels)).logits[:, None]


def run(model_folder: Path, data_dir: Path, *, clips: int, dataset_options: dict[str, Any]) -> dict[str, Any]:
    """Compare the metrics of the test split; prints a table."""
    model = ClipBertForVideoTextRetrieval.from_pretrained(model_folder).eval()
    processor = ClipBertProcessor.from_pretrained(model_folder)
    settings = DataSettings(data_dir=str(data_dir), dataset_options=dataset_options)
    rows = load_splits(settings, "retrieval")["test"]
    videos = list(dict.fromkeys(row["video"] for row in rows))
    video_of_text = np.array([videos.index(row["video"]) for row in rows])
    scores, seconds = score(model, processor, [row["caption"] for row in rows], videos, clips)
    results: dict[str, Any] = {"texts": len(rows), "videos": len(videos), "clips": clips, "seconds": seconds}
    sys.stdout.write(f"{len(rows)} texts x {len(videos)} videos x {clips} clips\n")
    for method in METHODS:
        results[method] = retrieval_metrics(scores[method], video_of_text)
        results[f"difference_{method}"] = float(np.abs(scores[method] - scores["published"]).max())
        line = ", ".join(f"{name} {value:.3f}" for name, value in results[method]["text_to_video"].items())
        sys.stdout.write(f"{method:9} {seconds[method]:7.1f} s  {line}\n")
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of a retrieval model")
    parser.add_argument("--data_dir", type=Path, required=True, help="of the data set moving_shapes")
    parser.add_argument("--dataset_options", type=json.loads, default={}, help="further options of it, as JSON")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    results = run(options.model, options.data_dir, clips=options.clips, dataset_options=options.dataset_options)
    if options.output:
        options.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
