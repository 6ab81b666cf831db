"""What a test of retrieval found for each text, for predictions.jsonl."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...metrics.retrieval import text_to_video_ranks

_KEPT = 5


def found_videos(
    scores: np.ndarray,
    video_of_text: np.ndarray,
    *,
    ids: Sequence[str | None],
    texts: Sequence[str],
    videos: Sequence[str],
) -> list[dict[str, Any]]:
    """The videos that fit each text best, and where its own is among all.

    Args:
        scores: As they are ranked, (texts, videos).
        video_of_text: Index of the right video of each text, (texts,).
        ids: Of the texts; None: it has none.
        texts: What was searched for.
        videos: Their names or paths.

    Returns:
        For each text ``id``, ``text``, ``video`` (the right one), ``rank`` (see
        :func:`~clipbert_hf.metrics.retrieval.text_to_video_ranks`), ``found`` (the best five, each with ``video`` and
        ``score``), ``predicted`` (the first of them) and ``correct``: 1 where the right one alone is first.
    """
    ranks = text_to_video_ranks(scores, video_of_text).tolist()
    entries = []
    for name, text, of_videos, right, rank in zip(ids, texts, scores, video_of_text.tolist(), ranks, strict=True):
        best = np.argsort(-of_videos, kind="stable")[:_KEPT].tolist()
        entries.append(
            {
                **({} if name is None else {"id": name}),
                "text": text,
                "video": videos[right],
                "rank": rank,
                "found": [{"video": videos[place], "score": float(of_videos[place])} for place in best],
                "predicted": videos[best[0]],
                "correct": float(rank == 1),
            }
        )
    return entries
