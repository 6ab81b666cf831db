from __future__ import annotations

import pytest
from torch import nn

from clipbert_hf.training.optimization import PublishedAdamW, create_optimizer, create_schedule, parameter_groups
from clipbert_hf.training.recipe import LoopSettings


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.grid = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.words = nn.Embedding(5, 4)
        self.LayerNorm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)
        self.frozen = nn.Linear(4, 2).requires_grad_(False)


def names(net: nn.Module, group: dict) -> set[str]:
    known = {id(parameter): name for name, parameter in net.named_parameters()}
    return {known[id(parameter)] for parameter in group["params"]}


def test_biases_and_norms_do_not_decay_and_the_cnn_has_its_own_rate() -> None:
    net = Net()
    settings = LoopSettings(output_dir="x", learning_rate=0.1, cnn_learning_rate=0.01, weight_decay=0.5)
    groups = {group["name"]: group for group in parameter_groups(net, settings, lambda name: name.startswith("grid"))}
    assert {name: names(net, group) for name, group in groups.items()} == {
        "cnn/decay": {"grid.0.weight"},
        "cnn/no_decay": {"grid.0.bias", "grid.1.weight", "grid.1.bias"},
        "other/decay": {"words.weight", "head.weight"},
        "other/no_decay": {"LayerNorm.weight", "LayerNorm.bias", "head.bias"},
    }
    assert {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()} == {
        "cnn/decay": (0.01, 0.5),
        "cnn/no_decay": (0.01, 0.0),
        "other/decay": (0.1, 0.5),
        "other/no_decay": (0.1, 0.0),
    }


def test_optimizer_takes_the_recipe() -> None:
    optimizer = create_optimizer(Net(), LoopSettings(output_dir="x", adam_betas=[0.8, 0.95], adam_eps=1e-5))
    assert isinstance(optimizer, PublishedAdamW)
    assert all(group["betas"] == (0.8, 0.95) and group["eps"] == 1e-5 for group in optimizer.param_groups)


@pytest.mark.parametrize(
    ("ratio", "steps", "table"),
    [
        # Warm-up of 2 of 10 steps, then an eighth less each step.
        (0.2, 10, [0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0, 0]),
        (0.0, 4, [0.75, 0.5, 0.25, 0, 0]),
        (0.5, 4, [0.5, 1, 0.5, 0, 0]),
        (0.3, 5, [1, 0.75, 0.5, 0.25, 0, 0]),  # one and a half steps are one
        (1.0, 2, [0.5, 0, 0]),
    ],
)
def test_schedule(ratio: float, steps: int, table: list[float]) -> None:
    settings = LoopSettings(output_dir="x", learning_rate=2.0, cnn_learning_rate=0.5, warmup_ratio=ratio)
    optimizer = create_optimizer(Net(), settings, lambda name: name.startswith("grid"))
    schedule = create_schedule(optimizer, settings, steps)
    seen = []
    for _ in range(steps + 1):
        rates = {group["name"].split("/")[0]: group["lr"] for group in optimizer.param_groups}
        seen.append((rates["other"], rates["cnn"]))
        optimizer.step()
        schedule.step()
    assert [rate for rate, _ in seen] == pytest.approx([2.0 * factor for factor in table])
    assert [rate for _, rate in seen] == pytest.approx([0.5 * factor for factor in table])
