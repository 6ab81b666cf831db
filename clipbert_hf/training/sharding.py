"""What FSDP2 and DeepSpeed, which split the state of training between processes, have to know of our runs.

Left alone both would turn the parameters into 16 bits for mixed precision, beside which batch norm does not take its
statistics of 32. Here parameters stay as they are and autocast alone chooses the arithmetic, as on one device.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin, str_to_bool
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, register_fsdp_forward_method

from .recipe import LoopSettings

_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


def fsdp_plugin() -> FullyShardedDataParallelPlugin | None:
    """What ``Accelerator`` takes where ``accelerate launch`` asks for FSDP2, else None."""
    if not _is_asked_for("ACCELERATE_USE_FSDP"):
        return None
    return FullyShardedDataParallelPlugin(mixed_precision_policy=MixedPrecisionPolicy())


def deepspeed_plugin(recipe: LoopSettings) -> DeepSpeedPlugin | None:
    """What ``Accelerator`` takes where ``accelerate launch`` asks for DeepSpeed, else None.

    DeepSpeed goes by its own configuration, so the recipe's settings are written into it.
    """
    if not _is_asked_for("ACCELERATE_USE_DEEPSPEED"):
        return None
    plugin = DeepSpeedPlugin(
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        gradient_clipping=recipe.max_grad_norm or 0.0,
    )
    plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = recipe.batch_size
    if recipe.mixed_precision != "fp32":
        plugin.deepspeed_config |= {
            "bf16": {"enabled": False},
            "fp16": {"enabled": False},
            "torch_autocast": {"enabled": True, "dtype": _DTYPES[recipe.mixed_precision]},
        }
    return plugin


def forward_method(model: nn.Module, name: str) -> Callable[..., Any]:
    """A method of a model that computes beside ``forward``, whatever accelerate has wrapped around the model.

    Args:
        model: Prepared or not.
        name: Of the method.
    """
    bare: Any = getattr(model, "module", model)  # DDP and DeepSpeed know the methods of their own only
    if isinstance(bare, FSDPModule) and name not in vars(bare):
        register_fsdp_forward_method(cast("nn.Module", bare), name)  # so that it finds its parameters whole
    return getattr(bare, name)


def _is_asked_for(variable: str) -> bool:
    return bool(str_to_bool(os.environ.get(variable, "false")))
