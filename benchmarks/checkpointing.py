"""Peak memory of activations and gradients in a training step, with each way of activation checkpointing.

The base model (ResNet-50 at 448 px, BERT-base, fp32) on random pixels. Memory is counted, not sampled: every tensor
that an operation makes, from when it is made until it is freed; weights and their gradients do not count.

Run ``python -m benchmarks.checkpointing --output checkpointing.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from clipbert_hf import ClipBertConfig, ClipBertForVideoQuestionAnswering
from clipbert_hf.model.checkpointing_clipbert import blocks_of, checkpointed


class PeakMemory(TorchDispatchMode):
    """Within this context ``peak`` is the most bytes of tensors made in it that existed at once.

    Args:
        known: What is there already; operations hand out views of these.
    """

    def __init__(self, known: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known = {tensor.untyped_storage()._cdata for tensor in known}
        self.sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation and count what it has made."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.sizes and key not in self.known:
                    self.sizes[key] = storage.nbytes()
                    self.live += storage.nbytes()
                    self.peak = max(self.peak, self.live)
                    weakref.finalize(storage, self._freed, key)
        return result

    def _freed(self, key: int) -> None:
        self.live -= self.sizes.pop(key)


def measure(model: ClipBertForVideoQuestionAnswering, way: str, inputs: dict[str, torch.Tensor]) -> int:
    """Bytes at the peak of one step.

    Args:
        model: In training mode; its gradients exist already.
        way: A name out of :data:`WAYS`.
        inputs: Of the model, with labels.
    """
    backbone: Any = model.clipbert.grid_backbone
    function = partial(checkpoint, use_reentrant=False)
    if way != "none":
        model.activation_checkpointing_enable({"use_reentrant": way == "block by block, reentrant"})
    backbone.gradient_checkpointing = way.startswith("block by block")
    backbone.backbone.set_grad_checkpointing(way == "timm's own")
    whole: list[nn.Module] = [backbone] if way == "CNN as a whole" else []
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    with PeakMemory([*model.parameters(), *model.buffers(), *gradients]) as memory, checkpointed(whole, function):
        model(**inputs).loss.backward()
    model.zero_grad(set_to_none=False)
    if way != "none":
        model.activation_checkpointing_disable()
    return memory.peak


WAYS = (
    "none",
    "encoder only",
    "CNN as a whole",
    "timm's own",
    "block by block",
    "block by block, reentrant",
)


def main() -> None:
    """Measure every way and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--size", type=int, default=448, help="side of a frame in pixels")
    options = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    for stages in (2, 0):
        model = ClipBertForVideoQuestionAnswering(
            ClipBertConfig(num_labels=1500, freeze_backbone_stages=stages)
        ).train()
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        inputs = {
            "input_ids": torch.randint(1000, 30000, (1, 20)),
            "pixel_values_videos": torch.randn(1, options.clips, 1, 3, options.size, options.size),
            "labels": torch.tensor([3]),
        }
        blocks = len(blocks_of(model.clipbert.grid_backbone.backbone))
        for way in WAYS:
            mib = measure(model, way, inputs) / 2**20
            rows.append({"frozen_stages": stages, "blocks": blocks, "checkpointing": way, "peak_mib": round(mib, 1)})
            sys.stdout.write(f"{stages} frozen stages, {way:28}{mib:8.0f} MiB\n")
            sys.stdout.flush()
    if options.output:
        options.output.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
