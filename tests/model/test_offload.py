"""Weights that wait on the disk or in the CPU's memory give what they give in place."""

from __future__ import annotations

import pytest
import torch
from accelerate import cpu_offload, disk_offload
from reference_inputs import tiny_config, tiny_inputs

from clipbert_hf import ClipBertForPreTraining, ClipBertForVideoQuestionAnswering

CHILDREN = ["grid_backbone", "temporal_fusion", "embeddings", "visual_embeddings", "encoder", "pooler"]
PARTS = [*(f"clipbert.{child}" for child in CHILDREN), "classifier"]
INPUTS = tiny_inputs(side=128)


def qa_model() -> ClipBertForVideoQuestionAnswering:
    torch.manual_seed(0)
    return ClipBertForVideoQuestionAnswering(tiny_config(temporal_fusion="conv3d")).eval()


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(**INPUTS).logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    qa_model().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def expected() -> torch.Tensor:
    return logits(qa_model())


def test_the_parts_are_all_there_are():
    model = qa_model()
    assert [name for name, part in model.clipbert.named_children() if list(part.parameters())] == CHILDREN


@pytest.mark.parametrize("part", PARTS)
def test_each_part_alone_on_the_disk(folder, expected, tmp_path, part):
    device_map = dict.fromkeys(PARTS, "cpu") | {part: "disk"}
    model = ClipBertForVideoQuestionAnswering.from_pretrained(folder, device_map=device_map, offload_folder=tmp_path)
    waiting = {name.rpartition(".")[0] for name, value in model.named_parameters() if value.device.type == "meta"}
    assert waiting
    assert all(name.startswith(part) for name in waiting)
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=0)


@pytest.mark.parametrize("offload", [cpu_offload, lambda model, **options: disk_offload(model, **options)])
def test_everything_offloaded_by_accelerate(expected, tmp_path, offload):
    options = {"offload_dir": str(tmp_path)} if offload is not cpu_offload else {}
    model = offload(qa_model(), execution_device=torch.device("cpu"), **options)
    assert {value.device.type for value in model.parameters()} == {"meta"}
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=0)


def test_pretraining_heads_on_the_disk(tmp_path):
    torch.manual_seed(0)
    model = ClipBertForPreTraining(tiny_config()).eval()
    with torch.no_grad():
        plain = model(**INPUTS)
        model.save_pretrained(tmp_path)
        # The decoder goes with the word embeddings, to which it is tied; transformers asks that of every model.
        device_map = dict.fromkeys(PARTS[:-1], "cpu") | {"clipbert.embeddings": "disk", "cls": "disk"}
        loaded = ClipBertForPreTraining.from_pretrained(tmp_path, device_map=device_map, offload_folder=tmp_path / "w")
        output = loaded(**INPUTS)
    torch.testing.assert_close(output.mlm_logits, plain.mlm_logits, rtol=0, atol=0)
    torch.testing.assert_close(output.logits, plain.logits, rtol=0, atol=0)
