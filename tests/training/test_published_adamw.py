from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from clipbert_hf.training.optimization import PublishedAdamW

BETAS, EPS = (0.9, 0.98), 1e-2


def weights_after(weight: float, gradients: list[float], *, lr: float, decay: float) -> float:
    """One number, step by step, as the released code says."""
    mean = square = 0.0
    for number, gradient in enumerate(gradients, 1):
        mean = BETAS[0] * mean + (1 - BETAS[0]) * gradient
        square = BETAS[1] * square + (1 - BETAS[1]) * gradient**2
        size = lr * math.sqrt(1 - BETAS[1] ** number) / (1 - BETAS[0] ** number)
        weight -= size * mean / (math.sqrt(square) + EPS)
        weight -= lr * decay * weight
    return weight


def make(*weights: float) -> list[nn.Parameter]:
    return [nn.Parameter(torch.tensor([weight], dtype=torch.float64)) for weight in weights]


def step(optimizer: PublishedAdamW, parameters: list[nn.Parameter], gradients: list[float | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = None if gradient is None else torch.full_like(parameter, gradient)
    optimizer.step()


def test_steps_are_those_of_the_released_code() -> None:
    parameters = make(1.0, -2.0, 3.0)
    groups = [{"params": parameters[:2], "weight_decay": 0.5}, {"params": parameters[2:], "lr": 0.01}]
    optimizer = PublishedAdamW(groups, lr=0.1, betas=BETAS, eps=EPS)
    for gradients in ((0.3, 1e-3, -4.0), (-0.1, 2e-3, -3.0), (0.2, 0.0, 5.0)):
        step(optimizer, parameters, list(gradients))
    expected = [
        weights_after(1.0, [0.3, -0.1, 0.2], lr=0.1, decay=0.5),
        weights_after(-2.0, [1e-3, 2e-3, 0.0], lr=0.1, decay=0.5),
        weights_after(3.0, [-4.0, -3.0, 5.0], lr=0.01, decay=0.0),
    ]
    assert [parameter.item() for parameter in parameters] == pytest.approx(expected, rel=1e-12)


def test_parameters_without_a_gradient_stay_and_do_not_count_the_step() -> None:
    parameters = make(1.0, 2.0)
    optimizer = PublishedAdamW(parameters, lr=0.1, betas=BETAS, eps=EPS, weight_decay=0.5)
    step(optimizer, parameters, [None, None])
    step(optimizer, parameters, [0.3, None])
    assert parameters[1].item() == 2.0
    step(optimizer, parameters, [0.2, 0.1])
    assert parameters[0].item() == pytest.approx(weights_after(1.0, [0.3, 0.2], lr=0.1, decay=0.5), rel=1e-12)
    assert parameters[1].item() == pytest.approx(weights_after(2.0, [0.1], lr=0.1, decay=0.5), rel=1e-12)


def test_goes_on_from_its_saved_state() -> None:
    parameters = make(1.0)
    optimizer = PublishedAdamW(parameters, lr=0.1, betas=BETAS, eps=EPS)
    step(optimizer, parameters, [0.3])
    others = make(parameters[0].item())
    resumed = PublishedAdamW(others, lr=0.7)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for optimizer_, own in ((optimizer, parameters), (resumed, others)):
        step(optimizer_, own, [-0.2])
    assert others[0].item() == parameters[0].item()


def test_closure_is_called_with_gradients() -> None:
    (weight,) = make(1.0)

    def closure() -> torch.Tensor:
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert PublishedAdamW([weight], lr=0.1, betas=BETAS, eps=EPS).step(closure).item() == 1.0
    assert weight.item() == pytest.approx(weights_after(1.0, [2.0], lr=0.1, decay=0.0), rel=1e-12)
