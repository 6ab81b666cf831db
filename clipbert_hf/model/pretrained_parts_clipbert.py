"""Starting points that are not ClipBERT models: a timm CNN and a BERT-family encoder."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, PreTrainedConfig, PreTrainedModel

from ..errors import InvalidInputError
from .vision_names_clipbert import naming_of, under_names_of_timm
from .weight_files_clipbert import read_state_dict

logger = logging.getLogger(__name__)

# Encoders whose layers and names are BERT's. The second kind numbers the positions of a text from one after the padding
# token's id; its embeddings before that are for padding, which is masked here.
_BERTS, _ROBERTAS = ("bert",), ("roberta", "xlm-roberta", "camembert")
_BERT_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
)


def load_pretrained_parts(
    model_class: type[PreTrainedModel],
    *,
    vision: str | os.PathLike | None,
    text: str | os.PathLike | None,
    local_files_only: bool,
    config_overrides: Mapping[str, Any],
) -> PreTrainedModel:
    """Build a model from parts; see ``ClipBertPreTrainedModel.from_pretrained_parts``."""
    if vision is None and text is None:
        raise InvalidInputError("from_pretrained_parts needs vision, text or both; got neither")
    options = dict(config_overrides)
    if vision is None:
        # What is frozen of a published CNN would stay random here.
        options = {"freeze_batch_norm": False, "freeze_backbone_stages": 0} | options
    else:
        options["backbone"] = architecture_name(vision, options.get("backbone"))
        options = _form_of(vision, options) | options
    if text is not None:
        try:
            bert_config = AutoConfig.from_pretrained(text, local_files_only=local_files_only)
        except (OSError, ValueError) as error:
            raise InvalidInputError(
                f"text must be a folder or Hub id with a BERT; cannot load {text}: {error}"
            ) from error
        options = _text_sizes(text, bert_config) | options
    model = model_class(model_class.config_class(**options))
    if vision is not None:
        _load_vision(model, vision)
    if text is not None:
        _load_text(model, text, local_files_only=local_files_only)
    return model


def architecture_name(vision: str | os.PathLike, backbone: str | None) -> str:
    """The timm architecture of a vision part.

    Args:
        vision: A timm name, a Hub id ``"timm/…"``, a folder or a file.
        backbone: The CNN's name, which a file cannot tell.

    Raises:
        InvalidInputError: If it cannot be told.
    """
    name = backbone
    if name is None:
        path = Path(vision)
        if path.is_file():
            raise InvalidInputError(f"vision is a file of weights, {path}: name its CNN of timm as backbone=…")
        name = str(_folder_config(path).get("architecture")) if path.is_dir() else str(vision).removeprefix("timm/")
    if not timm.is_model(name.split(".")[0]):
        raise InvalidInputError(f"vision must be a CNN of timm, a folder or a file; timm has no {name!r}")
    return name.split(".")[0]


def pixel_statistics(vision: str | os.PathLike, backbone: str | None = None) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the pixels that a CNN was trained on, in units of 0–255.

    Args:
        vision: As in ``from_pretrained_parts``.
        backbone: The CNN's name where ``vision`` is a file.
    """
    path = Path(vision)
    if path.is_dir():
        cfg = _folder_config(path).get("pretrained_cfg", {})
        mean, std = cfg.get("mean"), cfg.get("std")
    elif path.is_file() and (naming := naming_of(read_state_dict(path, wrapped=True))):
        return list(naming.mean), list(naming.std)
    else:
        known_name = str(vision).removeprefix("timm/")
        name = known_name if timm.is_model(known_name.split(".")[0]) else architecture_name(vision, backbone)
        pretrained_cfg = timm.get_pretrained_cfg(name)
        mean, std = pretrained_cfg.mean, pretrained_cfg.std
    if mean is None or std is None:
        raise InvalidInputError(f"vision: no pixel mean and std known for {vision}; give image_mean and image_std")
    return [255 * value for value in mean], [255 * value for value in std]


def _folder_config(path: Path) -> dict[str, Any]:
    try:
        return json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"vision folder {path} must hold the config.json of a timm model: {error}") from error


def _folder_weights(path: Path) -> Path:
    """The file of weights beside a timm model's config.json, under the names that timm gives it."""
    names = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")
    found = [path / name for name in names if (path / name).is_file()]
    if not found:
        raise InvalidInputError(f"vision folder {path} must hold weights as one of {', '.join(names)}; none is there")
    return found[0]


