"""The CNN for inference: batch norm folded into the convolutions before it, channels last."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

if TYPE_CHECKING:
    from .modeling_clipbert import ClipBertGridBackbone

_PROBE_SIDE = 64
_TOLERANCE = 1e-4


def prepare_backbone(grid_backbone: ClipBertGridBackbone, dtype: torch.dtype) -> ClipBertGridBackbone:
    """Copy a CNN for inference.

    Args:
        grid_backbone: It is left as it is.
        dtype: Of the copy.

    Returns:
        A copy with the same results. Where folding would change them, as with convolutions that normalise their own
        weights, batch norm stays as it is.
    """
    prepared = copy.deepcopy(grid_backbone).eval().requires_grad_(False)
    _fold_batch_norm(prepared)
    return prepared.to(dtype).to(memory_format=torch.channels_last)


@torch.no_grad()
def _fold_batch_norm(grid_backbone: ClipBertGridBackbone) -> None:
    backbone: Any = grid_backbone.backbone
    if not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules()):
        return
    weight = next(backbone.parameters())
    side = max(_PROBE_SIDE, 2 * grid_backbone.stride)
    probe = torch.randn(
        (1, 3, *(grid_backbone.frame_size or (side, side))), generator=torch.Generator().manual_seed(0)
    ).to(weight)
    pairs, expected = _convolutions_before_norms(backbone, probe)
    if not pairs:
        return
    folded = copy.deepcopy(backbone).float()
    modules = dict(folded.named_modules())
    for convolution_name, norm_name in pairs:
        _fold(modules[convolution_name], modules[norm_name])
        parent, _, name = norm_name.rpartition(".")
        setattr(modules[parent], name, _what_remains(modules[norm_name]))
    exact = copy.deepcopy(backbone).float()(probe.float())[-1] if weight.dtype != torch.float32 else expected
    difference = (folded(probe.float())[-1] - exact).abs().max()
    if bool(difference <= _TOLERANCE * exact.abs().max()):
        grid_backbone.backbone = folded


def _convolutions_before_norms(backbone: Any, probe: torch.Tensor) -> tuple[list[tuple[str, str]], torch.Tensor]:
    """Names of convolutions whose output is the input of a batch norm, as seen on a probe; and the feature map."""
    source: dict[int, str] = {}
    pairs: list[tuple[str, str]] = []
    kept: list[torch.Tensor] = []  # tensors that live keep their identity to themselves
    calls: dict[str, int] = {}
    handles = []
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d):

            def note_output(_: nn.Module, __: Any, output: torch.Tensor, name: str = name) -> None:
                kept.append(output)
                source[id(output)] = name
                calls[name] = calls.get(name, 0) + 1

            handles.append(module.register_forward_hook(note_output))
        elif type(module) in (nn.BatchNorm2d, BatchNormAct2d) and module.track_running_stats:

            def note_input(_: nn.Module, inputs: Any, name: str = name) -> None:
                calls[name] = calls.get(name, 0) + 1
                if id(inputs[0]) in source:
                    pairs.append((source[id(inputs[0])], name))

            handles.append(module.register_forward_pre_hook(note_input))
    try:
        feature_map = backbone(probe)[-1]
    finally:
        for handle in handles:
            handle.remove()
    return [(first, second) for first, second in pairs if calls[first] == calls[second] == 1], feature_map


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None  # only those that track statistics are looked at
    assert norm.running_var is not None
    statistics = norm.running_mean, norm.running_var
    weight, bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, *statistics, norm.eps, norm.weight, norm.bias
    )
    convolution.weight, convolution.bias = weight.requires_grad_(False), bias.requires_grad_(False)


def _what_remains(norm: nn.Module) -> nn.Module:
    """Some batch norms of timm hold the activation after them."""
    if isinstance(norm, BatchNormAct2d):
        return nn.Sequential(norm.drop, norm.act)
    return nn.Identity()
