"""What each clip of a video says about an answer, and which of them decided.

Shapes: K clips, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InvalidInputError
from .geometry import FrameGeometry


@dataclass(frozen=True)
class ClipAnswer:
    """A clip alone.

    Args:
        start: In seconds.
        end: In seconds.
        answer: What the clip alone would answer.
        score: The probability that it gives to this.
        score_of_chosen: The probability that it gives to the answer of the whole video.
        share: Its part in that answer; see :func:`clip_shares`.
        frame: The number of the frame in its middle.
    """

    start: float
    end: float
    answer: str
    score: float
    score_of_chosen: float
    share: float
    frame: int


@dataclass(frozen=True)
class Explanation:
    """An answer, and what each clip says.

    Args:
        video: As it was given.
        text: The question, or the text that is matched.
        answer: Of the whole video, or the one that was asked about.
        score: Its probability, calibrated where the model is.
        aggregation: How the model aggregates clips.
        clips: In order of time.
        geometry: From what the model takes to the frame.
        ranked: All answers with their probabilities, best first; of a match both.
        state: What :class:`~clipbert_hf.explanation.explainer.Explainer` needs to go on.
    """

    video: Any
    text: str
    answer: str
    score: float
    aggregation: str
    clips: tuple[ClipAnswer, ...]
    geometry: FrameGeometry
    ranked: tuple[tuple[str, float], ...]
    state: Any = field(repr=False, default=None)

    @property
    def deciding(self) -> tuple[int, ...]:
        """The clips that decided: the fewest that together have half of all shares, greatest first."""
        return deciding_clips([clip.share for clip in self.clips])

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the answer, and the clips with their seconds."""
        names = ("start", "end", "answer", "score", "score_of_chosen", "share")
        return {
            "text": self.text,
            "answer": self.answer,
            "score": self.score,
            "aggregation": self.aggregation,
            "deciding_clips": list(self.deciding),
            "clips": [{name: getattr(clip, name) for name in names} for clip in self.clips],
        }


def clip_shares(clip_logits: np.ndarray, answer: int, aggregation: str) -> np.ndarray:
    """The part that each clip has in an answer, under the model's aggregation.

    ``lse``: the softmax over clips of the answer's logits, which is how far the aggregated logit follows each. ``max``:
    the clip with the largest logit has all. ``mean``: all clips count alike, so that what decides is by how much each
    puts the answer before the next best of the whole video; clips against the answer have no part. Where none is for
    it, as may be with an answer that was not chosen, all have the same.

    Args:
        clip_logits: (K, L); of a single label, a match or none, (K, 1).
        answer: Its index.
        aggregation: ``"mean"``, ``"max"`` or ``"lse"``.

    Returns:
        (K,), adding up to 1.

    Raises:
        InvalidInputError: If there is no such aggregation.

    Example:
        >>> clip_shares(np.array([[0.0, 1.0], [3.0, 1.0], [2.0, 1.0]]), 0, "mean").round(3)
        array([0.   , 0.667, 0.333])
    """
    of_answer = clip_logits[:, answer]
    if aggregation == "max":
        return (np.arange(len(of_answer)) == of_answer.argmax()).astype(np.float64)
    if aggregation == "lse":
        powers = np.exp(of_answer - of_answer.max())
        return powers / powers.sum()
    if aggregation != "mean":
        raise InvalidInputError(f"aggregation must be one of mean, max, lse; got {aggregation!r}")
    others = clip_logits.mean(0)
    others[answer] = -np.inf
    before = of_answer if clip_logits.shape[1] == 1 else of_answer - clip_logits[:, others.argmax()]
    for_it = np.maximum(before, 0)
    return for_it / for_it.sum() if for_it.sum() > 0 else np.full(len(for_it), 1 / len(for_it))


def deciding_clips(shares: Sequence[float]) -> tuple[int, ...]:
    """The fewest clips that together have half of all shares, greatest first; of equal ones the earlier.

    Example:
        >>> deciding_clips([0.1, 0.4, 0.3, 0.2])
        (1, 2)
    """
    order = np.argsort(-np.asarray(shares), kind="stable")
    reached = np.cumsum(np.asarray(shares)[order])
    return tuple(order[: int((reached < 0.5 - 1e-9).sum()) + 1].tolist())
