"""The two parts of a model that are exported, with the names of their inputs, outputs and axes.

The vision part runs once a video, the pair scorer once for each text and video: what lies between them, the visual
tokens of clips, can be stored.

Shapes: N texts, M tokens a text, B videos, K clips a video, T frames a clip, V visual tokens a clip, D hidden size,
P pairs of a text and a video, L labels.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from ..model.configuration_clipbert import ClipBertConfig
from ..model.modeling_clipbert import ClipBertClipScorer
from ..model.pair_scoring_clipbert import head_of, scores_of

Tensors = dict[str, torch.Tensor]


class VisionGraph(nn.Module):
    """Pixels of clips to visual tokens, fused over frames and embedded: what ``encode_videos`` keeps.

    Args:
        model: Of a task, in evaluation mode.
    """

    def __init__(self, model: ClipBertClipScorer) -> None:
        super().__init__()
        base = model.clipbert
        self.grid_backbone = base.grid_backbone
        self.temporal_fusion = base.temporal_fusion
        self.visual_embeddings = base.visual_embeddings

    def forward(self, pixel_values: torch.Tensor) -> Tensors:
        """(clips, T, 3, H, W), normalised, to ``visual_tokens`` (clips, V, D)."""
        grids = self.grid_backbone(pixel_values.flatten(0, 1))
        fused = self.temporal_fusion(grids.unflatten(0, pixel_values.shape[:2]))
        return {"visual_tokens": self.visual_embeddings(fused)}


class PairGraph(nn.Module):
    """Texts and visual tokens to the logits and scores of named pairs.

    Args:
        model: Of a task, in evaluation mode.
    """

    def __init__(self, model: ClipBertClipScorer) -> None:
        super().__init__()
        base = model.clipbert
        # No module but what is called: all weights of those that are held go into the file.
        self.embeddings, self.encoder = base.embeddings, base.encoder
        self.pooler, self.head = base.pooler, head_of(model)
        self.joint_mask, self.aggregate = base._joint_mask, model._aggregate
        self.scores_of = functools.partial(scores_of, model)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        visual_tokens: torch.Tensor,
        pairs: torch.Tensor,
    ) -> Tensors:
        """Score pairs.

        Args:
            input_ids: (N, M).
            attention_mask: (N, M), 0 at padding.
            visual_tokens: (B, K, V, D).
            pairs: (P, 2), places of texts and of videos.

        Returns:
            ``clip_logits`` (P, K, L), ``logits`` (P, L), and ``scores`` (P,), or (P, L) for question answering.
        """
        of_text, of_video = pairs.unbind(1)
        visual = visual_tokens[of_video]  # (P, K, V, D)
        clips = visual.shape[1]
        text = self.embeddings(input_ids=input_ids)[of_text][:, None].expand(-1, clips, -1, -1)  # (P, K, M, D)
        joined = torch.cat([text, visual], dim=2).flatten(0, 1)  # (P * K, M + V, D)
        mask = attention_mask[of_text][:, None].expand(-1, clips, -1).flatten(0, 1)
        hidden = self.encoder(joined, attention_mask=self.joint_mask(mask, joined, clips=1)).last_hidden_state
        clip_logits, logits = self.aggregate(self.head(self.pooler(hidden)).unflatten(0, (-1, clips)))
        return {"clip_logits": clip_logits, "logits": logits, "scores": self.scores_of(logits)}


@dataclass(frozen=True)
class Part:
    """A part to export.

    Args:
        name: ``vision`` or ``pairs``.
        graph: Which computes it.
        inputs: For each input the names of its axes that may have any size, and the sizes of the others.
        outputs: The same of outputs.
        limits: The largest size of an axis, where there is one.
    """

    name: str
    graph: nn.Module
    inputs: Mapping[str, tuple[str | int, ...]]
    outputs: Mapping[str, tuple[str | int, ...]]
    limits: Mapping[str, int]


def vision_part(model: ClipBertClipScorer, *, frame_size: tuple[int, int]) -> Part:
    """The vision part, for frames of one size.

    Args:
        model: Of a task, in evaluation mode.
        frame_size: Height and width of frames in pixels.
    """
    return Part(
        "vision",
        VisionGraph(model).eval(),
        inputs={"pixel_values": ("clips", "frames", 3, *frame_size)},
        outputs={"visual_tokens": ("clips", "visual_tokens", model.config.hidden_size)},
        limits={},
    )


def pairs_part(model: ClipBertClipScorer) -> Part:
    """The pair scorer."""
    config: ClipBertConfig = model.config
    return Part(
        "pairs",
        PairGraph(model).eval(),
        inputs={
            "input_ids": ("texts", "tokens"),
            "attention_mask": ("texts", "tokens"),
            "visual_tokens": ("videos", "clips", "visual_tokens", config.hidden_size),
            "pairs": ("pairs", 2),
        },
        outputs={
            "clip_logits": ("pairs", "clips", "labels"),
            "logits": ("pairs", "labels"),
            "scores": ("pairs",) if not _scores_labels(model) else ("pairs", "labels"),
        },
        limits={"tokens": config.max_position_embeddings},
    )


def _scores_labels(model: ClipBertClipScorer) -> bool:
    return scores_of(model, torch.zeros(1, 2)).ndim == 2
