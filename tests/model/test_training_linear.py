"""Linear layers in training: the results and gradients of PyTorch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from clipbert_hf.model.training_linear_clipbert import ClipBertLinear, use_training_products


@pytest.mark.parametrize("bias", [True, False])
def test_results_and_gradients_are_those_of_a_linear_layer(bias):
    torch.manual_seed(0)
    plain = nn.Linear(24, 40, bias=bias)
    ours = copy.deepcopy(plain)
    use_training_products(ours)
    assert type(ours) is ClipBertLinear
    assert ours.state_dict().keys() == plain.state_dict().keys()
    inputs, weights = torch.randn(3, 5, 24), torch.randn(3, 5, 40)
    found = []
    for layer in (plain, ours):
        given = inputs.clone().requires_grad_()
        output = layer(given)
        (output * weights).sum().backward()
        found.append([output, given.grad, *(each.grad for each in layer.parameters())])
    for expected, value in zip(*found, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(ours.eval()(inputs), plain(inputs))
