"""The attention of [CLS] to the visual tokens of a clip.

Shapes: S tokens of text and clip, R×C visual tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


def attention_to_grid(model: Any, tokens: dict[str, torch.Tensor], pixels: torch.Tensor, *, method: str) -> np.ndarray:
    """The weights with which [CLS] attends to the grid of a clip.

    Args:
        model: With the encoder ``clipbert``; its attention is computed the plain way for this call, since fused kernels
            keep no weights.
        tokens: ``input_ids`` and ``attention_mask`` of one text, (1, M).
        pixels: One clip, (1, 1, T, 3, L, L).
        method: ``"rollout"`` or ``"last_layer"``.

    Returns:
        (R, C), adding up to 1.
    """
    base, before = model.clipbert, model.config._attn_implementation
    grid = base.get_grid_features(pixels)  # (1, 1, T, R, C, D)
    rows, columns = grid.shape[3:5]
    model.set_attn_implementation("eager")
    try:
        output = base(**tokens, grid_features=grid, output_attentions=True, return_dict=True)
    finally:
        model.set_attn_implementation(before)
    layers = [layer[0].float().mean(0) for layer in output.attentions]  # (S, S) each, heads in the mean
    from_cls = rollout(layers)[0] if method == "rollout" else layers[-1][0]
    visual = from_cls[-rows * columns :]  # text comes first
    return (visual / visual.sum()).reshape(rows, columns).cpu().numpy()


def rollout(layers: Sequence[torch.Tensor]) -> torch.Tensor:
    """How much of each token of the first layer is in each of the last (Abnar and Zuidema, 2020).

    Half of what a layer puts out is taken to come through its residual connection.

    Args:
        layers: Attention, first layer first, (S, S) with rows that add up to 1.

    Returns:
        (S, S), rows adding up to 1.

    Example:
        >>> rollout([torch.tensor([[0.0, 1.0], [0.0, 1.0]])])
        tensor([[0.5000, 0.5000],
                [0.0000, 1.0000]])
    """
    mixed = torch.eye(len(layers[0]), device=layers[0].device)
    for layer in layers:
        mixed = (layer + torch.eye(len(layer), device=layer.device)) / 2 @ mixed
    return mixed
