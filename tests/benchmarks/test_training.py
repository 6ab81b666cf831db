"""The two kinds of training steps that the benchmark compares give the same gradients."""

from __future__ import annotations

import pytest
import torch
from reference_inputs import tiny_config

from benchmarks.training import NO_DROPOUT, Step, run


@pytest.mark.parametrize("aggregation", ["mean", "lse"])
def test_the_published_step_gives_our_gradients(aggregation):
    step = Step(tiny_config(score_aggregation=aggregation, **NO_DROPOUT), side=64)
    gradients = []
    for loss in (step.published, step.ours):
        step.model.zero_grad()
        loss().backward()
        gradients.append({name: p.grad for name, p in step.model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-5)
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients[0].values())


def test_a_small_run_gives_every_figure():
    results = run(tiny_config(**NO_DROPOUT), side=64, repeats=1)
    assert results["step_fp32"] > 0
    assert results["step_bf16"] > 0
