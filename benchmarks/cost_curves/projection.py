"""A projection, not a measurement: how long MSR-VTT's retrieval test would take on H100-class accelerators.

1,000 texts x 1,000 videos x 16 clips of 2 frames, base size, bf16. Counted are the operations that our scorer does.
Assumed are the rest: the published peak of an H100 SXM for dense bf16 products, and the share of it that is reached.
For that share two values are given: the one that our encoder reaches of a plain product's rate on the machine at hand,
which is optimistic, since no product reaches the peak; and half of it. Videos are independent of each other, so eight
accelerators are assumed to take an eighth. Decoding is left out.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.scoring import GEMM_SIDE, KINDS, encoder_operations, gemm_seconds, seconds
from clipbert_hf import ClipBertConfig, ClipBertForVideoTextRetrieval
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer

TEXTS, VIDEOS, CLIPS, FRAMES, SIDE = 1000, 1000, 16, 2, 448
H100_PEAK = 989e12  # dense bf16 operations a second, NVIDIA's data sheet of the H100 SXM


def cnn_operations(config: ClipBertConfig, side: int) -> tuple[float, int]:
    """Operations of the CNN on one frame, as PyTorch counts them, and how many cells its grid has."""
    with torch.device("meta"):
        backbone = ClipBertForVideoTextRetrieval(config).eval().clipbert.grid_backbone
        with FlopCounterMode(display=False) as counter:
            grid = backbone(torch.empty(1, 3, side, side))
    return float(counter.get_total_flops()), grid.shape[1] * grid.shape[2]


def test_set_operations(config: ClipBertConfig) -> dict[str, float]:
    """Operations of the whole test set: the encoder's, and the CNN's."""
    of_frame, cells = cnn_operations(config, SIDE)
    lengths = KINDS["exact"].tensors(TEXTS, config.vocab_size)[1].sum(1).tolist()
    return {
        "encoder": VIDEOS * encoder_operations(config, lengths, cells, CLIPS),
        "cnn": VIDEOS * CLIPS * FRAMES * of_frame,
    }


def measure_efficiency(config: ClipBertConfig, *, side: int, texts: int, clips: int, repeats: int) -> float:
    """The rate of our bf16 encoder on this machine as a share of a plain bf16 product's, at most 1."""
    torch.manual_seed(0)
    model = ClipBertForVideoTextRetrieval(config).eval()
    scorer = ClipBertPairScorer(model, dtype=torch.bfloat16)
    videos = scorer.encode_videos(torch.rand(1, clips, 1, 3, side, side) * 255 - 120)
    input_ids, mask = KINDS["exact"].tensors(texts, config.vocab_size)
    score = partial(scorer.score_pairs, input_ids, mask, videos=videos)
    score()
    operations = encoder_operations(config, mask.sum(1).tolist(), videos.tokens.shape[1], clips)
    runs = [(seconds(score)[0], gemm_seconds(torch.bfloat16)) for _ in range(repeats)]
    ours, plain = (min(column) for column in zip(*runs, strict=True))
    return min(operations / ours * plain / (2 * GEMM_SIDE**3), 1.0)


def project(operations: dict[str, float], efficiency: float) -> dict[str, Any]:
    """Seconds on one and on eight accelerators, under each assumption.

    Args:
        operations: Of :func:`test_set_operations`.
        efficiency: Of :func:`measure_efficiency`.
    """
    total = sum(operations.values())
    return {
        "is": "a projection from counted operations, not a measurement",
        "operations": operations,
        "assumed_peak": H100_PEAK,
        "assumed_efficiency": {"as_here": efficiency, "half_of_it": efficiency / 2},
        "seconds": {
            f"{number}_accelerators": {
                name: total / (H100_PEAK * share * number)
                for name, share in (("as_here", efficiency), ("half_of_it", efficiency / 2))
            }
            for number in (1, 8)
        },
    }
