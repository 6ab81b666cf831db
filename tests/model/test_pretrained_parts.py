"""Starting from real weights: MiniLM and EfficientNet-Lite0, as their packages hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from installed_weights import efficientnet_file, minilm_folder
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertConfig, BertModel, RobertaConfig, RobertaForMaskedLM, XLMRobertaConfig

from clipbert_hf import (
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoTextRetrieval,
    ClipBertProcessor,
    InvalidInputError,
)


@pytest.fixture(scope="module")
def minilm() -> Path:
    return minilm_folder()


@pytest.fixture(scope="module")
def efficientnet() -> Path:
    return efficientnet_file()


def test_real_weights_arrive(minilm, efficientnet):
    model = ClipBertForVideoTextRetrieval.from_pretrained_parts(
        vision=efficientnet, backbone="tf_efficientnet_lite0", text=minilm, score_aggregation="lse"
    )
    assert not model.training
    config = model.config
    assert (config.hidden_size, config.num_hidden_layers, config.frame_color_order) == (384, 6, "rgb")
    bert = AutoModel.from_pretrained(minilm)
    assert torch.equal(model.clipbert.embeddings.word_embeddings.weight, bert.embeddings.word_embeddings.weight)
    assert torch.equal(model.clipbert.encoder.layer[5].output.dense.weight, bert.encoder.layer[5].output.dense.weight)
    published = list(torch.load(efficientnet, weights_only=True).values())
    assert torch.equal(model.clipbert.grid_backbone.backbone.conv_stem.weight, published[0])
    # The features are those of the whole CNN up to its last stage.
    full = timm.create_model("tf_efficientnet_lite0").eval()
    names = [name for name in full.state_dict() if not name.endswith("num_batches_tracked")]
    tensors = [
        value for name, value in torch.load(efficientnet, weights_only=True).items() if "num_batches" not in name
    ]
    full.load_state_dict(dict(zip(names, tensors, strict=True)), strict=False)
    frame = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        ours = model.clipbert.grid_backbone.backbone(frame)[-1]
        theirs = full.blocks(full.bn1(full.conv_stem(frame)))
    torch.testing.assert_close(ours, theirs)


def test_text_and_image_alone(minilm):
    model = ClipBertForVideoQuestionAnswering.from_pretrained_parts(
        text=minilm, backbone="test_resnet", backbone_stride_in_1x1=False, num_labels=3
    )
    assert model.config.num_labels == 3
    with pytest.raises(InvalidInputError, match="got neither"):
        ClipBertForVideoQuestionAnswering.from_pretrained_parts()
    assert (model.config.freeze_batch_norm, model.config.freeze_backbone_stages) == (False, 0)
    assert all(parameter.requires_grad for parameter in model.train().parameters())


def test_a_timm_folder(tmp_path):
    source = timm.create_model("test_resnet")
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(
        '{"architecture": "test_resnet", "num_classes": 1000,'
        ' "pretrained_cfg": {"num_classes": 1000, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],'
        ' "first_conv": "conv1", "classifier": "fc", "input_size": [3, 160, 160]}}'
    )
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    model = ClipBertForPreTraining.from_pretrained_parts(vision=tmp_path, **sizes)
    weights = load_file(tmp_path / "model.safetensors")
    assert torch.equal(model.clipbert.grid_backbone.backbone.layer4[0].conv1.weight, weights["layer4.0.conv1.weight"])
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred")
    processor = ClipBertProcessor.from_pretrained_parts(vision=tmp_path, text=tmp_path / "vocab.txt")
    assert processor.video_processor.image_mean == (127.5,) * 3
    assert processor.video_processor.image_std == (63.75,) * 3


def test_a_folder_whose_weights_are_code(tmp_path):
    (tmp_path / "config.json").write_text('{"architecture": "test_resnet", "pretrained_cfg": {}}')
    with pytest.raises(InvalidInputError, match=r"must hold weights as one of model\.safetensors"):
        ClipBertForVideoQuestionAnswering.from_pretrained_parts(vision=tmp_path)
    torch.save({"conv1.weight": print}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InvalidInputError, match=r"pytorch_model\.bin must hold names and tensors only"):
        ClipBertForVideoQuestionAnswering.from_pretrained_parts(vision=tmp_path)


def test_wrong_parts(tmp_path, minilm, efficientnet):
    load = ClipBertForVideoQuestionAnswering.from_pretrained_parts
    with pytest.raises(InvalidInputError, match="name its CNN of timm as backbone"):
        load(vision=efficientnet)
    with pytest.raises(InvalidInputError, match="does not hold weights for resnet18"):
        load(vision=efficientnet, backbone="resnet18")
    with pytest.raises(InvalidInputError, match="timm has no 'no_such_cnn'"):
        load(vision="no_such_cnn")
    with pytest.raises(InvalidInputError, match=r"config\.json of a timm model"):
        load(vision=tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(InvalidInputError, match="'bert', 'roberta', 'xlm-roberta', 'camembert'"):
        load(text=tmp_path)
    BertModel(BertConfig(**TEXT_SIZES)).save_pretrained(tmp_path / "bert")
    with pytest.raises(InvalidInputError, match="does not fit the sizes that were asked for"):
        load(text=tmp_path / "bert", backbone="test_resnet", vocab_size=60)


TEXT_SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
}


@pytest.mark.parametrize("config_class", [RobertaConfig, XLMRobertaConfig])
def test_positions_of_a_roberta(tmp_path, config_class):
    config = config_class(**TEXT_SIZES, type_vocab_size=1, pad_token_id=1, initializer_range=0.5)
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    source = AutoModel.from_pretrained(tmp_path).eval()
    model = ClipBertForVideoQuestionAnswering.from_pretrained_parts(text=tmp_path, backbone="test_resnet")
    assert model.config.max_position_embeddings == 18
    ids = torch.tensor([[0, 7, 8, 2, 1, 1], [0, 9, 10, 11, 12, 2]])
    real = ids != 1
    ours, theirs = model.clipbert.embeddings(input_ids=ids), source.embeddings(input_ids=ids)
    torch.testing.assert_close(ours[real], theirs[real])
    # Padding has other positions here, and is masked.
    mask = torch.where(real, 0.0, torch.finfo(torch.float32).min)[:, None, None]
    encoded = model.clipbert.encoder(ours, attention_mask=mask)[0]
    expected = source(input_ids=ids, attention_mask=real.long())
    torch.testing.assert_close(encoded[real], expected.last_hidden_state[real])
    torch.testing.assert_close(model.clipbert.pooler(encoded), expected.pooler_output)


def test_the_head_of_a_roberta(tmp_path):
    config = RobertaConfig(**TEXT_SIZES, type_vocab_size=1, pad_token_id=1, initializer_range=0.5)
    torch.manual_seed(0)
    source = RobertaForMaskedLM(config).eval()
    source.lm_head.bias.data.normal_()
    source.save_pretrained(tmp_path)
    model = ClipBertForPreTraining.from_pretrained_parts(text=tmp_path, backbone="test_resnet")
    hidden = torch.randn(2, 3, 16)
    torch.testing.assert_close(model.cls.predictions(hidden), source.lm_head(hidden))


def test_bert_with_a_vocabulary_of_its_own(tmp_path):
    source = BertModel(BertConfig(**TEXT_SIZES, pad_token_id=3)).eval()
    source.save_pretrained(tmp_path)
    model = ClipBertForVideoQuestionAnswering.from_pretrained_parts(text=tmp_path, backbone="test_resnet")
    assert (model.config.vocab_size, model.config.pad_token_id, model.config.max_position_embeddings) == (50, 3, 20)
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(model.clipbert.embeddings(input_ids=ids), source.embeddings(input_ids=ids))