def _load_vision(model: PreTrainedModel, vision: str | os.PathLike) -> None:
    config, path = model.config, Path(vision)
    options: dict[str, Any] = {"out_indices": (-1,), **(config.backbone_kwargs or {})}
    if path.is_file():
        source, options["pretrained_cfg_overlay"] = (
            config.backbone,
            {"state_dict": _read_cnn(path, config)},
        )
    elif path.is_dir():
        source = f"local-dir:{path}"
        # Read here: timm before 1.0.26 unpickles whatever it finds in a folder.
        options["pretrained_cfg_overlay"] = {"source": "timm", "state_dict": read_state_dict(_folder_weights(path))}
    else:
        source = str(vision) if not str(vision).startswith("timm/") else f"hf-hub:{vision}"
    try:
        pretrained = timm.create_model(source, pretrained=True, features_only=True, **options)
    except RuntimeError as error:
        raise InvalidInputError(f"vision {vision} does not hold weights for {config.backbone}: {error}") from error
    base = getattr(model, model.base_model_prefix, model)
    backbone = base.grid_backbone.backbone
    backbone.load_state_dict(backbone.state_dict() | pretrained.state_dict())


def _read_cnn(path: Path, config: Any) -> dict[str, torch.Tensor]:
    expected = timm.create_model(config.backbone, pretrained=False).state_dict()
    return under_names_of_timm(read_state_dict(path, wrapped=True), expected, str(path), config.backbone)


def _form_of(vision: str | os.PathLike, options: Mapping[str, Any]) -> dict[str, Any]:
    """Where the strides of a source are and how it takes colours; options that say otherwise are warned of."""
    naming = naming_of(read_state_dict(vision, wrapped=True)) if Path(vision).is_file() else None
    if naming is None:
        # Weights from timm and torchvision have the stride in the 3x3 and were trained on RGB.
        return {"backbone_stride_in_1x1": False, "frame_color_order": "rgb"}
    form = {"backbone_stride_in_1x1": naming.stride_in_1x1, "frame_color_order": naming.color_order}
    for name, value in form.items():
        if options.get(name, value) != value:
            logger.warning(
                "%s=%r, but the weights of %s in %s were trained with %r",
                name,
                options[name],
                naming.source,
                vision,
                value,
            )
    return form


def _first_position(config: PreTrainedConfig) -> int:
    """The number of the position embedding that a text starts with."""
    return config.pad_token_id + 1 if config.model_type in _ROBERTAS else 0


def _text_sizes(text: str | os.PathLike, config: PreTrainedConfig) -> dict[str, Any]:
    """Fields of our configuration for a text encoder.

    Raises:
        InvalidInputError: If its layers are not BERT's.
    """
    if config.model_type not in _BERTS + _ROBERTAS:
        raise InvalidInputError(
            f"text must be a BERT (model_type {', '.join(map(repr, _BERTS + _ROBERTAS))}); "
            f"{text} is {config.model_type!r}"
        )
    positions = getattr(config, "position_embedding_type", None) or "absolute"
    if positions != "absolute" or config.is_decoder:
        what = "a decoder" if config.is_decoder else f"one with position_embedding_type {positions!r}"
        raise InvalidInputError(f"text must be an encoder with absolute positions; {text} is {what}")
    sizes = {name: getattr(config, name) for name in _BERT_FIELDS}
    sizes["max_position_embeddings"] -= _first_position(config)
    return sizes


def _load_text(model: PreTrainedModel, text: str | os.PathLike, *, local_files_only: bool) -> None:
    base: nn.Module = getattr(model, model.base_model_prefix, model)
    head = getattr(model, "cls", None)
    source: Any
    if head is None:
        source = encoder = AutoModel.from_pretrained(text, local_files_only=local_files_only)
    else:
        source = AutoModelForPreTraining.from_pretrained(text, local_files_only=local_files_only)
        encoder = source.base_model
    parts = {part: getattr(encoder, part, None) for part in ("embeddings", "encoder", "pooler")}
    # A pooler that the checkpoint's own class does not have stays new.
    states = {part: module.state_dict() for part, module in parts.items() if module is not None}
    positions = states["embeddings"]["position_embeddings.weight"]
    states["embeddings"]["position_embeddings.weight"] = positions[_first_position(source.config) :]
    try:
        for part, state in states.items():
            getattr(base, part).load_state_dict(state)
        if head is not None and source.config.model_type in _BERTS:
            head.load_state_dict(source.cls.state_dict())
        elif head is not None:
            _load_roberta_head(head.predictions, source.lm_head)
    except RuntimeError as error:
        raise InvalidInputError(f"text {text} does not fit the sizes that were asked for: {error}") from error


def _load_roberta_head(predictions: Any, lm_head: Any) -> None:
    """Masked language modelling alone: matching is new where a text encoder was never asked for it."""
    predictions.transform.dense.load_state_dict(lm_head.dense.state_dict())
    predictions.transform.LayerNorm.load_state_dict(lm_head.layer_norm.state_dict())
    predictions.decoder.load_state_dict(lm_head.decoder.state_dict())
    predictions.bias.data.copy_(lm_head.bias.data)
