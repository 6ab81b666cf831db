"""A training step beside the published clip-by-clip step, and the memory that activation checkpointing saves.

The base model, 2 videos with 2 texts each, 4 clips of 2 frames at 448 px: forward, backward and AdamW, without dropout.
``step_fp32`` and ``step_bf16`` (autocast) say how many times faster than the published step ours is; times are the
minimum over interleaved repeats. ``checkpointed_memory`` is the peak memory of a process that trains with activation
checkpointing over that of one without, each a process of its own, in fp32.

Run ``python -m benchmarks.training --output training.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.published_procedure import published_loss
from clipbert_hf import ClipBertConfig, ClipBertForVideoTextRetrieval

VIDEOS, TEXTS_PER_VIDEO, CLIPS, FRAMES, TOKENS = 2, 2, 4, 2, 20
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


class Step:
    """A model, an optimizer and a batch.

    Args:
        config: Of the model, without dropout.
        side: Of a frame, in pixels.
    """

    def __init__(self, config: ClipBertConfig, side: int) -> None:
        torch.manual_seed(0)
        self.model = ClipBertForVideoTextRetrieval(config).train()
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-5)
        texts = VIDEOS * TEXTS_PER_VIDEO
        lengths = torch.linspace(TOKENS // 3, TOKENS, texts).long()
        self.mask = (torch.arange(TOKENS) < lengths[:, None]).long()
        self.input_ids = torch.randint(1, config.vocab_size, (texts, TOKENS)) * self.mask
        self.pixels = torch.rand(VIDEOS, CLIPS, FRAMES, 3, side, side) * 255 - 120
        self.labels = torch.arange(texts) % 2

    def published(self) -> torch.Tensor:
        """The loss, clip by clip."""
        return published_loss(self.model, self.pixels, self.input_ids, self.mask, self.labels)

    def ours(self, *, bf16: bool = False) -> torch.Tensor:
        """The loss, all clips at once."""
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return self.model(
                self.input_ids,
                self.mask,
                self.pixels,
                texts_per_video=[TEXTS_PER_VIDEO] * VIDEOS,
                labels=self.labels,
            ).loss

    def seconds(self, loss: Callable[[], torch.Tensor]) -> float:
        """How long a step with this loss takes."""
        start = time.perf_counter()
        loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - start


def run(config: ClipBertConfig, *, side: int, repeats: int) -> dict[str, Any]:
    """Measure the three kinds of steps in turn."""
    step = Step(config, side)
    kinds: dict[str, Callable[[], torch.Tensor]] = {
        "published": step.published,
        "fp32": step.ours,
        "bf16": lambda: step.ours(bf16=True),
    }
    taken: dict[str, float] = {}
    for _ in range(repeats):
        for name, loss in kinds.items():
            seconds = step.seconds(loss)
            taken[name] = min(seconds, taken.get(name, seconds))
    return {f"step_{name}": taken["published"] / taken[name] for name in ("fp32", "bf16")} | {"seconds": taken}


def peak_memory(threads: int) -> dict[str, float]:
    """GiB of a process that trains for two steps, without and with activation checkpointing."""
    peaks = {}
    for name in ("plain", "checkpointed"):
        command = [sys.executable, "-m", "benchmarks.training", "--threads", str(threads), "--memory", name]
        peaks[name] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    return peaks


def train_and_tell_memory(config: ClipBertConfig, *, side: int, checkpointed: bool) -> float:
    """Train this process's model for two steps; returns the peak memory in GiB."""
    step = Step(config, side)
    if checkpointed:
        step.model.gradient_checkpointing_enable()
    for _ in range(2):
        step.seconds(step.ours)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved runs, of which the fastest counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--memory", choices=["plain", "checkpointed"], help="only print the peak memory of this process"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = ClipBertConfig(score_aggregation="lse", **NO_DROPOUT)
    if options.memory:
        peak = train_and_tell_memory(config, side=448, checkpointed=options.memory == "checkpointed")
        sys.stdout.write(f"{peak}\n")
        return
    peaks = peak_memory(options.threads)
    begin = os.getloadavg()
    results = run(config, side=448, repeats=options.repeats)
    results |= {
        "checkpointed_memory": peaks["checkpointed"] / peaks["plain"],
        "peak_gib": peaks,
        "load_average": [begin, os.getloadavg()],
    }
    for name in ("fp32", "bf16"):
        sys.stdout.write(
            f"{name}: published {results['seconds']['published']:.2f} s, ours {results['seconds'][name]:.2f} s, "
            f"{results[f'step_{name}']:.2f}x\n"
        )
    sys.stdout.write(
        f"peak memory {peaks['plain']:.2f} GiB, with activation checkpointing {peaks['checkpointed']:.2f} GiB\n"
    )
    if options.output:
        options.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
