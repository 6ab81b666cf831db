"""What a run answered, question by question: all figures and intervals follow from these."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

# Between a measure and the number of inference clips in the name of a metric: accuracy@16.
AT = "@"


@dataclass
class Outcomes:
    """Hits of a model on a test split.

    Args:
        ids: Of the questions or texts, (Q,).
        videos: Which video each is about, from 0, (Q,).
        hits: Of each metric, such as ``accuracy@16``: whether the question was answered right, (Q,), float32; not a
            number where the metric is not about this question.
    """

    ids: np.ndarray
    videos: np.ndarray
    hits: dict[str, np.ndarray] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """In points of 100."""
        return {name: round(float(100 * self.of_videos(name).mean()), 3) for name in self.hits}

    def of_videos(self, metric: str) -> np.ndarray:
        """The mean of each video that has such questions, (V,).

        Videos have equally many, so the mean of these is that of the questions.
        """
        counts = ~np.isnan(self.hits[metric])
        asked = np.bincount(self.videos[counts])
        right = np.bincount(self.videos[counts], weights=self.hits[metric][counts])
        return right[asked > 0] / asked[asked > 0]

    def save(self, path: Path) -> None:
        """Write all of it, whole or not at all."""
        # Three values are enough for a hit: 0, 1 and not asked.
        packed = {f"hit {name}": np.where(np.isnan(hits), -1, hits).astype(np.int8) for name, hits in self.hits.items()}
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, ids=self.ids, videos=self.videos, **packed)  # type: ignore[arg-type]
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Outcomes:
        """What :meth:`save` wrote."""
        with np.load(path) as arrays:
            hits = {
                name.removeprefix("hit "): np.where(arrays[name] < 0, np.nan, arrays[name]).astype(np.float32)
                for name in arrays.files
                if name.startswith("hit ")
            }
            return cls(arrays["ids"], arrays["videos"], hits)
