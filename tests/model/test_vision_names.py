"""CNN weights under the names of those who publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from reference_inputs import CASES, DATA, published_state

from clipbert_hf import ClipBertForVideoQuestionAnswering, InvalidInputError
from clipbert_hf.convert_original_checkpoint import infer_config, load_published_state
from clipbert_hf.model.pretrained_parts_clipbert import pixel_statistics

MMACTION: list[str] = json.loads((DATA / "mmaction_tsn_resnet50_names.json").read_text())
IMAGENET = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
FRAMES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def loaded(file: Path, **options: Any) -> Any:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16, **options}
    return ClipBertForVideoQuestionAnswering.from_pretrained_parts(vision=file, backbone="resnet50", **sizes)


def features(backbone: Any, frames: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return backbone(frames)[-1]


@pytest.fixture(scope="module")
def torchvision_resnet() -> Any:
    torch.manual_seed(0)
    network = torchvision.models.resnet50(weights=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def their_features(network: Any) -> torch.Tensor:
    with torch.no_grad():
        out = network.maxpool(network.relu(network.bn1(network.conv1(FRAMES))))
        return network.layer4(network.layer3(network.layer2(network.layer1(out))))


@pytest.mark.parametrize("wrapper", [None, "state_dict"])
def test_torchvision_and_mmaction(wrapper, tmp_path, torchvision_resnet):
    state = torchvision_resnet.state_dict()
    if wrapper:  # the layers stand in the same order, each convolution before its norm
        state = dict(zip(MMACTION, state.values(), strict=True))
    torch.save({"meta": {"epoch": 1}, wrapper: state} if wrapper else state, tmp_path / "cnn.pth")
    model = loaded(tmp_path / "cnn.pth")
    ours = features(model.clipbert.grid_backbone.backbone, FRAMES)
    torch.testing.assert_close(ours, their_features(torchvision_resnet), atol=1e-5, rtol=1e-5)
    assert (model.config.backbone_stride_in_1x1, model.config.frame_color_order) == (False, "rgb")
    for found, expected in zip(pixel_statistics(tmp_path / "cnn.pth", "resnet50"), IMAGENET, strict=True):
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("wrapper", [None, "model"])
def test_clipbert_and_detectron2(wrapper, tmp_path, caplog):
    state = published_state(CASES["cases"][0])
    reference = ClipBertForVideoQuestionAnswering(infer_config(state, "qa")).eval()
    load_published_state(reference, state)
    if wrapper:
        prefix = "cnn.feature."
        state = {name.removeprefix(prefix): each for name, each in state.items() if name.startswith(prefix)}
        state["roi_heads.box_head.fc1.weight"] = torch.zeros(2, 2)
        state["pixel_mean"] = torch.zeros(3, 1, 1)
    torch.save({wrapper: state, "iteration": 3} if wrapper else state, tmp_path / "cnn.pth")
    with caplog.at_level("INFO"):
        model = loaded(tmp_path / "cnn.pth")
        loaded(tmp_path / "cnn.pth", frame_color_order="rgb")
    assert "frame_color_order='rgb', but the weights of" in caplog.text
    left_out = "pixel_mean, roi_heads.box_head.fc1.weight" if wrapper else "transformer.bert.pooler.dense.weight"
    assert left_out in caplog.text
    ours = features(model.clipbert.grid_backbone.backbone, FRAMES)
    torch.testing.assert_close(ours, features(reference.clipbert.grid_backbone.backbone, FRAMES), atol=1e-5, rtol=1e-5)
    assert (model.config.backbone_stride_in_1x1, model.config.frame_color_order) == (True, "bgr")
    assert pixel_statistics(tmp_path / "cnn.pth", "resnet50") == ([123.675, 116.28, 103.53], [1.0, 1.0, 1.0])


def test_unknown_and_missing_names(tmp_path, torchvision_resnet):
    state = torchvision_resnet.state_dict()
    torch.save({name.replace("layer", "stage"): each for name, each in state.items()}, tmp_path / "cnn.pth")
    with pytest.raises(
        InvalidInputError, match=r"cnn\.pth has names of a source that is not known, such as 'stage1\.0\.conv1\.weight'"
    ):
        loaded(tmp_path / "cnn.pth")
    named = dict(zip(MMACTION, state.values(), strict=True))
    del named["backbone.layer2.1.conv2.bn.weight"]
    torch.save(named, tmp_path / "cnn.pth")
    with pytest.raises(InvalidInputError, match=r"has the names of MMAction, but lacks layer2\.1\.bn2\.weight"):
        loaded(tmp_path / "cnn.pth")
