"""From the scores of one model to R@K, with intervals and costs, of every way to rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipbert_hf.metrics.retrieval import rank_metrics, text_to_video_ranks
from clipbert_hf.retrieval.fusion import ScoreFusion, choose_fusion, two_stage_scores
from clipbert_hf.retrieval.staged_clips import choose_shares, staged_scores

CANDIDATES = (5, 10, 25, 50, 100)
# Of the candidates, the one whose figures ``two_stage_r1`` and ``two_stage`` are.
STATED = 25


@dataclass(frozen=True)
class Scores:
    """Of a split with every pair scored.

    Args:
        first_stage: (N, V); None: the model has no contrastive head.
        clips: Logits of a match of every clip, (N, V, K).
        video_of_text: (N,).
        seconds: Of the first stage and of matching.
    """

    first_stage: np.ndarray | None
    clips: np.ndarray
    video_of_text: np.ndarray
    seconds: dict[str, float]

    @property
    def matching(self) -> np.ndarray:
        """With all clips, (N, V)."""
        return self.clips.mean(-1)


def compare(validation: Scores, test: Scores) -> dict[str, dict[str, Any]]:
    """Each way to rank: recalls in points of 100, pairs x clips that were matched, about how many seconds.

    Args:
        validation: Chooses the weight of the two scores and the shares of staged clips.
        test: Is ranked.
    """
    texts, videos, clips = test.clips.shape
    everything = texts * videos * clips
    matching = test.seconds["matching"]
    ways = {"matching": _described(test.matching, test, everything, matching)}
    shares = choose_shares(validation.clips, validation.video_of_text)
    staged = staged_scores(
        lambda pairs, added: test.clips[pairs[:, 0], pairs[:, 1]][:, added], texts, videos, clips=clips, shares=shares
    )
    ways["staged_clips"] = {
        **_described(staged.scores, test, staged.pairs, matching * staged.pairs / everything),
        "shares": list(shares),
    }
    if test.first_stage is None or validation.first_stage is None:
        return ways
    first = test.seconds["first_stage"]
    ways["first_stage"] = _described(test.first_stage, test, 0, first)
    for count in CANDIDATES:
        fusion = choose_fusion(validation.first_stage, validation.matching, validation.video_of_text, candidates=count)
        pairs = texts * count * clips
        # Without the first stage's scores matching alone orders its candidates.
        for name, chosen in (("two_stage", fusion), ("two_stage_matching_alone", ScoreFusion(math.inf))):
            scores = two_stage_scores(test.first_stage, test.matching, chosen, count)
            ways[f"{name}_{count}"] = _described(scores, test, pairs, first + matching * pairs / everything)
        ways[f"two_stage_{count}"] |= {"weight": fusion.weight, "fewer": everything / pairs}
    return ways


def _described(scores: np.ndarray, test: Scores, pairs: int, seconds: float) -> dict[str, Any]:
    ranks = text_to_video_ranks(scores, test.video_of_text)
    recalls = {name: round(100 * value, 2) for name, value in rank_metrics(ranks).items() if name[0] == "r"}
    return {**recalls, "r1_interval": interval(ranks <= 1), "pairs_x_clips": pairs, "seconds": round(seconds, 2)}


def interval(hits: np.ndarray, *, draws: int = 2000, seed: int = 0) -> list[float]:
    """95 % of the means of texts drawn again, in points of 100."""
    drawn = np.random.default_rng(seed).integers(len(hits), size=(draws, len(hits)))
    low, high = np.percentile(100 * hits[drawn].mean(1), [2.5, 97.5])
    return [round(float(low), 2), round(float(high), 2)]


def summary(seeds: Sequence[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """The stated figures: the mean of the seeds, whose own figures stand beside them."""
    of_seeds = [
        {
            "first_stage_r1": ways["first_stage"]["r1"],
            "matching_r1": ways["matching"]["r1"],
            "two_stage_r1": ways[f"two_stage_{STATED}"]["r1"],
            "two_stage": ways[f"two_stage_{STATED}"]["fewer"],
        }
        for ways in seeds
    ]
    means = {name: round(float(np.mean([each[name] for each in of_seeds])), 2) for name in of_seeds[0]}
    return {**means, "candidates": STATED, "seeds": of_seeds}
