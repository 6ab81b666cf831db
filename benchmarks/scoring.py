"""Scoring texts against a video: ours in fp32 and bf16 beside the published procedure, all in one run.

The base model with random weights and one video of 4 clips of 2 frames at 448 px, from pixels to scores, against

- 64 texts of 5 to 20 tokens, 11.75 on average, padded to 20 by the published procedure, as captions of MSR-VTT are;
- 64 paragraphs of 25 to 100 tokens, 60 on average, padded to 100, as those of ActivityNet Captions are.

``exact_*`` and ``paragraphs_*`` say how many times faster than the published procedure ours is; ``gemm_*`` are GFLOP/s
of ``torch.mm`` on two 2048 x 2048 matrices; ``efficiency_*`` is the share of that rate that the encoder reaches on
captions: the operations that it does (24 S D^2 + 4 S^2 D a layer of S tokens, but the first layer's projections once a
text and a clip, and of the last layer what the [CLS] token needs) over its seconds. It is above 1 where oneDNN, which
multiplies for the encoder, is faster than what ``torch.mm`` calls. ``difference_*`` is the largest difference of a
score, 0 to 1.

Times are the minimum over repeats, which are interleaved so that other work on the machine hits all sides.

Run ``python -m benchmarks.scoring --output scoring.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.published_procedure import published_scores
from clipbert_hf import ClipBertConfig, ClipBertForVideoTextRetrieval
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer

CLIPS, FRAMES, TEXTS = 4, 2, 64
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
GEMM_SIDE = 2048


@dataclass(frozen=True)
class Texts:
    """Lengths of texts in tokens: the shortest, the longest, to which others are padded, and the mean."""

    shortest: int
    padded: int
    mean: float

    def tensors(self, texts: int, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Token numbers and mask, (texts, padded), of lengths that rise evenly to the mean and beyond it, shuffled."""
        generator = torch.Generator().manual_seed(0)
        # As many on each side as the mean asks for; exact but for rounding.
        share = (self.padded - self.mean) / (self.padded - self.shortest)
        places = (torch.arange(texts) + 0.5) / texts
        below = self.shortest + (self.mean - self.shortest) * places / share
        above = self.mean + (self.padded - self.mean) * (places - share) / (1 - share)
        lengths = torch.where(places < share, below, above).round().long()
        lengths[-1] = self.padded
        lengths = lengths[torch.randperm(texts, generator=generator)]
        input_ids = torch.randint(1, vocabulary, (texts, self.padded), generator=generator)
        mask = (torch.arange(self.padded) < lengths[:, None]).long()
        return input_ids * mask, mask


KINDS = {"exact": Texts(5, 20, 11.75), "paragraphs": Texts(25, 100, 60)}


def encoder_operations(config: ClipBertConfig, lengths: list[int], visual_tokens: int, clips: int) -> float:
    """Floating point operations of scoring texts of these lengths with the clips of a video."""
    D, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    projections, output, feed_forward = 6 * D * D, 2 * D * D, 4 * D * inner
    total = 0.0
    for length in lengths:
        S = length + visual_tokens
        whole_layers = (layers - 1) * (S * (projections + output + feed_forward) + 4 * S * S * D)
        first_token = output + feed_forward + 4 * S * D  # of the last layer, beside its projections
        last_projections = S * 4 * D * D + 2 * D * D
        once = S * projections if layers > 1 else last_projections  # those of the first layer are shared
        total += clips * (whole_layers + first_token + last_projections - once)
    return total + (sum(lengths) + clips * visual_tokens) * projections


