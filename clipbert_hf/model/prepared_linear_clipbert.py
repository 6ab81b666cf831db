"""Linear layers whose weights are laid out once for many products.

On CPUs oneDNN multiplies with weights in blocks of its own, and adds bias, activation and residual on the way. PyTorch
offers this to its compiler; without such an operator, on accelerators and for other types the usual product is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import nn
from torch.nn import functional as F
from transformers.activations import GELUActivation

# oneDNN may choose the blocks by the number of rows of the other matrix; any number of rows is then allowed.
_TYPICAL_ROWS = 1024


class PreparedLinear:
    """One product for one or several linear layers that take the same input.

    Args:
        layers: Their outputs come one after the other.
        dtype: In which it computes; its inputs are to have this type.
        activation: Of the output, or None.
        packed: Whether weights may be laid out for the CPU's product.
    """

    def __init__(
        self,
        *layers: nn.Linear,
        dtype: torch.dtype,
        activation: Callable[[torch.Tensor], torch.Tensor] | None = None,
        packed: bool = True,
    ) -> None:
        weight = (
            torch.cat([layer.weight.detach() for layer in layers]) if len(layers) > 1 else layers[0].weight.detach()
        )
        self.bias = torch.cat([_bias(layer) for layer in layers]).to(dtype)
        self.weight = weight.to(dtype)
        self.outputs = len(weight)
        self.activation = activation
        self.is_packed = packed and weight.device.type == "cpu" and can_pack(dtype)
        self.fuses_gelu = self.is_packed and _is_exact_gelu(activation)
        if self.is_packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, _TYPICAL_ROWS)

    def __call__(self, inputs: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """Multiply.

        Args:
            inputs: (…, inputs).
            residual: Added to the output, (…, outputs), where there is no activation.
        """
        rows = inputs.reshape(-1, inputs.shape[-1])
        if self.is_packed:
            outputs = self._multiply_packed(rows, residual)
        else:
            outputs = F.linear(rows, self.weight, self.bias)
            if residual is not None:
                outputs += residual.reshape(outputs.shape)
        if self.activation is not None and not self.fuses_gelu:
            outputs = self.activation(outputs)
        return outputs.view(*inputs.shape[:-1], self.outputs)

    def _multiply_packed(self, rows: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        multiply = torch.ops.mkldnn._linear_pointwise
        if residual is not None:
            return multiply.binary(rows, residual.reshape(-1, self.outputs), self.weight, self.bias, "add")
        if self.fuses_gelu:
            return multiply(rows, self.weight, self.bias, "gelu", [], "none")
        return multiply(rows, self.weight, self.bias, "none", [], "")


def _bias(layer: nn.Linear) -> torch.Tensor:
    return layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach()


def _is_exact_gelu(activation: object) -> bool:
    return isinstance(activation, GELUActivation) and activation.act is F.gelu


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this PyTorch multiplies with packed weights on this CPU, tried on a small product.

    Args:
        dtype: Of weights and inputs.
    """
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    inputs, weight, residual = (torch.randn(32, 32, generator=generator).to(dtype) for _ in range(3))
    bias = residual[0].contiguous()
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, _TYPICAL_ROWS)
        multiply = torch.ops.mkldnn._linear_pointwise
        results = [
            (multiply(inputs, packed, bias, "none", [], ""), F.linear(inputs, weight, bias)),
            (multiply(inputs, packed, bias, "gelu", [], "none"), F.gelu(F.linear(inputs, weight, bias))),
            (multiply.binary(inputs, residual, packed, bias, "add"), F.linear(inputs, weight, bias) + residual),
        ]
    except (AttributeError, RuntimeError, NotImplementedError, TypeError):
        return False
    rounding = 1e-4 if dtype == torch.float32 else 0.1
    return all(torch.allclose(ours, theirs, rtol=rounding, atol=rounding) for ours, theirs in results)
