"""What evaluations of retrieval add where the model has a contrastive head: ranks by it alone, and in two stages.

Shapes: B videos, K clips, N texts, V videos of the split, C numbers a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ...metrics import retrieval_metrics
from ...model.contrastive_clipbert import contrastive_similarity
from ...retrieval.fusion import ScoreFusion, choose_fusion, two_stage_scores
from ..sharding import forward_method

_TEXTS_AT_ONCE = 256


class FirstStage:
    """Similarities of all texts of a split with its videos.

    Args:
        candidates: Numbers of videos that a first stage leaves to be matched, of which metrics tell.
        chooses: Whether the split is validation data, which choose how both scores are added up.
        matches: Whether the head for matching is trained as well; otherwise the first stage is all there is.
    """

    def __init__(self, candidates: Sequence[int], *, chooses: bool, matches: bool) -> None:
        self.candidates, self.chooses, self.matches = list(candidates), chooses, matches
        self.fusion: ScoreFusion | None = None
        self._texts: tuple[torch.Tensor, torch.Tensor] | None = None

    def similarities(
        self, model: nn.Module, tokens: dict[str, torch.Tensor], clip_vectors: torch.Tensor
    ) -> torch.Tensor:
        """Of all texts with videos of these clips.

        Args:
            model: As accelerate has prepared it, in evaluation mode.
            tokens: Of all texts.
            clip_vectors: (B, K, C).

        Returns:
            (B, N).
        """
        bare: Any = getattr(model, "module", model)
        if self._texts is None:
            self._texts = self._embed_texts(model, tokens, clip_vectors.device)
        return contrastive_similarity(*self._texts, clip_vectors, pooling=bare.config.contrastive_pooling).T

    def _embed_texts(
        self, model: nn.Module, tokens: dict[str, torch.Tensor], device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        embed = forward_method(model, "embed_texts")
        parts = []
        for first in range(0, len(tokens["input_ids"]), _TEXTS_AT_ONCE):
            some = slice(first, first + _TEXTS_AT_ONCE)
            parts.append(embed(tokens["input_ids"][some].to(device), tokens["attention_mask"][some].to(device)))
        vectors, kept = zip(*parts, strict=True)
        return torch.cat(vectors), torch.cat(kept)

    def release(self) -> None:
        """Forget the texts' vectors, at the end of an evaluation: the weights change."""
        self._texts = None

    def metrics(self, first_stage: np.ndarray, matching: np.ndarray, video_of_text: np.ndarray) -> dict[str, float]:
        """Of the first stage alone, and of two stages with each number of candidates.

        Args:
            first_stage: (N, V).
            matching: Logits of a match, (N, V).
            video_of_text: (N,).
        """
        metrics = dict(_named("first_stage", first_stage, video_of_text))
        if not self.matches:
            return metrics
        chosen = choose_fusion(first_stage, matching, video_of_text) if self.chooses else self.fusion
        fusion = chosen or ScoreFusion()
        metrics |= {f"score_fusion/{name}": value for name, value in fusion.to_dict().items()}
        for count in self.candidates:
            scores = two_stage_scores(first_stage, matching, fusion, count)
            # From video to text the first stage leaves texts.
            back = two_stage_scores(first_stage.T, matching.T, fusion, count).T
            metrics |= {
                f"two_stage/{count}/{name}": value
                for way, some in (("text_to_video", scores), ("video_to_text", back))
                for name, value in _of_way(way, some, video_of_text)
            }
        return metrics

    @property
    def metric_names(self) -> list[str]:
        """See :class:`clipbert_hf.training.evaluation.Task`."""
        one = np.zeros((1, 1))
        return [*self.metrics(one, one, np.zeros(1, dtype=np.int64))]

    def adopt(self, config: Any, metrics: dict[str, float]) -> None:
        """Take what validation chose, from the metrics of the weights that are kept, and note it with the model.

        Args:
            config: Of the model.
            metrics: Of the validation split; without one, what the model came with stays.
        """
        if not self.matches:
            # So that no search asks the head that did not train.
            config.score_fusion = ScoreFusion(weight=0.0).to_dict()
            return
        values = {name.removeprefix("score_fusion/"): metrics[name] for name in metrics if "score_fusion/" in name}
        if values:
            config.score_fusion = values
        self.fusion = ScoreFusion.from_config(config)


def _named(name: str, scores: np.ndarray, video_of_text: np.ndarray) -> Iterator[tuple[str, float]]:
    for way, values in retrieval_metrics(scores, video_of_text).items():
        yield from ((f"{name}/{way}/{metric}", value) for metric, value in values.items())


def _of_way(way: str, scores: np.ndarray, video_of_text: np.ndarray) -> Iterator[tuple[str, float]]:
    yield from ((f"{way}/{name}", value) for name, value in retrieval_metrics(scores, video_of_text)[way].items())
