"""Activation checkpointing: the gradients of all parameters are those without it, for any kind of checkpoint."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
from reference_inputs import tiny_config, tiny_inputs
from torch import nn

from clipbert_hf import ClipBertForVideoQuestionAnswering, InvalidInputError
from clipbert_hf.model import modeling_clipbert
from clipbert_hf.model.checkpointing_clipbert import blocks_of

QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
LABELS = {"labels": torch.tensor([1, 2])}


def enable(model, **options) -> None:
    # Older releases of transformers know it by the second name only.
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)(options)


def gradients(model) -> dict[str, torch.Tensor | None]:
    model.zero_grad()
    torch.manual_seed(1)
    model(**tiny_inputs(side=64), **LABELS).loss.backward()
    return {name: value.grad for name, value in model.named_parameters()}


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"freeze_backbone_stages": 0, "freeze_batch_norm": False},
        {"freeze_backbone_stages": 2},
        {"freeze_backbone_stages": 5, "temporal_fusion": "conv3d"},  # the whole CNN
        {"backbone": "test_byobnet", "freeze_backbone_stages": 0},
        {"backbone": "test_convnext", "freeze_backbone_stages": 0},
        {"backbone": "test_efficientnet", "freeze_backbone_stages": 0, "freeze_batch_norm": False},
        {"backbone": "test_resnet", "hidden_dropout_prob": 0.3},
    ],
    ids=["trained batch norm", "as published", "frozen CNN", "byobnet", "convnext", "efficientnet", "dropout"],
)
def test_gradients_of_all_parameters_and_statistics_are_those_without(options, reentrant):
    torch.manual_seed(0)
    plain = ClipBertForVideoQuestionAnswering(tiny_config(**(QUIET | options))).train()
    checkpointed = copy.deepcopy(plain)
    enable(checkpointed, use_reentrant=reentrant)
    expected, found = gradients(plain), gradients(checkpointed)
    assert {name for name, value in found.items() if value is None} == {
        name for name, value in expected.items() if value is None
    }
    for name, value in expected.items():
        if value is not None:
            torch.testing.assert_close(found[name], value, msg=lambda text, name=name: f"{name}: {text}")
    for (name, value), other in zip(plain.named_buffers(), checkpointed.buffers(), strict=True):
        torch.testing.assert_close(other, value, rtol=0, atol=0, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("frozen_stages", [0, 2, 5])
@pytest.mark.parametrize("by_block", [1, 100])
def test_gradients_of_frames_one_by_one_and_together(by_block, frozen_stages, reentrant, monkeypatch):
    """Many frames pass the CNN one by one, few together, block by block."""
    monkeypatch.setattr(modeling_clipbert, "_FRAMES_CHECKPOINTED_BY_BLOCK", by_block)
    torch.manual_seed(0)
    plain = ClipBertForVideoQuestionAnswering(tiny_config(**QUIET, freeze_backbone_stages=frozen_stages)).train()
    checkpointed = copy.deepcopy(plain)
    enable(checkpointed, use_reentrant=reentrant)
    expected, found = gradients(plain), gradients(checkpointed)
    for name, value in expected.items():
        if value is not None:
            torch.testing.assert_close(found[name], value, msg=lambda text, name=name: f"{name}: {text}")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 128, 32, stride=32)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        self.inside = self.convolution(frames)
        return self.inside.relu()


class FromInside(nn.Sequential):
    """A network whose features come from the middle of its block, as a hook would take them."""

    def forward(self, frames: torch.Tensor) -> list[torch.Tensor]:
        super().forward(frames)
        return [self[0].inside]


def test_gradients_that_a_reentrant_checkpoint_would_lose_are_an_error(monkeypatch):
    monkeypatch.setattr(modeling_clipbert, "_FRAMES_CHECKPOINTED_BY_BLOCK", 100)
    model = ClipBertForVideoQuestionAnswering(tiny_config(freeze_backbone_stages=0)).train()
    model.clipbert.grid_backbone.backbone = FromInside(Block())
    model.clipbert.grid_backbone.grid_encoder[0] = nn.Conv2d(128, 32, 3, padding=1)
    enable(model, use_reentrant=True)
    with pytest.raises(InvalidInputError, match="use use_reentrant=False"):
        model(**tiny_inputs())


def test_a_checkpointed_model_keeps_nothing_of_the_call():
    model = ClipBertForVideoQuestionAnswering(tiny_config()).train()
    enable(model, use_reentrant=False)
    gradients(model)
    assert not any("forward" in vars(module) for module in model.modules())
    pickle.dumps(model.clipbert.grid_backbone.backbone)


def kept_bytes(model, frames: torch.Tensor) -> int:
    """Memory of the tensors that the CNN keeps for its backward pass, each storage once."""
    storages: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.clipbert.grid_backbone(frames)
    weights = {value.untyped_storage().data_ptr() for value in [*model.parameters(), *model.buffers()]}
    return sum(size for pointer, size in storages.items() if pointer not in weights)


@pytest.mark.parametrize("reentrant", [False, True])
def test_the_gradient_of_the_pixels_of_many_frames(reentrant):
    plain = ClipBertForVideoQuestionAnswering(tiny_config()).train()
    checkpointed = copy.deepcopy(plain)
    enable(checkpointed, use_reentrant=reentrant)
    pixels = torch.randn(6, 3, 64, 64)
    found = []
    for model in (plain, checkpointed):
        own = pixels.clone().requires_grad_()
        model.clipbert.grid_backbone(own).square().sum().backward()
        found.append(own.grad)
    assert found[0].abs().max() > 0
    torch.testing.assert_close(found[1], found[0])


def test_of_many_frames_only_the_pixels_are_kept():
    model = ClipBertForVideoQuestionAnswering(tiny_config(backbone="resnet50")).train()
    enable(model, use_reentrant=False)
    frames = torch.randn(6, 3, 64, 64)
    assert kept_bytes(model, frames) == frames.nbytes


def test_the_cnn_keeps_only_the_inputs_of_its_blocks():
    model = ClipBertForVideoQuestionAnswering(tiny_config(backbone="resnet50")).train()
    frames = torch.randn(1, 3, 64, 64)
    plain = kept_bytes(model, frames)
    enable(model, use_reentrant=False)
    assert kept_bytes(model, frames) < plain / 3


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("resnet50", [3, 4, 6, 3]), ("convnext_atto", [2, 2, 6, 2]), ("test_byobnet", [1, 1, 1, 2])],
)
def test_blocks_of_well_known_networks(name, blocks):
    network = timm.create_model(name, features_only=True, out_indices=(-1,))
    assert len(blocks_of(network)) == sum(blocks)