def gemm_seconds(dtype: torch.dtype) -> float:
    """Seconds of one plain product, the least of several."""
    a, b = (torch.randn(GEMM_SIDE, GEMM_SIDE, dtype=torch.float32).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return min(seconds(lambda: torch.mm(a, b, out=out))[0] for _ in range(5))


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long a call takes, and what it returns."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


class Measurement:
    """Least seconds of each part, and scores to compare.

    Args:
        model: A retrieval model in evaluation mode, in fp32.
        pixels: Of one video.
        texts: How many.
    """

    def __init__(self, model: ClipBertForVideoTextRetrieval, pixels: torch.Tensor, texts: int) -> None:
        self.model, self.pixels = model, pixels
        self.texts = {kind: lengths.tensors(texts, model.config.vocab_size) for kind, lengths in KINDS.items()}
        self.scorers = {name: ClipBertPairScorer(model, dtype=dtype) for name, dtype in DTYPES.items()}
        self.seconds: dict[str, float] = {}
        self.scores: dict[str, torch.Tensor] = {}

    def repeat(self) -> None:
        """Do everything once, in turn."""
        for name, dtype in DTYPES.items():
            self._note(f"gemm_{name}", gemm_seconds(dtype))
        for kind, (input_ids, mask) in self.texts.items():
            taken, self.scores[f"{kind}_published"] = seconds(
                partial(published_scores, self.model, self.pixels, input_ids, mask)
            )
            self._note(f"{kind}_published", taken)
            for name, scorer in self.scorers.items():
                encoding, videos = seconds(partial(scorer.encode_videos, self.pixels))
                scoring, output = seconds(partial(scorer.score_pairs, input_ids, mask, videos=videos))
                self._note(f"{kind}_{name}", encoding + scoring)
                self._note(f"{kind}_{name}_encoder", scoring)
                self.scores[f"{kind}_{name}"] = output.scores

    def _note(self, name: str, taken: float) -> None:
        self.seconds[name] = min(taken, self.seconds.get(name, taken))

    def results(self) -> dict[str, Any]:
        """The figures of the module's docstring."""
        results: dict[str, Any] = {}
        lengths = self.texts["exact"][1].sum(1).tolist()
        visual_tokens = self.scorers["fp32"].encode_videos(self.pixels).tokens.shape[1]
        operations = encoder_operations(self.model.config, lengths, visual_tokens, self.pixels.shape[1])
        for name in DTYPES:
            results[f"gemm_{name}"] = 2 * GEMM_SIDE**3 / self.seconds[f"gemm_{name}"] / 1e9
            for kind in KINDS:
                results[f"{kind}_{name}"] = self.seconds[f"{kind}_published"] / self.seconds[f"{kind}_{name}"]
            rate = operations / self.seconds[f"exact_{name}_encoder"] / 1e9
            results[f"efficiency_{name}"] = rate / results[f"gemm_{name}"]
            results[f"difference_{name}"] = max(
                float((self.scores[f"{kind}_{name}"] - self.scores[f"{kind}_published"]).abs().max()) for kind in KINDS
            )
        return results | {"seconds": self.seconds}


def print_table(results: dict[str, Any]) -> None:
    """Print seconds and ratios, a line for each kind of texts and type."""
    taken = results["seconds"]
    sys.stdout.write("texts       type   published s    ours s  of it encoder   speedup\n")
    for kind in KINDS:
        for name in DTYPES:
            sys.stdout.write(
                f"{kind:11} {name} {taken[f'{kind}_published']:13.2f} {taken[f'{kind}_{name}']:9.2f} "
                f"{taken[f'{kind}_{name}_encoder']:14.2f} {results[f'{kind}_{name}']:8.2f}x\n"
            )
    for name in DTYPES:
        sys.stdout.write(
            f"{name}: torch.mm {results[f'gemm_{name}']:.0f} GFLOP/s, encoder at {results[f'efficiency_{name}']:.0%} "
            f"of it; scores differ by at most {results[f'difference_{name}']:.1e}\n"
        )


def run(config: ClipBertConfig, *, side: int, texts: int, repeats: int) -> dict[str, Any]:
    """Measure a model of a configuration, with random weights."""
    torch.manual_seed(0)
    model = ClipBertForVideoTextRetrieval(config).eval()
    pixels = torch.rand(1, CLIPS, FRAMES, 3, side, side) * 255 - 120
    measurement = Measurement(model, pixels, texts)
    for scorer in measurement.scorers.values():  # lays the weights out, and finds the size of blocks
        videos = scorer.encode_videos(pixels)
        for input_ids, mask in measurement.texts.values():
            scorer.score_pairs(input_ids, mask, videos=videos)
    for _ in range(repeats):
        measurement.repeat()
    return measurement.results()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved runs, of which the fastest counts")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    begin = os.getloadavg()
    config = ClipBertConfig(score_aggregation="lse")
    results = run(config, side=448, texts=TEXTS, repeats=options.repeats)
    results |= {"load_average": [begin, os.getloadavg()], "threads": options.threads, "torch": torch.__version__}
    print_table(results)
    if options.output:
        options.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
