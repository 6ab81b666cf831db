"""How the released code scores texts against videos and trains, written anew after its description, to measure against.

For every video and every block of texts it goes through the clips one after another: the CNN on the clip's frames
(again for each block), the mean over frames, the embedded grid repeated for each text of the block, and all layers of
the encoder on all tokens. Texts are padded to the longest text allowed, and a mask hides the padding. A training step
goes clip by clip through CNN and encoder too, each clip of all videos with all of their texts. Everything is in fp32.

The weights are those of a model of ours, so that scores can be compared. Parts that only have one way to be computed,
such as timm's CNN or a layer of embeddings, are the model's; the flow, the attention and the products are here.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.bert.modeling_bert import BertLayer

from clipbert_hf import ClipBertForVideoTextRetrieval, aggregate_clip_logits
from clipbert_hf.model.modeling_clipbert import ClipBertGridBackbone, ScoreAggregation

TEXTS_AT_ONCE = 64  # of the released recipes for retrieval
_HIDDEN_SCORE = -10000.0


def published_scores(
    model: ClipBertForVideoTextRetrieval,
    pixel_values_videos: torch.Tensor,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    texts_at_once: int = TEXTS_AT_ONCE,
) -> torch.Tensor:
    """Probabilities of a match, (texts, videos), unrounded; the arguments are those of :func:`published_logits`."""
    logits = published_logits(model, pixel_values_videos, input_ids, attention_mask, texts_at_once=texts_at_once)
    return logits.softmax(-1)[..., 1]


@torch.inference_mode()
def published_logits(
    model: ClipBertForVideoTextRetrieval,
    pixel_values_videos: torch.Tensor,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    texts_at_once: int = TEXTS_AT_ONCE,
) -> torch.Tensor:
    """Score every text against every video.

    Args:
        model: In evaluation mode and fp32.
        pixel_values_videos: (videos, clips, frames, 3, height, width).
        input_ids: Texts padded to one length, (texts, tokens).
        attention_mask: 0 at padding, (texts, tokens).
        texts_at_once: Texts of a block.

    Returns:
        Logits aggregated over clips, (texts, videos, 2).
    """
    aggregation = cast("ScoreAggregation", model.config.score_aggregation)
    columns = []
    for clips in pixel_values_videos:
        blocks = []
        for first in range(0, len(input_ids), texts_at_once):
            block = slice(first, first + texts_at_once)
            logits = [_score_clip(model, frames[None], input_ids[block], attention_mask[block]) for frames in clips]
            blocks.append(aggregate_clip_logits(torch.stack(logits, dim=1), aggregation))
        columns.append(torch.cat(blocks))
    return torch.stack(columns, dim=1)


def published_loss(
    model: ClipBertForVideoTextRetrieval,
    pixel_values_videos: torch.Tensor,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    labels: torch.Tensor,
) -> torch.Tensor:
    """The loss of a training step, without dropout, which is left out on both sides.

    Args:
        model: In fp32.
        pixel_values_videos: (videos, clips, frames, 3, height, width).
        input_ids: As many texts for each video, in order, padded to one length, (texts, tokens).
        attention_mask: 0 at padding, (texts, tokens).
        labels: 1 where text and video match, else 0, (texts,).
    """
    aggregation = cast("ScoreAggregation", model.config.score_aggregation)
    logits = [_score_clip(model, frames, input_ids, attention_mask) for frames in pixel_values_videos.unbind(1)]
    return F.cross_entropy(aggregate_clip_logits(torch.stack(logits, dim=1), aggregation), labels)


def _score_clip(
    model: ClipBertForVideoTextRetrieval, frames: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> torch.Tensor:
    """Logits (texts, 2) of texts, as many for each video, with a clip, (videos, frames, 3, height, width)."""
    base = model.clipbert
    grid = _encode_frames(base.grid_backbone, frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).mean(1)
    visual = base.visual_embeddings(grid)  # (videos, cells, hidden)
    visual = visual.repeat_interleave(len(input_ids) // len(frames), dim=0)  # (texts, cells, hidden)
    hidden = torch.cat([base.embeddings(input_ids=input_ids), visual], dim=1)
    mask = torch.cat([attention_mask, attention_mask.new_ones(visual.shape[:2])], dim=1)
    added_scores = (1.0 - mask[:, None, None].to(hidden.dtype)) * _HIDDEN_SCORE
    for layer in base.encoder.layer:
        hidden = _encode(layer, hidden, added_scores)
    pooled = torch.tanh(base.pooler.dense(hidden[:, 0]))
    return model.classifier(pooled)


def _encode_frames(grid_backbone: ClipBertGridBackbone, frames: torch.Tensor) -> torch.Tensor:
    """(frames, 3, height, width) to (frames, rows, columns, hidden)."""
    if grid_backbone.frame_color_order == "bgr":
        frames = frames.flip(1)
    return grid_backbone.grid_encoder(grid_backbone.backbone(frames)[-1]).permute(0, 2, 3, 1)


def _multiply(layer: nn.Linear, states: torch.Tensor) -> torch.Tensor:
    return F.linear(states, layer.weight, layer.bias)


def _encode(layer: BertLayer, hidden: torch.Tensor, added_scores: torch.Tensor) -> torch.Tensor:
    attention = layer.attention.self

    def heads(linear: nn.Linear) -> torch.Tensor:
        return _multiply(linear, hidden).unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)

    query, key, value = heads(attention.query), heads(attention.key), heads(attention.value)
    scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1]) + added_scores
    mixed = torch.matmul(scores.softmax(-1), value).transpose(1, 2).flatten(2)
    output = layer.attention.output
    hidden = output.LayerNorm(_multiply(output.dense, mixed) + hidden)
    widened = F.gelu(_multiply(layer.intermediate.dense, hidden))
    return layer.output.LayerNorm(_multiply(layer.output.dense, widened) + hidden)
