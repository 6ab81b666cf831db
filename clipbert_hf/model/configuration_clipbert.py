"""Configuration of the ClipBERT models."""

import math
import os
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from ..errors import InvalidInputError
from .hub_code_clipbert import AUTO_MAP, add_model_code, pipelines_of, saving_repository

_CHOICES: dict[str, tuple[str, ...]] = {
    "frame_color_order": ("rgb", "bgr"),
    "temporal_fusion": ("mean", "conv3d", "conv2plus1d"),
    "score_aggregation": ("mean", "max", "lse"),
    "retrieval_loss": ("cross_entropy", "rank"),
    "contrastive_pooling": ("maxsim", "mean", "max"),
}
_PUBLISHED_BACKBONE = "resnet50"
_AT_LEAST: dict[str, int] = {
    "vocab_size": 1,
    "hidden_size": 1,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 1,
    "max_position_embeddings": 1,
    "max_grid_row_position_embeddings": 1,
    "max_grid_col_position_embeddings": 1,
    "freeze_backbone_stages": 0,
    "pixel_random_sampling_size": 0,
    "contrastive_size": 0,
    "initializer_range": 0,
}
_ABOVE_ZERO = {"calibration_temperature", "layer_norm_eps"}
_SHARES = {"hidden_dropout_prob", "attention_probs_dropout_prob"}


