"""Optimizer and learning rate: parameter groups, AdamW, linear warm-up and decay."""

from __future__ import annotations

from collections.abc import Callable

import torch
from published_adamw import PublishedAdamW
from recipe import LoopSettings
from torch import nn

_NORMS = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.batchnorm._NormBase,
)


def parameter_groups(
    model: nn.Module, settings: LoopSettings, is_cnn: Callable[[str], bool] = lambda name: False
) -> list[dict[str, object]]:
    """Sort the parameters that train by learning rate and weight decay.

    Args:
        model: Any module.
        settings: Learning rates and weight decay. Biases and the parameters of normalisation layers never decay.
        is_cnn: Whether the parameter of this name has the learning rate of the CNN.

    Returns:
        Groups for a torch optimizer, each with ``name``: ``cnn`` or ``other``, and ``decay`` or ``no_decay``.
    """
    of_norms = {id(p) for module in model.modules() if isinstance(module, _NORMS) for p in module.parameters(False)}
    cnn_rate = settings.learning_rate if settings.cnn_learning_rate is None else settings.cnn_learning_rate
    groups: dict[str, dict[str, object]] = {}
    members: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = id(parameter) not in of_norms and not name.endswith("bias")
        part = "cnn" if is_cnn(name) else "other"
        key = f"{part}/{'decay' if decays else 'no_decay'}"
        members.setdefault(key, []).append(parameter)
        groups[key] = {
            "name": key,
            "params": members[key],
            "lr": cnn_rate if part == "cnn" else settings.learning_rate,
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
    return list(groups.values())


def create_optimizer(
    model: nn.Module, settings: LoopSettings, is_cnn: Callable[[str], bool] = lambda name: False
) -> PublishedAdamW:
    """AdamW over :func:`parameter_groups`."""
    first, second = settings.adam_betas
    return PublishedAdamW(parameter_groups(model, settings, is_cnn), betas=(first, second), eps=settings.adam_eps)


def create_schedule(
    optimizer: torch.optim.Optimizer, settings: LoopSettings, total_steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """A learning rate that rises linearly over the warm-up and then falls linearly.

    As in the released code, steps count from 1, so that the first one trains already and the last one, whose rate is 0,
    does not; and of a warm-up that is no whole number of steps the rest is cut off.
    """
    warmup = int(settings.warmup_ratio * total_steps)

    def factor(steps_done: int) -> float:
        step = steps_done + 1
        return step / warmup if step < warmup else max(total_steps - step, 0) / max(total_steps - warmup, 1)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
