"""Linear layers that train on a CPU by oneDNN's product of matrices.

PyTorch takes MKL's product for fp32, which on CPUs that are not Intel's reaches less than half of what oneDNN's does;
nothing in its public interface chooses between them. Gradients are two more products of the same kind.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class ClipBertLinear(nn.Linear):
    """A linear layer; made by :func:`use_training_products`.

    In evaluation mode, under autocast, in other types than fp32, on accelerators, and where weights are no plain
    tensors, it is ``nn.Linear``.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Multiply (…, inputs) to (…, outputs)."""
        if not self._is_ours(input):
            return super().forward(input)
        outputs = _Product.apply(input.reshape(-1, self.in_features), self.weight, self.bias)
        return outputs.view(*input.shape[:-1], self.out_features)

    def _is_ours(self, inputs: torch.Tensor) -> bool:
        if not self.training or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return False
        tensors = [inputs, self.weight, *([] if self.bias is None else [self.bias])]
        plain = all(type(each) in (torch.Tensor, nn.Parameter) and each.dtype == torch.float32 for each in tensors)
        on_cpu = all(each.device.type == "cpu" for each in tensors)
        return plain and on_cpu and inputs.numel() > 0 and not torch.is_autocast_enabled("cpu") and can_multiply()


def use_training_products(module: nn.Module) -> None:
    """Turn the plain linear layers in a module into :class:`ClipBertLinear`; names, weights and results stay.

    Args:
        module: Is changed in place.
    """
    for each in module.modules():
        if type(each) is nn.Linear:
            each.__class__ = ClipBertLinear


class _Product(torch.autograd.Function):
    """``rows @ weight.T + bias``; its gradients are products like it, so they have gradients too."""

    @staticmethod
    def forward(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return _multiply(rows.contiguous(), weight.contiguous(), bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: torch.Tensor) -> None:
        rows, weight, _ = inputs
        ctx.save_for_backward(rows, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients  # (rows, outputs)
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        return (
            _Product.apply(gradient, weight.t(), None) if of_rows else None,
            _Product.apply(gradient.t(), rows.t(), None) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def _multiply(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")


@cache
def can_multiply() -> bool:
    """Whether this PyTorch offers oneDNN's product in fp32, tried on a small one."""
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    rows, weight = (torch.randn(24, 32, generator=generator) for _ in range(2))
    bias = weight[:, 0].contiguous()
    try:
        results = [(_multiply(rows, weight, each), F.linear(rows, weight, each)) for each in (bias, None)]
    except (AttributeError, RuntimeError, NotImplementedError, TypeError):
        return False
    return all(torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4) for ours, theirs in results)
