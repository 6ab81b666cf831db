"""Optimizer and learning rate: parameter groups, AdamW as released, linear warm-up and decay.

The released AdamW differs from PyTorch's where gradients are small and weights decay fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from .recipe import LoopSettings

# What PyTorch's optimizers do with all tensors of a group at once; it has no public name.
_add, _mul, _lerp, _sqrt = torch._foreach_add_, torch._foreach_mul_, torch._foreach_lerp_, torch._foreach_sqrt
_addcmul, _addcdiv = torch._foreach_addcmul_, torch._foreach_addcdiv_

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


class PublishedAdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay, epsilon added before the bias correction, and decay after the step.

    PyTorch adds epsilon after the correction, so that it weighs up to 1 / sqrt(1 - beta2) times less in the first
    steps, and lets weights decay before the step. Released as ``src/optimization/adamw.py`` (jayleicn/ClipBERT).

    Args:
        params: Parameters or groups of them; a group may have its own ``lr`` and ``weight_decay``.
        lr: Learning rate.
        betas: Decay rates of the means of the gradient and of its square.
        eps: Added to the root of the latter.
        weight_decay: The share of a weight that is taken off, times the learning rate.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = PublishedAdamW([weight], lr=0.1)
        >>> weight.sum().backward()
        >>> optimizer.step()
        >>> weight.data
        tensor([0.9000, 0.9000])
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step; parameters without a gradient stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step(group)
        return loss

    def _step(self, group: dict[str, Any]) -> None:
        parameters: list[torch.Tensor] = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        gradients: list[Any] = [parameter.grad for parameter in parameters]
        states = [self._state_of(parameter) for parameter in parameters]
        means, squares = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq"))
        rate, (first, second) = group["lr"], group["betas"]
        _add([state["step"] for state in states], 1)
        _lerp(means, gradients, 1 - first)
        _mul(squares, second)
        _addcmul(squares, gradients, gradients, 1 - second)
        roots = list(_sqrt(squares))
        _add(roots, group["eps"])
        taken = [float(state["step"]) for state in states]
        _addcdiv(parameters, means, roots, [-rate * math.sqrt(1 - second**n) / (1 - first**n) for n in taken])
        if group["weight_decay"]:
            _mul(parameters, 1 - rate * group["weight_decay"])

    def _state_of(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state
