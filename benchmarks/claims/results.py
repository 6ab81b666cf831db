"""The raw results: a row a run, and beside it what became of each test video; the page follows from these alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.claims.bootstrap import Estimate, estimate
from benchmarks.claims.decisions import Comparison
from benchmarks.claims.points import Point
from benchmarks.claims.settings import ClaimsError

Row = dict[str, Any]
_BETWEEN = "/"


@dataclass
class Results:
    """Of runs.

    Args:
        rows: ``setting``, ``seed``, ``metrics`` in points of 100, and ``cost``: ``clips`` that passed the CNN in
            training, ``seconds`` of it, ``cpu_seconds`` of these in which a core worked for it, ``peak_mib`` of the
            process, ``test_seconds``.
        videos: Of each (setting, metric) that the page tells of, the share of right answers to each test video,
            (seeds, videos), in the order of the rows.
        draws: Of the bootstrap.
    """

    rows: list[Row]
    videos: dict[tuple[str, str], np.ndarray]
    draws: int

    def of(self, setting: str) -> list[Row]:
        """The rows of a setting, a seed each.

        Raises:
            ClaimsError: If there are none.
        """
        rows = [row for row in self.rows if row["setting"] == setting]
        if not rows:
            raise ClaimsError(f"there is no result of {setting}")
        return rows

    def estimate(self, setting: str, metric: str) -> Estimate:
        """A figure of a setting."""
        return estimate(self._values(setting, metric), draws=self.draws)

    def compare(self, comparison: Comparison) -> Estimate:
        """The sum that a comparison is about, its terms paired by video and by the seeds that all of them have."""
        all_seeds = [self.seeds(setting) for setting, _, _ in comparison.terms]
        common = [seed for seed in all_seeds[0] if all(seed in seeds for seeds in all_seeds)]
        parts = [
            weight * self._values(setting, metric)[[seeds.index(seed) for seed in common]]
            for (setting, metric, weight), seeds in zip(comparison.terms, all_seeds, strict=True)
        ]
        shapes = {part.shape for part in parts}
        if len(shapes) > 1 or not common:
            raise ClaimsError(f"{comparison.text}: settings have other seeds or videos, {sorted(shapes)}")
        return estimate(np.sum(parts, axis=0), draws=self.draws)

    def seeds(self, setting: str) -> list[int]:
        """Those that a setting was trained with, in the order of its rows."""
        return [row["seed"] for row in self.of(setting)]

    def cost(self, setting: str) -> dict[str, float]:
        """The mean over seeds."""
        costs = [row["cost"] for row in self.of(setting)]
        return {name: float(np.mean([cost[name] for cost in costs])) for name in ("clips", "cpu_seconds", "peak_mib")}

    def _values(self, setting: str, metric: str) -> np.ndarray:
        try:
            return self.videos[setting, metric]
        except KeyError as error:
            raise ClaimsError(f"there is no {metric} of {setting}") from error

    def save(self, json_file: Path) -> None:
        """Write the rows as JSON and the videos beside them, ``<name>_videos.npz``."""
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text("[\n" + ",\n".join(map(json.dumps, self.rows)) + "\n]\n", "utf-8")
        arrays = {_BETWEEN.join(key): values for key, values in self.videos.items()}
        np.savez_compressed(_beside(json_file), **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, json_file: Path, *, draws: int) -> Results:
        """What :meth:`save` wrote."""
        rows = json.loads(json_file.read_text("utf-8"))
        with np.load(_beside(json_file)) as arrays:
            videos = {(name.split(_BETWEEN)[0], name.split(_BETWEEN)[1]): arrays[name] for name in arrays.files}
        return cls(rows, videos, draws)


def _beside(json_file: Path) -> Path:
    return json_file.with_name(f"{json_file.stem}_videos.npz")


def told_of(points: Iterable[Point], counts: Sequence[int]) -> list[tuple[str, str]]:
    """Each (setting, metric) that tables, claims and curves need."""
    found: dict[tuple[str, str], None] = {}
    for point in points:
        found |= {(name, metric): None for table in point.tables for _, name, metric in table.rows}
        found |= {
            (name, metric): None
            for claim in point.claims
            for comparison in claim.comparisons
            for name, metric, _ in comparison.terms
        }
        found |= {(name, f"{measure}@{count}"): None for _, name, measure in point.curves for count in counts}
    return [*found]