@strict
class ClipBertConfig(PreTrainedConfig):
    """Sizes and options of a ClipBERT model; the defaults are the published ones (paper, section 4).

    The BERT fields (``vocab_size`` … ``pad_token_id``) have their usual meaning. ``num_labels``, ``id2label`` and
    ``label2id`` name the answers.

    Args:
        backbone: Name of any timm CNN, or of another network of timm that gives feature maps, such as a ViT.
        backbone_kwargs: Extra arguments of ``timm.create_model``, such as ``{"output_stride": 16}``,
            ``{"out_indices": [3]}`` to stop before the last stage, or ``{"img_size": 448}`` for a network that takes
            frames of one size.
        backbone_stride_in_1x1: Put the stride of a bottleneck into its first 1x1 convolution, as in the Caffe
            ResNets that the published checkpoints hold. ``False`` for weights from timm or torchvision. By default
            true for the published ``resnet50`` alone.
        freeze_batch_norm: Batch norm uses its running statistics and its affine parameters do not train.
        freeze_backbone_stages: The CNN does not train up to this one of the feature maps that timm lists for
            it; 0 freezes nothing. For a ResNet 1 is the stem and 2 the stem and the first stage.
        frame_color_order: The order in which the CNN takes colours. Inputs are always RGB.
        temporal_fusion: How the frames of a clip become one grid (paper, table 2).
        score_aggregation: How the clips' logits become the video's (paper, table 3).
        pixel_random_sampling_size: How many visual tokens, drawn at random, are kept while training; 0 keeps
            all (100 in the published pre-training).
        max_grid_row_position_embeddings: Most rows of grid cells.
        max_grid_col_position_embeddings: Most columns of grid cells.
        retrieval_loss: ``"cross_entropy"`` on two logits, or ``"rank"`` on one.
        rank_margin: Margin of the rank loss, on sigmoid scores.
        contrastive_size: Of the vectors of a contrastive head beside the published one of retrieval and pre-training,
            for searching; 0: none, as published.
        contrastive_pooling: How a text meets the clips of a video there: ``"maxsim"``, each of its tokens the clip most
            alike; ``"mean"`` and ``"max"``, its [CLS] the mean or the largest numbers of the clips' vectors.
        cls_token_id: Of the tokenizer; with ``sep_token_id`` what a contrastive head gives a clip for a text.
        sep_token_id: Of the tokenizer.
        score_fusion: How search adds the similarity of the contrastive head and the score of a match:
            ``first_stage_std``, ``matching_std`` and ``weight``, found on validation data. None: not found yet.
        calibration_temperature: By what aggregated logits are divided before they become probabilities, so that these
            tell how often answers are right (Guo et al., 2017). Logits, losses and ranks stay as they are. Training
            here finds it on validation data; after any other training it no longer holds. 1: as published.

    Raises:
        InvalidInputError: If a value is outside what is allowed, here or when it is assigned later; the message names
            the allowed ones.

    Example:
        >>> ClipBertConfig(num_hidden_layers=2, score_aggregation="lse").score_aggregation
        'lse'
    """

    model_type = "clipbert"
    # What Trainer does not gather in evaluations: of a data set it would fill the memory, and no metric asks for it.
    keys_to_ignore_at_inference = [  # noqa: RUF012 (Trainer adds to it as a list)
        *("last_hidden_state", "hidden_states", "attentions", "clip_logits"),
        *("mlm_logits", "mlm_loss", "itm_loss"),
        *("text_embeds", "text_embeds_mask", "clip_embeds", "contrastive_scale"),
    ]

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float | int = 0.02
    layer_norm_eps: float | int = 1e-12
    pad_token_id: int | None = 0
    tie_word_embeddings: bool = True
    # The BERT layers ask for these two; a ClipBERT is never a decoder.
    is_decoder: bool = False
    add_cross_attention: bool = False

    backbone: str = "resnet50"
    backbone_kwargs: dict[str, Any] | None = None
    backbone_stride_in_1x1: bool | None = None
    freeze_batch_norm: bool = True
    freeze_backbone_stages: int = 2
    frame_color_order: str = "bgr"
    temporal_fusion: str = "mean"
    score_aggregation: str = "mean"
    pixel_random_sampling_size: int = 0
    max_grid_row_position_embeddings: int = 100
    max_grid_col_position_embeddings: int = 100
    retrieval_loss: str = "cross_entropy"
    rank_margin: float | int = 0.2
    contrastive_size: int = 0
    contrastive_pooling: str = "maxsim"
    cls_token_id: int | None = None
    sep_token_id: int | None = None
    score_fusion: dict[str, float] | None = None
    calibration_temperature: float | int = 1.0

    def __post_init__(self, **kwargs: Any) -> None:
        self.check_sizes()
        if self.backbone_stride_in_1x1 is None:
            self.backbone_stride_in_1x1 = self.backbone == _PUBLISHED_BACKBONE
        super().__post_init__(**kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        """Check a value when it is assigned, in the constructor and later."""
        if name in _CHOICES and value not in _CHOICES[name]:
            raise InvalidInputError(f"{name} must be one of {', '.join(_CHOICES[name])}; got {value!r}")
        if name in _AT_LEAST and value < _AT_LEAST[name]:
            raise InvalidInputError(f"{name} must be at least {_AT_LEAST[name]}; got {value}")
        if name in _ABOVE_ZERO and not 0 < value < math.inf:
            raise InvalidInputError(f"{name} must be a positive number; got {value}")
        if name in _SHARES and not 0 <= value <= 1:
            raise InvalidInputError(f"{name} must be from 0 to 1; got {value}")
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidInputError(f"{name} must be a finite number; got {value}")
        super().__setattr__(name, value)

    def check_sizes(self) -> None:
        """Check what depends on several fields, which can be assigned only one after the other.

        Raises:
            InvalidInputError: If they do not fit.
        """
        if self.hidden_size % self.num_attention_heads:
            raise InvalidInputError(
                f"hidden_size must be a multiple of num_attention_heads; "
                f"got {self.hidden_size} and {self.num_attention_heads}"
            )
        if self.contrastive_size and (self.cls_token_id is None or self.sep_token_id is None):
            raise InvalidInputError(
                "contrastive_size needs cls_token_id and sep_token_id of the tokenizer, 101 and 102 of "
                f"bert-base-uncased; got {self.cls_token_id} and {self.sep_token_id}"
            )

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Write ``config.json`` and, beside it, the code with which the Hub loads the model.

        The models save their configuration through this method, so each saved folder is complete.

        Args:
            save_directory: The folder.
            push_to_hub: Upload it too.
            **kwargs: As in transformers.
        """
        # A model loaded from the Hub points at its old repository here; the code now stands in this folder.
        self.auto_map = dict(AUTO_MAP)
        pipelines = pipelines_of((self.architectures or [""])[0])
        if pipelines:
            self.custom_pipelines = pipelines
        with saving_repository(save_directory):
            super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    def to_json_file(self, json_file_path: str | os.PathLike, use_diff: bool = True) -> None:
        """Write the JSON file; no code, unless ``save_pretrained`` does so."""
        add_model_code(json_file_path)
        super().to_json_file(json_file_path, use_diff=use_diff)


__all__ = ["ClipBertConfig"]
