"""The model without a head: videos and texts to joint hidden states (paper, section 3.1).

Shapes: B videos, K clips a video, T frames a clip, N texts, M tokens a text, R x C cells of a frame's grid,
V = R * C visual tokens, D hidden size.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

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
    BertSelfAttention,
)
from transformers.utils.output_capturing import capture_outputs

from .configuration_clipbert import ClipBertConfig
from .embeddings_clipbert import ClipBertTemporalFusion, ClipBertVisualEmbeddings
from .errors_clipbert import InvalidInputError
from .grid_backbone_clipbert import ClipBertGridBackbone
from .inputs_clipbert import check_text_inputs, check_visual_inputs, find_equal_frames, match_texts_to_videos
from .outputs_clipbert import ClipBertModelOutput
from .pretrained_parts_clipbert import load_pretrained_parts


class ClipBertPreTrainedModel(PreTrainedModel):
    """What all ClipBERT models share: initialisation, loading from parts, what transformers may do with them."""

    config: ClipBertConfig
    config_class = ClipBertConfig
    base_model_prefix = "clipbert"
    main_input_name = "input_ids"
    input_modalities = ("video", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _no_split_modules: ClassVar[list[str]] = ["BertEmbeddings", "BertLayer", "ClipBertGridBackbone"]
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
                downloaded from there, or a file of weights, for which ``backbone`` names the CNN. None: random.
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
        super().__init__(config)
        self.grid_backbone = ClipBertGridBackbone(config)
        self.temporal_fusion = ClipBertTemporalFusion(config)
        self.embeddings = BertEmbeddings(config)
        self.visual_embeddings = ClipBertVisualEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings."""
        self.embeddings.word_embeddings = value

    def get_grid_features(
        self, pixel_values_videos: torch.Tensor, frame_indices: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Run the CNN, once for however many texts are then scored against the videos.

        Args:
            pixel_values_videos: (B, K, T, 3, H, W).
            frame_indices: (B, K, T), which frame of its video each frame is, as the video processor tells with
                ``return_metadata=True``. Frames that several clips share, as all do in a video shorter than a
                clip, then pass the CNN once.

        Returns:
            (B, K, T, R, C, D), for the argument ``grid_features`` of the models.
        """
        check_visual_inputs(pixel_values_videos, None)
        shape = pixel_values_videos.shape[:3]
        frames = pixel_values_videos.flatten(0, 2)  # (B * K * T, 3, H, W)
        if frame_indices is None:
            return self.grid_backbone(frames.to(self.dtype)).unflatten(0, shape)
        first, places = find_equal_frames(frame_indices, shape)
        if len(first) < len(frames):
            frames = frames[first.to(frames.device)]
        grid = self.grid_backbone(frames.to(self.dtype))
        return grid[places.to(grid.device)].unflatten(0, shape)

    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        grid_features: torch.Tensor | None = None,
        texts_per_video: torch.Tensor | Sequence[int] | None = None,
        token_type_ids: torch.LongTensor | None = None,
        **kwargs: Any,
    ) -> ClipBertModelOutput:
        """Encode every clip of a video together with each of the video's texts.

        Args:
            input_ids: (N, M).
            attention_mask: (N, M), 0 at padding.
            pixel_values_videos: (B, K, T, 3, H, W), from the processor.
            grid_features: (B, K, T, R, C, D), instead of pixels.
            texts_per_video: (B,), how many of the texts belong to each video; may be left out where there is one
                text a video or only one video.
            token_type_ids: (N, M), by default 0.
            **kwargs: ``output_hidden_states``, ``output_attentions``, ``return_dict``.

        Raises:
            InvalidInputError: If a shape or an index is wrong.
        """
        check_text_inputs(input_ids, attention_mask, vocab_size=self.config.vocab_size)
        check_visual_inputs(pixel_values_videos, grid_features)
        self._check_text_length(input_ids)
        if pixel_values_videos is not None:
            grid_features = self.get_grid_features(pixel_values_videos)
        assert grid_features is not None  # check_visual_inputs made sure of it
        videos, clips = grid_features.shape[:2]
        video_of_text = match_texts_to_videos(
            texts_per_video, texts=len(input_ids), videos=videos, device=grid_features.device
        )
        grid = self.temporal_fusion(grid_features.flatten(0, 1))  # (B * K, R, C, D)
        visual = self.visual_embeddings(grid).unflatten(0, (videos, clips))  # (B, K, V, D)
        visual = visual[video_of_text].flatten(0, 1)  # (N * K, V, D)
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
