from __future__ import annotations

import math

import pytest

from clipbert_hf import ClipBertConfig, ClipBertModel, InvalidInputError
from clipbert_hf.model.hub_code_clipbert import saving_repository


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temporal_fusion": "lstm"}, "temporal_fusion must be one of mean, conv3d, conv2plus1d; got 'lstm'"),
        ({"score_aggregation": "sum"}, "score_aggregation must be one of mean, max, lse; got 'sum'"),
        ({"frame_color_order": "gbr"}, "frame_color_order must be one of rgb, bgr"),
        ({"retrieval_loss": "nce"}, "retrieval_loss must be one of cross_entropy, rank"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be at least 1; got 0"),
        ({"freeze_backbone_stages": -1}, "freeze_backbone_stages must be at least 0"),
        ({"hidden_size": 100}, "hidden_size must be a multiple of num_attention_heads; got 100 and 12"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob must be from 0 to 1; got 1.5"),
        ({"attention_probs_dropout_prob": math.nan}, "attention_probs_dropout_prob must be from 0 to 1; got nan"),
        ({"layer_norm_eps": 0.0}, "layer_norm_eps must be a positive number; got 0.0"),
        ({"initializer_range": -0.1}, "initializer_range must be at least 0; got -0.1"),
        ({"initializer_range": math.nan}, "initializer_range must be a finite number; got nan"),
        ({"rank_margin": math.inf}, "rank_margin must be a finite number; got inf"),
    ],
)
def test_wrong_values_name_the_allowed_ones(options, message):
    with pytest.raises(InvalidInputError, match=message):
        ClipBertConfig(**options)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("score_aggregation", "sum", "score_aggregation must be one of mean, max, lse; got 'sum'"),
        ("num_hidden_layers", 0, "num_hidden_layers must be at least 1; got 0"),
    ],
)
def test_wrong_values_are_refused_when_they_are_assigned_later(name, value, message):
    config = ClipBertConfig()
    before = getattr(config, name)
    with pytest.raises(InvalidInputError, match=message):
        setattr(config, name, value)
    assert getattr(config, name) == before


def test_sizes_that_do_not_fit_are_refused_when_they_are_used():
    config = ClipBertConfig()
    config.hidden_size = 100  # num_attention_heads may follow
    with pytest.raises(InvalidInputError, match="hidden_size must be a multiple of num_attention_heads"):
        ClipBertModel(config)


def test_numbers_may_be_integers():
    config = ClipBertConfig(rank_margin=1, hidden_dropout_prob=0)
    assert config.rank_margin == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet5000"}, "backbone must be a CNN of timm .*'resnet5000'"),
        ({"backbone_kwargs": {"no_such_option": 1}}, "backbone_kwargs; got 'resnet50' with .*no_such_option"),
        ({"backbone": "resnet18", "backbone_stride_in_1x1": True}, "backbone_stride_in_1x1 needs .* bottleneck"),
        ({"freeze_backbone_stages": 9}, "at most 5 for this CNN; got 9"),
    ],
)
def test_backbones_that_cannot_be(options, message):
    sizes = {"hidden_size": 16, "num_attention_heads": 1, "num_hidden_layers": 1, "intermediate_size": 16}
    with pytest.raises(InvalidInputError, match=message):
        ClipBertModel(ClipBertConfig(**sizes, **options))


def test_round_trip(tmp_path):
    config = ClipBertConfig(backbone="resnet18", backbone_kwargs={"out_indices": [3]}, score_aggregation="lse")
    config.save_pretrained(tmp_path)
    assert ClipBertConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_saving_copies_the_code_with_sibling_imports_only(tmp_path):
    ClipBertConfig().save_pretrained(tmp_path)
    files = sorted(path.name for path in tmp_path.glob("*.py"))
    assert {"configuration_clipbert.py", "modeling_clipbert.py", "pipeline_clipbert.py"} <= set(files)
    assert all(name.endswith("_clipbert.py") for name in files)


def test_a_json_file_brings_no_code(tmp_path):
    ClipBertConfig().to_json_file(tmp_path / "config.json")
    ClipBertConfig().to_json_file(tmp_path / "c.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json", "config.json"]
    assert ClipBertConfig.from_json_file(tmp_path / "c.json").to_dict() == ClipBertConfig().to_dict()


def test_a_file_beside_a_repository_brings_no_code(tmp_path):
    """Also while a repository is being saved elsewhere."""
    with saving_repository(tmp_path / "repository"):
        ClipBertConfig().to_json_file(tmp_path / "c.json")
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_positive(value):
    with pytest.raises(InvalidInputError, match="calibration_temperature must be a positive number"):
        ClipBertConfig(calibration_temperature=value)


def test_a_published_configuration_has_no_temperature(tmp_path):
    ClipBertConfig().save_pretrained(tmp_path)
    assert ClipBertConfig.from_pretrained(tmp_path).calibration_temperature == 1
    ClipBertConfig(calibration_temperature=1.7).save_pretrained(tmp_path)
    assert ClipBertConfig.from_pretrained(tmp_path).calibration_temperature == 1.7
