"""The encoder for inference on sequences without padding: only what the [CLS] token of the last layer depends on.

A layer's queries, keys and values are one product. Those of the first layer depend on one token alone, so they are
taken once for each text and each clip. Of the last layer only the [CLS] token goes on.

Shapes: P pairs of a text and a clip, S = M + V tokens, D hidden size.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.bert.modeling_bert import (
    BertAttention,
    BertEncoder,
    BertIntermediate,
    BertLayer,
    BertOutput,
    BertSelfAttention,
    BertSelfOutput,
)

from .prepared_linear_clipbert import PreparedLinear
from .training_linear_clipbert import ClipBertLinear

if TYPE_CHECKING:
    from .modeling_clipbert import ClipBertModel

_KNOWN = (
    BertAttention,
    BertEncoder,
    BertIntermediate,
    BertLayer,
    BertOutput,
    BertSelfAttention,
    BertSelfOutput,
    ClipBertLinear,
    nn.Dropout,
    nn.LayerNorm,
    nn.Linear,
    nn.ModuleList,
)
# transformers puts these on to collect hidden states on request; they change nothing.
_HARMLESS_HOOKS = "transformers.utils.output_capturing"


class PlainEncoder:
    """The encoder of the model as it is, whatever has been done to it.

    Args:
        model: With an encoder.
    """

    def __init__(self, model: ClipBertModel) -> None:
        self.model = model

    def first_layer(self, states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What is kept of the tokens of a text or a clip, (…, tokens, D), until they meet."""
        return (states,)

    def first_token(self, states: torch.Tensor) -> torch.Tensor:
        """Encode (P, S, D), the [CLS] first, and return the last state of [CLS], (P, D)."""
        mask = self.model._joint_mask(None, states, clips=1)
        return self.model.encoder(states, attention_mask=mask).last_hidden_state[:, 0]


class PreparedEncoder:
    """The encoder with weights laid out for inference.

    Args:
        encoder: One for which :func:`why_unprepared` has nothing to say. It is left as it is.
        dtype: In which to compute.
        packed: Whether weights are laid out for the CPU's product, where there is such a thing.
    """

    def __init__(self, encoder: BertEncoder, dtype: torch.dtype, *, packed: bool = True) -> None:
        layers = list(encoder.layer)
        self.layers = [
            _PreparedLayer(layer, dtype, projects_all=place == 0 or place < len(layers) - 1, packed=packed)
            for place, layer in enumerate(layers)
        ]

    def first_layer(self, states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The tokens of a text or a clip, (…, tokens, D), and their first queries, keys and values, (…, tokens, 3D)."""
        return states, self.layers[0].project(states)

    def first_token(self, states: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        """Encode tokens with their projections, (P, S, D) and (P, S, 3D); returns the last state of [CLS], (P, D)."""
        *others, last = self.layers
        for place, layer in enumerate(others):
            states = layer.encode(states, projected if place == 0 else layer.project(states))
        if not others:
            size = states.shape[-1]
            return last.encode_first(states, projected[:, :1, :size], projected[:, :, size:])
        return last.encode_first(states, last.first_query(states[:, :1]), last.project(states))


class _PreparedLayer:
    """A layer; the last one, unless it is the only one, projects all tokens to keys and values only."""

    def __init__(self, layer: BertLayer, dtype: torch.dtype, *, projects_all: bool, packed: bool) -> None:
        linear = partial(PreparedLinear, dtype=dtype, packed=packed)
        attention = layer.attention.self
        self.heads = attention.num_attention_heads
        query, key, value = attention.query, attention.key, attention.value
        self.project = linear(*((query, key, value) if projects_all else (key, value)))
        if not projects_all:
            self.first_query = linear(query)
        self.attended = linear(layer.attention.output.dense)
        self.attended_norm = _Norm(layer.attention.output.LayerNorm, dtype)
        self.widen = linear(layer.intermediate.dense, activation=layer.intermediate.intermediate_act_fn)
        self.narrow = linear(layer.output.dense)
        self.norm = _Norm(layer.output.LayerNorm, dtype)

    def encode(self, states: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        """(P, S, D) and their projections (P, S, 3D) to (P, S, D)."""
        query, keys_values = projected.tensor_split([states.shape[-1]], dim=-1)
        return self._feed_forward(self._attend(states, query, keys_values))

    def encode_first(self, states: torch.Tensor, query: torch.Tensor, keys_values: torch.Tensor) -> torch.Tensor:
        """(P, S, D), the query of the first token (P, 1, D) and keys and values (P, S, 2D) to (P, D)."""
        return self._feed_forward(self._attend(states[:, :1], query, keys_values))[:, 0]

    def _attend(self, states: torch.Tensor, query: torch.Tensor, keys_values: torch.Tensor) -> torch.Tensor:
        key, value = keys_values.chunk(2, dim=-1)
        heads = [each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (query, key, value)]
        mixed = F.scaled_dot_product_attention(*heads)  # (P, heads, S, D / heads)
        return self.attended_norm(self.attended(mixed.transpose(1, 2).flatten(2), residual=states))

    def _feed_forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.norm(self.narrow(self.widen(states), residual=states))


class _Norm:
    def __init__(self, norm: nn.LayerNorm, dtype: torch.dtype) -> None:
        self.shape, self.eps = norm.normalized_shape, norm.eps
        self.weight, self.bias = norm.weight.detach().to(dtype), norm.bias.detach().to(dtype)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(states, self.shape, self.weight, self.bias, self.eps)


def why_unprepared(encoder: nn.Module) -> str | None:
    """Say why an encoder cannot be prepared, so that it has to be run as it is; None where it can be.

    Layers of another kind, such as adapters or quantised ones, hooks, and weights that lie elsewhere or in pieces
    would be lost in a copy of the weights.

    Args:
        encoder: Of the model.
    """
    config: Any = encoder.config
    if config.is_decoder or config.add_cross_attention:
        return "it is a decoder"
    for name, module in encoder.named_modules():
        is_activation = name.endswith("intermediate_act_fn")
        if type(module) not in _KNOWN and not is_activation:
            return f"{name or 'the encoder'} is a {type(module).__name__}"
        if not is_unhooked(module):
            return f"{name or 'the encoder'} has hooks"
    return why_unusual_weights(encoder)


def is_unhooked(module: nn.Module) -> bool:
    """Whether calling a module does nothing beside its own ``forward``."""
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    return "forward" not in vars(module) and all(getattr(hook, "__module__", "") == _HARMLESS_HOOKS for hook in hooks)


def why_unusual_weights(module: nn.Module) -> str | None:
    """Say which weight is not a plain floating point tensor in memory, all of them on one device; None if all are.

    Args:
        module: Whose parameters and buffers to look at.
    """
    devices = set()
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if type(tensor) not in (torch.Tensor, nn.Parameter) or tensor.is_meta:
            return f"{name} is no plain tensor in memory"
        if isinstance(tensor, nn.Parameter) and not tensor.is_floating_point():
            return f"{name} is {tensor.dtype}"
        devices.add(tensor.device)
    return "its weights lie on several devices" if len(devices) > 1 else None
