"""Evaluations score pairs of a text and a video by ``ClipBertPairScorer``, with the results of ``forward``.

Where FSDP2 or DeepSpeed's third stage keeps weights in pieces, whose whole appears in ``forward`` only, and where a
model is none of ours, its ``forward`` is called.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule

from ...model.inputs_clipbert import match_texts_to_videos
from ...model.modeling_clipbert import ClipBertClipScorer
from ...model.pair_scoring_clipbert import ClipBertPairScorer

PAIRS_AT_ONCE = 512


class EvaluationScorer:
    """The weights of a model, laid out for as long as an evaluation takes.

    Args:
        pairs_at_once: How many pairs of a text and a clip pass the encoder together. A fixed number, so that an
            evaluation gives the same bits again.
    """

    def __init__(self, pairs_at_once: int = PAIRS_AT_ONCE) -> None:
        self.pairs_at_once = pairs_at_once
        self._scorer: ClipBertPairScorer | None = None

    def of(self, model: nn.Module) -> ClipBertPairScorer | None:
        """A scorer with the weights that the model has now, or None where only its ``forward`` will do.

        Args:
            model: As accelerate has prepared it, in evaluation mode.
        """
        bare = getattr(model, "module", model)
        if not isinstance(bare, ClipBertClipScorer) or bare.training or _is_in_pieces(bare):
            return None
        if self._scorer is None or self._scorer.model is not bare:
            self._scorer = ClipBertPairScorer(bare, pairs_at_once=self.pairs_at_once)
        return self._scorer

    def release(self) -> None:
        """Give the memory back, at the end of an evaluation."""
        self._scorer = None

    def clip_logits(
        self, model: nn.Module, inputs: dict[str, Any], frame_indices: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What ``model(**inputs).clip_logits`` gives, for texts that each belong to one video.

        Args:
            model: As accelerate has prepared it, in evaluation mode.
            inputs: Pixels and texts; of multiple choice (questions, choices, tokens).
            frame_indices: (videos, clips, frames), by which equal clips are computed once; None: unknown.

        Returns:
            (texts, clips, labels), or of multiple choice (questions, clips, choices).
        """
        scorer = self.of(model)
        if scorer is None:
            return model(**inputs).clip_logits
        input_ids, mask = inputs["input_ids"], inputs["attention_mask"]
        videos = scorer.encode_videos(inputs["pixel_values_videos"], frame_indices)
        video_of_row = match_texts_to_videos(
            inputs.get("texts_per_video"), texts=len(input_ids), videos=len(videos), device=torch.device("cpu")
        )
        choices = input_ids.shape[1] if input_ids.ndim == 3 else 1
        if input_ids.ndim == 3:
            input_ids, mask = input_ids.flatten(0, 1), mask.flatten(0, 1)
        pairs = torch.stack([torch.arange(len(input_ids)), video_of_row.repeat_interleave(choices)], dim=1)
        clip_logits = cast("torch.Tensor", scorer.score_pairs(input_ids, mask, videos=videos, pairs=pairs).clip_logits)
        if inputs["input_ids"].ndim == 3:  # (questions * choices, clips, 1)
            return clip_logits.squeeze(-1).unflatten(0, (-1, choices)).transpose(1, 2)
        return clip_logits


def _is_in_pieces(model: nn.Module) -> bool:
    # DeepSpeed's third stage marks the parameters that it takes apart.
    return isinstance(model, FSDPModule) or any(hasattr(parameter, "ds_id") for parameter in model.parameters())
