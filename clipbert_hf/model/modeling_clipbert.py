"""The ClipBERT models, read from the bottom up: outputs, backbone, embeddings, encoder, aggregation over clips, heads.

Shapes: B videos, K clips a video, T frames a clip, N texts, M tokens a text, R x C cells of a frame's grid,
V = R * C visual tokens, D hidden size, L labels.

``hidden_states`` (one for the embeddings and one for each layer, (N * K, M + V, D)) and ``attentions`` (one for each
layer, (N * K, heads, M + V, M + V)) come on request; their first dimension holds the clips of the first text, then
those of the second, and so on.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import timm
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.bert.modeling_bert import (
    BertEmbeddings,
    BertEncoder,
    BertLayer,
    BertLMPredictionHead,
    BertPooler,
    BertPreTrainingHeads,
    BertSelfAttention,
)
from transformers.utils import ModelOutput, can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from ..errors import InvalidInputError
from .checkpointing_clipbert import CheckpointFunction, blocks_of, checkpointed, checkpointing
from .clip_assembly_clipbert import normalize_by_video
from .configuration_clipbert import ClipBertConfig
from .contrastive_clipbert import INITIAL_TEMPERATURE, ClipBertContrastiveHead
from .inputs_clipbert import (
    check_rank,
    check_text_inputs,
    check_visual_inputs,
    find_equal_frames,
    match_texts_to_videos,
    number_of_videos,
)
from .losses_clipbert import at_least_fp32, classification_loss, indexed_cross_entropy, rank_loss
from .pretrained_parts_clipbert import load_pretrained_parts
from .training_linear_clipbert import use_training_products

# --- Outputs ---


@dataclass
class ClipBertModelOutput(ModelOutput):
    """Output of the encoder without a head.

    Args:
        last_hidden_state: (N, K, M + V, D), the text tokens first.
        pooler_output: (N, K, D), from the [CLS] token.
        hidden_states: See the module.
        attentions: See the module.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class ClipBertScoresOutput(ModelOutput):
    """Output of the heads that score clips.

    Args:
        loss: The loss on the aggregated logits, if labels were given.
        logits: Aggregated over clips, (N, L).
        clip_logits: Of each clip, (N, K, L).
        hidden_states: See the module.
        attentions: See the module.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    clip_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class ClipBertRetrievalOutput(ClipBertScoresOutput):
    """Output of the retrieval head.

    Args:
        scores: How well each text matches its video, 0 to 1, (N,).
        text_embeds: Of the contrastive head, (P, M, contrastive size), if it was given texts.
        text_embeds_mask: Which of these vectors count, (P, M).
        clip_embeds: Of the contrastive head, (B, K, contrastive size), likewise.
        contrastive_scale: By what it multiplies similarities in its loss, (1,), likewise.
    """

    scores: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    text_embeds_mask: torch.Tensor | None = None
    clip_embeds: torch.Tensor | None = None
    contrastive_scale: torch.Tensor | None = None


@dataclass
class ClipBertPreTrainingOutput(ClipBertScoresOutput):
    """Output of the pre-training heads; ``logits`` and ``clip_logits`` are those of image-text matching.

    Args:
        mlm_loss: Masked language modelling, mean over the masked tokens.
        itm_loss: Image-text matching.
        mlm_logits: (N, K, M, vocabulary).
        text_embeds: Of the contrastive head; see :class:`ClipBertRetrievalOutput`.
        text_embeds_mask: Likewise.
        clip_embeds: Likewise.
        contrastive_scale: Likewise.
    """

    mlm_loss: torch.Tensor | None = None
    itm_loss: torch.Tensor | None = None
    mlm_logits: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    text_embeds_mask: torch.Tensor | None = None
    clip_embeds: torch.Tensor | None = None
    contrastive_scale: torch.Tensor | None = None


# --- Frames to grid features (paper, section 3.1) ---


def create_backbone(config: ClipBertConfig) -> nn.Module:
    """Build the CNN that ``config`` names, with random weights, giving only its last feature map.

    Raises:
        InvalidInputError: If timm does not know the name or the arguments, or if the stride is to be moved into
            1x1 convolutions that the CNN does not have.
    """
    options = {"out_indices": (-1,), **(config.backbone_kwargs or {})}
    try:
        backbone = timm.create_model(config.backbone, pretrained=False, features_only=True, **options)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise InvalidInputError(
            f"backbone must be a CNN of timm that takes backbone_kwargs; got {config.backbone!r} with "
            f"{config.backbone_kwargs or {}}: {error}"
        ) from error
    for module in backbone.modules():
        # Constants such as the kernels of anti-aliased pooling are rebuilt by a constructor, not loaded. But
        # from_pretrained constructs models without memory, so they must come from the checkpoint.
        module._non_persistent_buffers_set.clear()
    if config.backbone_stride_in_1x1:
        _move_stride_to_1x1(backbone, config.backbone)
    return backbone


def _move_stride_to_1x1(backbone: nn.Module, name: str) -> None:
    moved = 0
    for block in backbone.modules():
        conv1, conv2 = getattr(block, "conv1", None), getattr(block, "conv2", None)
        if not (isinstance(conv1, nn.Conv2d) and isinstance(conv2, nn.Conv2d)):
            continue
        if conv1.kernel_size == (1, 1) and conv2.stride == (2, 2):
            conv1.stride, conv2.stride = conv2.stride, conv1.stride
            moved += 1
    if not moved:
        raise InvalidInputError(
            f"backbone_stride_in_1x1 needs a CNN of bottleneck blocks with stride 2, such as resnet50; got {name!r}"
        )


# Of more frames than this, what checkpoints around blocks keep weighs more than the activations of a whole CNN do for
# one frame.
_FRAMES_CHECKPOINTED_BY_BLOCK = 4
# The maps of more frames than that leave a CPU's caches; smaller frames count less.
_PIXELS_AT_ONCE = 4 * 448 * 448


class ClipBertGridBackbone(nn.Module):
    """Frames to grid features: CNN, 3x3 convolution, 2x2 max-pool, ReLU.

    A 448 px frame through a ResNet-50 gives a 14x14 map and, after the pool, a 7x7 grid.
    """

    _gradient_checkpointing_func: Callable[..., torch.Tensor]

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__()
        self.frame_color_order = config.frame_color_order
        self.freeze_batch_norm = config.freeze_batch_norm
        self.freeze_backbone_stages = config.freeze_backbone_stages
        self.gradient_checkpointing = False
        self.backbone = create_backbone(config)
        feature_info: Any = self.backbone.feature_info
        self.stride = feature_info.reduction()[-1]
        channels = feature_info.channels()[-1]
        self.name = config.backbone
        # A string, since timm's enumeration would keep torch.compile from one graph.
        self.feature_layout = str(getattr(getattr(self.backbone, "output_fmt", None), "value", "NCHW"))
        if self.feature_layout not in ("NCHW", "NHWC"):
            raise InvalidInputError(
                f"backbone must give feature maps NCHW or NHWC; {config.backbone!r} gives {self.feature_layout}"
            )
        self.frame_size = fixed_frame_size(self.backbone, config.backbone_kwargs)
        self.grid_encoder = nn.Sequential(
            nn.Conv2d(channels, config.hidden_size, kernel_size=3, padding=1, bias=False),
            nn.MaxPool2d(kernel_size=2, stride=2),
            nn.ReLU(),
        )
        self._freeze()

    def train(self, mode: bool = True) -> ClipBertGridBackbone:
        """Switch training mode; what the configuration freezes stays frozen."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        # from_pretrained makes every loaded parameter trainable again and then calls eval(): so freezing belongs
        # to train() and eval().
        frozen = _modules_up_to_stage(self.backbone, self.freeze_backbone_stages)
        if self.freeze_batch_norm:
            frozen += [module for module in self.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
        for module in frozen:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Encode frames.

        Args:
            frames: (frames, 3, H, W), RGB, normalised as the CNN expects.

        Returns:
            Grid features, (frames, H / 2s, W / 2s, hidden size) for a CNN of stride s.

        Raises:
            InvalidInputError: If the frames are too small for a single grid cell, or not of the size that the
                backbone takes.
        """
        if self.frame_color_order == "bgr":
            frames = frames.flip(1)
        if self.gradient_checkpointing and self.training:  # transformers sets it, and the function
            grid = self._encode_checkpointed(frames, self._gradient_checkpointing_func)
        elif self.training and self.freeze_batch_norm and frames.device.type == "cpu":
            grid = self._encode_in_parts(frames, max(_PIXELS_AT_ONCE // frames[0, 0].numel(), 1))
        else:
            grid = self._encode(frames)
        return grid.permute(0, 2, 3, 1)  # (frames, rows, columns, hidden)

    def _encode_checkpointed(self, frames: torch.Tensor, function: CheckpointFunction) -> torch.Tensor:
        # Frames may be parted where no statistics are taken over them.
        if self.freeze_batch_norm and len(frames) > _FRAMES_CHECKPOINTED_BY_BLOCK:
            # All but the pixels is computed again, a frame at a time, frozen stages too: their output for all frames
            # is the largest that would be kept.
            encode = self._encode if frames.requires_grad else self._encode_fixed_pixels
            return self._encode_in_parts(frames, 1, checkpointing(self, encode, function))
        with checkpointed([*blocks_of(self.backbone), self.grid_encoder], function):
            return self._encode_in_parts(frames, len(frames))

    def _encode_fixed_pixels(self, frames: torch.Tensor) -> torch.Tensor:
        # A reentrant checkpoint asks for the gradient of the pixels, which would flow back through frozen stages.
        return self._encode(frames.detach())

    def _encode_in_parts(
        self, frames: torch.Tensor, at_once: int, encode: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> torch.Tensor:
        if self.freeze_batch_norm and frames.device.type == "cpu":
            frames = frames.contiguous(memory_format=torch.channels_last)
        parts = [(encode or self._encode)(some) for some in frames.split(at_once)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _encode(self, frames: torch.Tensor) -> torch.Tensor:
        self._check_frame_size(*frames.shape[-2:])
        try:
            feature_map = self.backbone(frames)[-1]
        except AssertionError as error:  # such as a size that windows or patches do not divide
            height, width = frames.shape[-2:]
            raise InvalidInputError(
                f"pixel_values_videos: backbone {self.name!r} cannot take frames of {height}x{width} px: "
                f"{str(error) or 'they do not fit its blocks'}"
            ) from error
        if self.feature_layout == "NHWC":
            feature_map = feature_map.permute(0, 3, 1, 2)
        self._check_gradient(feature_map)
        if min(feature_map.shape[-2:]) < 2:
            height, width = frames.shape[-2:]
            raise InvalidInputError(
                f"pixel_values_videos: a CNN of stride {self.stride} needs frames of at least {2 * self.stride} px "
                f"a side for one grid cell; got {height}x{width}"
            )
        return self.grid_encoder(feature_map)

    def _check_frame_size(self, height: int, width: int) -> None:
        if self.frame_size is not None and (height, width) != self.frame_size:
            rows, columns = self.frame_size
            raise InvalidInputError(
                f"pixel_values_videos: backbone {self.name!r} takes frames of {rows}x{columns} px; got "
                f"{height}x{width}: prepare them in that size, or build the model with "
                f'backbone_kwargs={{"img_size": {max(height, width)}}}'
            )

    def _check_gradient(self, feature_map: torch.Tensor) -> None:
        if not (self.gradient_checkpointing and self.training and torch.is_grad_enabled()):
            return
        if not feature_map.requires_grad and any(each.requires_grad for each in self.backbone.parameters()):
            raise InvalidInputError(
                "gradient checkpointing with use_reentrant=True would lose the gradients of this backbone, whose "
                "features are taken from inside of its blocks: use use_reentrant=False"
            )


def fixed_frame_size(backbone: nn.Module, backbone_kwargs: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """The one size of frames that a backbone takes, (height, width) in pixels; None if it takes others too.

    Args:
        backbone: As :func:`create_backbone` makes it.
        backbone_kwargs: Those that it was made with; ``img_size`` is that size.
    """
    pretrained_cfg: Any = getattr(backbone, "pretrained_cfg", None) or {}
    # Some ViTs adapt their positions to the frames, and say so only here.
    patches = getattr(getattr(backbone, "model", backbone), "patch_embed", None)
    if not pretrained_cfg.get("fixed_input_size", False) or not getattr(patches, "strict_img_size", True):
        return None
    size = (backbone_kwargs or {}).get("img_size") or pretrained_cfg["input_size"][1:]
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _modules_up_to_stage(backbone: nn.Module, stages: int) -> list[nn.Module]:
    """The modules, in order, up to the end of the given number of the feature maps that timm lists for a CNN."""
    if stages == 0:
        return []
    feature_info: Any = backbone.feature_info
    ends = [info["module"] for info in feature_info.info]
    if stages > len(ends):
        raise InvalidInputError(f"freeze_backbone_stages must be at most {len(ends)} for this CNN; got {stages}")
    # A list network of timm flattens "stages.0" to "stages_0"; that around a ViT holds "model.blocks.0".
    end = (ends[stages - 1], ends[stages - 1].replace(".", "_"), f"model.{ends[stages - 1]}")
    modules: list[nn.Module] = []
    reached: str | None = None
    for name, module in backbone.named_modules():
        if reached is not None and not name.startswith(f"{reached}."):
            break
        modules.append(module)
        if name in end:
            reached = name
    if not reached:
        raise InvalidInputError(f"freeze_backbone_stages must be 0: this CNN has no module {end[0]!r} to freeze up to")
    return modules


# --- Grids to visual tokens (paper, section 3.1) ---


class ClipBertTemporalFusion(nn.Module):
    """The grids of a clip's frames to one grid (paper, table 2).

    ``mean`` is the published model. The paper gives no sizes for its convolutions: here ``conv3d`` is one 3x3x3
    convolution, ``conv2plus1d`` a 1x3x3 and a 3x1x1, each followed by a ReLU and then by the mean over the frames.
    """

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        kernels = {
            "mean": [],
            "conv3d": [(3, 3, 3)],
            "conv2plus1d": [(1, 3, 3), (3, 1, 1)],
        }[config.temporal_fusion]
        self.convolutions = nn.Sequential()
        for kernel in kernels:
            padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
            self.convolutions.append(nn.Conv3d(size, size, kernel, padding=padding, bias=False))
            self.convolutions.append(nn.ReLU())

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Fuse (clips, frames, rows, columns, hidden) to (clips, rows, columns, hidden)."""
        if len(self.convolutions):
            grid = self.convolutions(grid.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
        return grid.mean(1)


class ClipBertVisualEmbeddings(nn.Module):
    """A grid to visual tokens: row and column positions, token type, LayerNorm.

    Dropout is applied by the caller, since a grid is embedded once and then repeated for the texts of its video.
    """

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.row_position_embeddings = nn.Embedding(config.max_grid_row_position_embeddings, size)
        self.col_position_embeddings = nn.Embedding(config.max_grid_col_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(1, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.pixel_random_sampling_size = config.pixel_random_sampling_size

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Embed a grid.

        Args:
            grid: (clips, rows, columns, hidden).

        Returns:
            (clips, tokens, hidden). While training, a random subset of ``pixel_random_sampling_size`` tokens, the
            same for the whole batch, in order; otherwise all.

        Raises:
            InvalidInputError: If the grid has more rows or columns than position embeddings, or another hidden size.
        """
        rows, columns, size = grid.shape[1:]
        most_rows, most_columns = (
            self.row_position_embeddings.num_embeddings,
            self.col_position_embeddings.num_embeddings,
        )
        is_larger = rows > most_rows or columns > most_columns
        if is_larger or size != self.LayerNorm.normalized_shape[0]:
            raise InvalidInputError(
                f"grid_features must have at most {most_rows} rows and {most_columns} columns and hidden size "
                f"{self.LayerNorm.normalized_shape[0]}; got {rows}x{columns} of size {size}"
                + "; smaller frames have fewer: the processor's size (longest_edge) is too large for this model"
                * is_larger
            )
        # The modules are called, since weights that wait elsewhere (device_map) are fetched by a call.
        grid = grid + self.row_position_embeddings(torch.arange(rows, device=grid.device))[:, None]
        grid = grid + self.col_position_embeddings(torch.arange(columns, device=grid.device))
        tokens = grid.flatten(1, 2)
        if self.training and 0 < self.pixel_random_sampling_size < tokens.shape[1]:
            kept = torch.randperm(tokens.shape[1], device=tokens.device)[: self.pixel_random_sampling_size]
            tokens = tokens[:, kept.sort().values]
        token_type = torch.zeros(1, dtype=torch.long, device=tokens.device)
        return self.LayerNorm(tokens + self.token_type_embeddings(token_type))


# --- Visual tokens and texts to joint hidden states ---


class ClipBertPreTrainedModel(PreTrainedModel):
    """What all ClipBERT models share: initialisation, loading from parts, what transformers may do with them."""

    config: ClipBertConfig
    config_class = ClipBertConfig
    base_model_prefix = "clipbert"
    main_input_name = "input_ids"
    input_modalities = ("video", "text")
    supports_gradient_checkpointing = True
    # forward takes **kwargs, but no num_items_in_batch: Trainer is to divide by the accumulation steps itself.
    accepts_loss_kwargs = False
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _no_split_modules: ClassVar[list[str]] = [
        "BertEmbeddings",
        "BertLayer",
        "ClipBertGridBackbone",
        "ClipBertTemporalFusion",
        "ClipBertVisualEmbeddings",
    ]
    _can_record_outputs: ClassVar[dict[str, type]] = {"hidden_states": BertLayer, "attentions": BertSelfAttention}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            # BERT's N(0, 0.02) would make a deep CNN's signal vanish.
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
            return
        super()._init_weights(module)
        if isinstance(module, BertLMPredictionHead):
            init.zeros_(module.bias)
        elif isinstance(module, BertEmbeddings):
            # Buffers that no checkpoint holds.
            init.copy_(module.position_ids, torch.arange(module.position_ids.shape[-1]).expand((1, -1)))
            init.zeros_(module.token_type_ids)
        elif isinstance(module, ClipBertContrastiveHead):
            init.constant_(module.logit_scale, math.log(1 / INITIAL_TEMPERATURE))

    @classmethod
    def from_pretrained_parts(
        cls,
        *,
        vision: str | os.PathLike | None = None,
        text: str | os.PathLike | None = None,
        local_files_only: bool = False,
        **config_overrides: Any,
    ) -> ClipBertPreTrainedModel:
        """Start from a CNN of timm and a BERT-family encoder; grid encoder, visual embeddings and head are new.

        Args:
            vision: A timm name (``"resnet50.a1_in1k"``), a Hub id (``"timm/resnet50.a1_in1k"``), a folder
                downloaded from there, or a file of weights, for which ``backbone`` names the CNN. None: random, and
                by default nothing of it is frozen.
            text: A Hub id (``"google-bert/bert-base-uncased"``) or a local folder. None: random.
            local_files_only: Look only on this machine.
            **config_overrides: Fields of the configuration, such as ``score_aggregation="lse"``.

        Returns:
            The model, in evaluation mode. ``ClipBertProcessor.from_pretrained_parts`` with the same ``vision``
            and ``text`` gives the processor with the CNN's pixel statistics.

        Raises:
            InvalidInputError: If neither part is named, a file or folder does not hold what its part needs, or the
                weights do not fit the CNN.
        """
        return load_pretrained_parts(
            cls,
            vision=vision,
            text=text,
            local_files_only=local_files_only,
            config_overrides=config_overrides,
        ).eval()


class ClipBertModel(ClipBertPreTrainedModel):
    """Videos and texts to joint hidden states, one forward pass of the encoder for all clips of all pairs."""

    def __init__(self, config: ClipBertConfig) -> None:
        config.check_sizes()  # fields can be assigned one by one
        super().__init__(config)
        self.grid_backbone = ClipBertGridBackbone(config)
        self.temporal_fusion = ClipBertTemporalFusion(config)
        self.embeddings = BertEmbeddings(config)
        self.visual_embeddings = ClipBertVisualEmbeddings(config)
        self.encoder = BertEncoder(config)
        use_training_products(self.encoder)
        self.pooler = BertPooler(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings."""
        self.embeddings.word_embeddings = value

    def get_grid_features(
        self,
        pixel_values_videos: torch.Tensor,
        frame_indices: torch.Tensor | None = None,
        pixel_mean: torch.Tensor | None = None,
        pixel_std: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run the CNN, once for however many texts are then scored against the videos.

        Args:
            pixel_values_videos: (B, K, T, 3, H, W).
            frame_indices: (B, K, T), which frame of its video each frame is, as the video processor tells with
                ``return_metadata=True``. Frames that several clips share, as all do in a video shorter than a
                clip, then pass the CNN once.
            pixel_mean: As in :meth:`forward`.
            pixel_std: As in :meth:`forward`.

        Returns:
            (B, K, T, R, C, D), for the argument ``grid_features`` of the models.
        """
        check_visual_inputs(pixel_values_videos, None, pixel_mean, pixel_std)
        if pixel_mean is not None and pixel_std is not None:
            pixel_values_videos = normalize_by_video(pixel_values_videos, pixel_mean, pixel_std)
        shape = pixel_values_videos.shape[:3]
        frames = pixel_values_videos.flatten(0, 2)  # (B * K * T, 3, H, W)
        if frame_indices is None:
            return self.grid_backbone(frames.to(self.dtype)).unflatten(0, shape)
        first, places = find_equal_frames(frame_indices, shape)
        if len(first) < len(frames):
            frames = frames[first.to(frames.device)]
        grid = self.grid_backbone(frames.to(self.dtype))
        return grid[places.to(grid.device)].unflatten(0, shape)

    def get_visual_tokens(self, grid_features: torch.Tensor) -> torch.Tensor:
        """Fuse the frames of each clip and embed its grid, without dropout.

        Args:
            grid_features: (B, K, T, R, C, D).

        Returns:
            (B, K, V, D).
        """
        fused = self.temporal_fusion(grid_features.flatten(0, 1))  # (B * K, R, C, D)
        return self.visual_embeddings(fused).unflatten(0, grid_features.shape[:2])

    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        token_type_ids: torch.LongTensor | None = None,
        pixel_mean: torch.Tensor | None = None,
        pixel_std: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ClipBertModelOutput:
        """Encode every clip of a video together with each of the video's texts.

        Args:
            input_ids: (N, M).
            attention_mask: (N, M), 0 at padding.
            pixel_values_videos: (B, K, T, 3, H, W), from the processor; uint8 with the two statistics.
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: (B,), how many of the texts belong to each video; may be left out where there is one
                text a video or only one video.
            token_type_ids: (N, M), by default 0.
            pixel_mean: What is taken off uint8 pixels, (B, 3), one row a video; :class:`ClipBertDataCollator` adds it.
            pixel_std: By what they are divided then, (B, 3).
            **kwargs: ``output_hidden_states``, ``output_attentions``, ``return_dict``.

        Raises:
            InvalidInputError: If a shape or an index is wrong.
        """
        check_text_inputs(input_ids, attention_mask, vocab_size=self.config.vocab_size)
        check_visual_inputs(pixel_values_videos, grid_features, pixel_mean, pixel_std)
        self._check_text_length(input_ids)
        if pixel_values_videos is not None:
            grid_features = self.get_grid_features(pixel_values_videos, pixel_mean=pixel_mean, pixel_std=pixel_std)
        assert grid_features is not None  # check_visual_inputs made sure of it
        videos, clips = grid_features.shape[:2]
        video_of_text = match_texts_to_videos(
            texts_per_video, texts=len(input_ids), videos=videos, device=grid_features.device
        )
        visual = self.get_visual_tokens(grid_features)[video_of_text].flatten(0, 1)  # (N * K, V, D)
        # Embedded once a clip, not once a text, since the published model draws dropout anew for each clip.
        text = self.embeddings(
            input_ids=input_ids.repeat_interleave(clips, dim=0),
            token_type_ids=None if token_type_ids is None else token_type_ids.repeat_interleave(clips, dim=0),
        )  # (N * K, M, D)
        embeddings = torch.cat([text, self.visual_embeddings.dropout(visual)], dim=1)  # (N * K, M + V, D)
        hidden = self.encoder(
            embeddings, attention_mask=self._joint_mask(attention_mask, embeddings, clips), **kwargs
        ).last_hidden_state
        return ClipBertModelOutput(
            last_hidden_state=hidden.unflatten(0, (-1, clips)),
            pooler_output=self.pooler(hidden).unflatten(0, (-1, clips)),
        )

    def encode_texts(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Encode texts alone, without a video, as a contrastive head does.

        Args:
            input_ids: (N, M).
            attention_mask: (N, M), 0 at padding.
            token_type_ids: (N, M), by default 0.

        Returns:
            Hidden states, (N, M, D).

        Raises:
            InvalidInputError: If a shape or an index is wrong.
        """
        check_text_inputs(input_ids, attention_mask, vocab_size=self.config.vocab_size)
        self._check_text_length(input_ids)
        states = self.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        return self.encoder(states, attention_mask=self._joint_mask(attention_mask, states, 1)).last_hidden_state

    def encode_clips(self, visual_tokens: torch.Tensor) -> torch.Tensor:
        """Encode clips alone: beside [CLS] and [SEP] instead of a text, as a contrastive head does.

        Args:
            visual_tokens: Fused and embedded, (clips, V, D).

        Returns:
            The states of [CLS], (clips, D).

        Raises:
            InvalidInputError: If the tokens have another rank.
        """
        check_rank(visual_tokens, "visual_tokens", "clips, visual tokens, hidden")
        ids = torch.tensor([[self.config.cls_token_id, self.config.sep_token_id]], device=visual_tokens.device)
        empty = self.embeddings(input_ids=ids.expand(len(visual_tokens), -1))
        states = torch.cat([empty, self.visual_embeddings.dropout(visual_tokens).to(empty.dtype)], dim=1)
        return self.encoder(states, attention_mask=self._joint_mask(None, states, 1)).last_hidden_state[:, 0]

    def _check_text_length(self, input_ids: torch.Tensor) -> None:
        if input_ids.shape[1] > self.config.max_position_embeddings:
            raise InvalidInputError(
                f"input_ids must have at most {self.config.max_position_embeddings} tokens "
                f"(max_position_embeddings); got {input_ids.shape[1]}"
            )

    def _joint_mask(
        self, attention_mask: torch.Tensor | None, embeddings: torch.Tensor, clips: int
    ) -> torch.Tensor | None:
        if attention_mask is not None:
            text_mask = attention_mask.repeat_interleave(clips, dim=0)  # (N * K, M)
            visual_tokens = embeddings.shape[1] - text_mask.shape[1]
            # Only text padding is masked; cells of padded pixels are not.
            attention_mask = nn.functional.pad(text_mask, (0, visual_tokens), value=1)
        return create_bidirectional_mask(config=self.config, inputs_embeds=embeddings, attention_mask=attention_mask)


# --- Clips to videos (paper, section 3 and table 3) ---


ScoreAggregation = Literal["mean", "max", "lse"]


def aggregate_clip_logits(
    clip_logits: torch.Tensor, score_aggregation: ScoreAggregation = "mean", *, dim: int = 1
) -> torch.Tensor:
    """Aggregate logits over clips.

    Args:
        clip_logits: Logits with the clips along ``dim``, by default (texts, clips, labels).
        score_aggregation: ``"mean"``, ``"max"``, or ``"lse"``: log of the sum of exponentials. A model is best
            aggregated at inference as it was trained; with one clip all three are the same.
        dim: The dimension of the clips.

    Returns:
        The logits without ``dim``, by default (texts, labels).

    Raises:
        InvalidInputError: If ``score_aggregation`` is none of the three, or there are no clips.

    Example:
        >>> aggregate_clip_logits(torch.tensor([[[1.0, 0.0], [3.0, 2.0]]]), "mean")
        tensor([[2., 1.]])
    """
    if clip_logits.shape[dim] == 0:
        raise InvalidInputError(f"clip_logits must hold at least one clip along dim {dim}; got {clip_logits.shape}")
    if score_aggregation == "mean":
        return clip_logits.mean(dim)
    if score_aggregation == "max":
        return clip_logits.amax(dim)
    if score_aggregation == "lse":
        return clip_logits.logsumexp(dim)
    raise InvalidInputError(f"score_aggregation must be one of mean, max, lse; got {score_aggregation!r}")


def calibrate_logits(logits: torch.Tensor, config: ClipBertConfig) -> torch.Tensor:
    """Divide logits by the temperature found on validation data; their softmax or sigmoid is a confidence then.

    Args:
        logits: Aggregated over clips, or of single clips, of any shape.
        config: Of the model; with ``calibration_temperature`` 1 the same bits come back.
    """
    return logits if config.calibration_temperature == 1 else logits / config.calibration_temperature


# --- Heads, one a task ---


class ClipBertClipScorer(ClipBertPreTrainedModel):
    """Base of the models that score each clip from the pooled [CLS] and then aggregate over clips."""

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        self.clipbert = ClipBertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def get_grid_features(
        self, pixel_values_videos: torch.Tensor, frame_indices: torch.Tensor | None = None, **kwargs: Any
    ) -> torch.Tensor:
        """See :meth:`ClipBertModel.get_grid_features`."""
        return self.clipbert.get_grid_features(pixel_values_videos, frame_indices, **kwargs)

    def _aggregate(self, clip_logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits of clips, (N, K, L), and of videos, (N, L), both in fp32 at least."""
        clip_logits = at_least_fp32(clip_logits)
        return clip_logits, aggregate_clip_logits(clip_logits, cast("ScoreAggregation", self.config.score_aggregation))


class ClipBertContrastiveScorer(ClipBertClipScorer):
    """Base of the models that can have a contrastive head beside their own, to search with (not in the paper).

    The encoder then also runs on a text alone and on each clip alone, and their vectors are compared: a video's need
    to be computed once for all texts. With ``config.contrastive_size`` 0 there is none.
    """

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        self.contrastive = ClipBertContrastiveHead(config) if config.contrastive_size else None

    def embed_texts(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of texts.

        Args:
            input_ids: (N, M).
            attention_mask: (N, M), 0 at padding.
            token_type_ids: (N, M), by default 0.

        Returns:
            Of length 1, (N, M, contrastive size); and which count, (N, M): with ``maxsim`` those of all tokens but
            padding, [CLS] and [SEP] too; else M is 1, the vector of [CLS].

        Raises:
            InvalidInputError: If the model has no contrastive head, or a shape or an index is wrong.
        """
        states = self.clipbert.encode_texts(input_ids, attention_mask, token_type_ids)
        kept = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if self.config.contrastive_pooling != "maxsim":
            states, kept = states[:, :1], torch.ones_like(kept[:, :1])
        return self._contrastive_head().embed_texts(states), kept.bool()

    def embed_clips(self, visual_tokens: torch.Tensor) -> torch.Tensor:
        """Vectors of clips from their fused and embedded visual tokens.

        Args:
            visual_tokens: (clips, V, D), such as ``ClipBertPairScorer.encode_videos(…).tokens``.

        Returns:
            Of length 1, (clips, contrastive size).

        Raises:
            InvalidInputError: If the model has no contrastive head, or the shape is wrong.
        """
        return self._contrastive_head().embed_clips(self.clipbert.encode_clips(visual_tokens))

    def embed_videos(self, grid_features: torch.Tensor) -> torch.Tensor:
        """Vectors of the clips of videos.

        Args:
            grid_features: (B, K, T, R, C, D).

        Returns:
            Of length 1, (B, K, contrastive size).

        Raises:
            InvalidInputError: If the model has no contrastive head, or the shape is wrong.
        """
        check_visual_inputs(None, grid_features)
        tokens = self.clipbert.get_visual_tokens(grid_features)
        return self.embed_clips(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])

    def _contrastive_head(self) -> ClipBertContrastiveHead:
        if self.contrastive is None:
            raise InvalidInputError("the model has no contrastive head: its config.contrastive_size is 0")
        return self.contrastive

    def _embed(
        self,
        texts: tuple[torch.Tensor | None, torch.Tensor | None],
        visual: dict[str, torch.Tensor | None],
        matching_clips: int | None,
        options: dict[str, Any],
    ) -> tuple[dict[str, Any], dict[str, torch.Tensor | None]]:
        """Vectors of texts, if there are any, and of clips; and the visual inputs that pairs are scored with."""
        input_ids, attention_mask = texts
        if input_ids is None:
            if matching_clips is not None:
                raise InvalidInputError("matching_clips goes with contrastive_input_ids, which are not given")
            return {}, visual
        statistics = {name: options.pop(name, None) for name in ("pixel_mean", "pixel_std")}
        pixels, grid = visual["pixel_values_videos"], visual["grid_features"]
        check_visual_inputs(pixels, grid, **statistics)
        if pixels is not None:
            grid = self.clipbert.get_grid_features(pixels, **statistics)
        assert grid is not None  # check_visual_inputs made sure of it
        vectors, kept = self.embed_texts(input_ids, attention_mask)
        embeds = {
            "text_embeds": vectors,
            "text_embeds_mask": kept,
            "clip_embeds": self.embed_videos(grid),
            "contrastive_scale": self._contrastive_head().scale,
        }
        return embeds, {"pixel_values_videos": None, "grid_features": grid[:, :matching_clips]}


def _needs_some(embeds: dict[str, Any]) -> dict[str, Any]:
    if not embeds:
        raise InvalidInputError("input_ids must be given, or contrastive_input_ids; got neither")
    return embeds


def _mlp(hidden_size: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden_size, hidden_size * 2), nn.ReLU(), nn.Linear(hidden_size * 2, num_outputs))


class ClipBertForVideoQuestionAnswering(ClipBertClipScorer):
    """Open-ended question answering as classification over an answer vocabulary (``config.id2label``)."""

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        self.classifier = _mlp(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ClipBertScoresOutput:
        """Score the answers to questions about videos.

        Args:
            input_ids: Questions, (N, M).
            attention_mask: (N, M).
            pixel_values_videos: (B, K, T, 3, H, W).
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: (B,).
            labels: Index of the answer, (N,), -100 to leave one out; or soft scores, (N, L), for image VQA. With
                ``config.problem_type="multi_label_classification"`` scores only, with
                ``"single_label_classification"`` indices only.
            **kwargs: As in :meth:`ClipBertModel.forward`.

        Raises:
            InvalidInputError: If a shape, an index or a label is wrong.
        """
        outputs = self.clipbert(
            input_ids, attention_mask, pixel_values_videos, grid_features, texts_per_video, return_dict=True, **kwargs
        )
        clip_logits, logits = self._aggregate(self.classifier(self.dropout(outputs.pooler_output)))
        return ClipBertScoresOutput(
            loss=None if labels is None else classification_loss(logits, labels, self.config.problem_type),
            logits=logits,
            clip_logits=clip_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class ClipBertForMultipleChoice(ClipBertClipScorer):
    """One score for each choice, which is encoded as question + " " + choice in one segment."""

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        self.classifier = _mlp(config.hidden_size, 1)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ClipBertScoresOutput:
        """Score the choices of questions about videos. Here N is the number of questions, L of choices.

        Args:
            input_ids: (N, L, M).
            attention_mask: (N, L, M).
            pixel_values_videos: (B, K, T, 3, H, W).
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: Questions of each video, (B,); by default one question a video.
            labels: Index of the right choice, (N,).
            **kwargs: As in :meth:`ClipBertModel.forward`.

        Raises:
            InvalidInputError: If a shape, an index or a label is wrong.
        """
        check_rank(input_ids, "input_ids", "questions, choices, tokens")
        check_rank(attention_mask, "attention_mask", "questions, choices, tokens")
        questions, choices, _ = input_ids.shape
        if texts_per_video is None:
            videos = number_of_videos(pixel_values_videos, grid_features)
            # One question a video, or all questions of the only video; anything else is an error further down.
            texts_per_video = [choices * (questions if videos == 1 else 1)] * videos
        else:
            texts_per_video = torch.as_tensor(texts_per_video, device=input_ids.device) * choices
        outputs = self.clipbert(
            input_ids.flatten(0, 1),
            None if attention_mask is None else attention_mask.flatten(0, 1),
            pixel_values_videos,
            grid_features,
            texts_per_video,
            return_dict=True,
            **kwargs,
        )
        scores = self.classifier(self.dropout(outputs.pooler_output))  # (N * L, K, 1)
        of_clips = scores.squeeze(-1).unflatten(0, (questions, choices)).transpose(1, 2)  # (N, K, L)
        clip_logits, logits = self._aggregate(of_clips)
        return ClipBertScoresOutput(
            loss=None if labels is None else classification_loss(logits, labels),
            logits=logits,
            clip_logits=clip_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class ClipBertForVideoTextRetrieval(ClipBertContrastiveScorer):
    """Does the text match the video? Two logits with cross-entropy, or one with the rank loss."""

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        self.classifier = _mlp(config.hidden_size, 1 if config.retrieval_loss == "rank" else 2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        labels: torch.Tensor | None = None,
        contrastive_input_ids: torch.LongTensor | None = None,
        contrastive_attention_mask: torch.Tensor | None = None,
        matching_clips: int | None = None,
        **kwargs: Any,
    ) -> ClipBertRetrievalOutput:
        """Score pairs of text and video.

        Args:
            input_ids: (N, M); None, with ``contrastive_input_ids``: no pairs are scored.
            attention_mask: (N, M).
            pixel_values_videos: (B, K, T, 3, H, W).
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: (B,), how many texts are scored against each video.
            labels: (N,), 1 where text and video match, else 0.
            contrastive_input_ids: Texts for the contrastive head, (P, M), whose vectors come beside those of the clips.
            contrastive_attention_mask: (P, M).
            matching_clips: How many of each video's clips, the first ones, pairs are scored with then; None: all.
            **kwargs: As in :meth:`ClipBertModel.forward`.

        Returns:
            Logits (N, 2) or (N, 1), and the scores: the softmax probability of a match, or the sigmoid.

        Raises:
            InvalidInputError: If a shape, an index or a label is wrong.
        """
        embeds, visual = self._embed(
            (contrastive_input_ids, contrastive_attention_mask),
            {"pixel_values_videos": pixel_values_videos, "grid_features": grid_features},
            matching_clips,
            kwargs,
        )
        if input_ids is None:
            return ClipBertRetrievalOutput(**_needs_some(embeds))
        outputs = self.clipbert(
            input_ids, attention_mask, **visual, texts_per_video=texts_per_video, return_dict=True, **kwargs
        )
        clip_logits, logits = self._aggregate(self.classifier(self.dropout(outputs.pooler_output)))
        loss = None
        if self.config.retrieval_loss == "rank":
            scores = calibrate_logits(logits, self.config).squeeze(-1).sigmoid()
            if labels is not None:
                video_of_text = match_texts_to_videos(
                    texts_per_video,
                    texts=len(input_ids),
                    videos=number_of_videos(**visual),
                    device=logits.device,
                )
                loss = rank_loss(logits, labels, video_of_text, self.config.rank_margin)
        else:
            scores = calibrate_logits(logits, self.config).softmax(-1)[:, 1]
            if labels is not None:
                loss = classification_loss(logits, labels)
        return ClipBertRetrievalOutput(
            loss=loss,
            logits=logits,
            clip_logits=clip_logits,
            scores=scores,
            **embeds,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class ClipBertBatchNorm(nn.BatchNorm1d):
    """Batch norm over clips; where there is a single one, which has no variance, with the running statistics."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Normalise (clips, hidden)."""
        if self.training and len(hidden) == 1:
            mean, variance = self.running_mean, self.running_var
            return nn.functional.batch_norm(hidden, mean, variance, self.weight, self.bias, eps=self.eps)
        return super().forward(hidden)


class ClipBertForVideoRegression(ClipBertClipScorer):
    """One number for a video and a question: repetition counting (TGIF-QA), mean squared error.

    Raises:
        InvalidInputError: If clips are aggregated by LogSumExp, whose result grows with the number of clips.
    """

    def __init__(self, config: ClipBertConfig) -> None:
        if config.score_aggregation == "lse":
            raise InvalidInputError(
                "score_aggregation must be mean or max for a number: with lse, clips that all say 3 give 3 + log(clips)"
            )
        super().__init__(config)
        size = config.hidden_size
        self.regressor = nn.Sequential(
            nn.Linear(size, size),
            nn.ELU(),
            ClipBertBatchNorm(size),
            nn.Dropout(config.hidden_dropout_prob),
            nn.Linear(size, 1),
        )
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ClipBertScoresOutput:
        """Predict a number.

        Args:
            input_ids: (N, M).
            attention_mask: (N, M).
            pixel_values_videos: (B, K, T, 3, H, W).
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: (B,).
            labels: The right numbers, (N,).
            **kwargs: As in :meth:`ClipBertModel.forward`.

        Returns:
            ``logits`` (N, 1) and ``clip_logits`` (N, K, 1) are the predicted numbers, not rounded.

        Raises:
            InvalidInputError: If a shape or an index is wrong, or ``config.problem_type`` is not that of a regression.
        """
        outputs = self.clipbert(
            input_ids, attention_mask, pixel_values_videos, grid_features, texts_per_video, return_dict=True, **kwargs
        )
        pooled = outputs.pooler_output  # (N, K, D)
        clip_logits, logits = self._aggregate(
            self.regressor(pooled.flatten(0, 1)).unflatten(0, pooled.shape[:2])  # (N, K, 1)
        )
        loss = None
        if labels is not None:
            if self.config.problem_type not in (None, "regression"):
                raise InvalidInputError(
                    f"problem_type of a regression must be None or regression; got {self.config.problem_type!r}"
                )
            if labels.shape != logits.shape[:1]:
                raise InvalidInputError(
                    f"labels must have shape {tuple(logits.shape[:1])} (texts); got {tuple(labels.shape)}"
                )
            loss = nn.functional.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
        return ClipBertScoresOutput(
            loss=loss,
            logits=logits,
            clip_logits=clip_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class ClipBertForPreTraining(ClipBertContrastiveScorer):
    """Masked language modelling and image-text matching (paper, section 3.2)."""

    # The published model has both tied, and a checkpoint that is not is saved untied (tie_word_embeddings).
    _tied_weights_keys: ClassVar[dict[str, str]] = {
        "cls.predictions.decoder.weight": "clipbert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__(config)
        self.cls = BertPreTrainingHeads(config)
        use_training_products(self.cls)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """The decoder of the masked language modelling head."""
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the decoder of the masked language modelling head."""
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        mlm_labels: torch.LongTensor | None = None,
        itm_labels: torch.LongTensor | None = None,
        contrastive_input_ids: torch.LongTensor | None = None,
        contrastive_attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ClipBertPreTrainingOutput:
        """Predict masked tokens, and whether text and video match.

        Args:
            input_ids: (N, M); None, with ``contrastive_input_ids``: nothing is predicted.
            attention_mask: (N, M).
            pixel_values_videos: (B, K, T, 3, H, W); an image is one clip of one frame.
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: (B,).
            mlm_labels: The token at each masked position, -100 elsewhere, (N, M).
            itm_labels: 1 where text and video match, else 0, (N,).
            contrastive_input_ids: Texts for the contrastive head, (P, M), whose vectors come beside those of the clips.
            contrastive_attention_mask: (P, M).
            **kwargs: As in :meth:`ClipBertModel.forward`.

        Returns:
            ``loss`` is the sum of the losses whose labels were given. The masked-language loss is the mean over
            masked tokens, as is usual; the published code divides by the number of all tokens instead.

        Raises:
            InvalidInputError: If a shape, an index or a label is wrong.
        """
        embeds, visual = self._embed(
            (contrastive_input_ids, contrastive_attention_mask),
            {"pixel_values_videos": pixel_values_videos, "grid_features": grid_features},
            None,
            kwargs,
        )
        if input_ids is None:
            return ClipBertPreTrainingOutput(**_needs_some(embeds))
        outputs = self.clipbert(
            input_ids, attention_mask, **visual, texts_per_video=texts_per_video, return_dict=True, **kwargs
        )
        text_states = outputs.last_hidden_state[:, :, : input_ids.shape[1]]  # (N, K, M, D)
        mlm_logits, match_logits = self.cls(text_states, outputs.pooler_output)
        clip_logits, logits = self._aggregate(match_logits)
        mlm_loss = itm_loss = None
        if mlm_labels is not None:
            if mlm_labels.shape != input_ids.shape:
                raise InvalidInputError(
                    f"mlm_labels must have the shape of input_ids, {tuple(input_ids.shape)}; "
                    f"got {tuple(mlm_labels.shape)}"
                )
            labels = mlm_labels[:, None].expand(mlm_logits.shape[:-1])
            mlm_loss = indexed_cross_entropy(mlm_logits, labels, name="mlm_labels")
        if itm_labels is not None:
            itm_loss = classification_loss(logits, itm_labels)
        losses = [loss for loss in (mlm_loss, itm_loss) if loss is not None]
        return ClipBertPreTrainingOutput(
            loss=torch.stack(losses).sum() if losses else None,
            mlm_loss=mlm_loss,
            itm_loss=itm_loss,
            mlm_logits=mlm_logits,
            **embeds,
            logits=logits,
            clip_logits=clip_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


__all__ = [
    "ClipBertForMultipleChoice",
    "ClipBertForPreTraining",
    "ClipBertForVideoQuestionAnswering",
    "ClipBertForVideoRegression",
    "ClipBertForVideoTextRetrieval",
    "ClipBertModel",
    "ClipBertPreTrainedModel",
]
