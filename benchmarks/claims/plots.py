"""A picture a point: figures with their intervals, and curves over the number of inference clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.claims.points import Point
from benchmarks.claims.results import Results


def plot(point: Point, results: Results, counts: Sequence[int], folder: Path) -> Path:
    """Draw a point.

    Args:
        point: Which one.
        results: With all that it needs.
        counts: Numbers of inference clips, for curves.
        folder: For ``claims_<number>.png``.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"claims_{point.number}.png"
    if point.curves:
        figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
        _curves(axes, point, results, counts)
    else:
        heights = [len(table.rows) for table in point.tables]
        figure, all_axes = plt.subplots(
            len(heights),
            figsize=(7, 0.9 * len(heights) + 0.32 * sum(heights)),
            height_ratios=[height + 1 for height in heights],
            layout="constrained",
            squeeze=False,
        )
        for axes, table in zip(all_axes[:, 0], point.tables, strict=True):
            _intervals(axes, table, results)
    figure.suptitle(point.title, fontsize=11)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def _intervals(axes: Any, table: Any, results: Results) -> None:
    found = [results.estimate(setting, metric) for _, setting, metric in table.rows]
    places = np.arange(len(found))
    means = np.array([each.mean for each in found])
    errors = np.array([[each.mean - each.low for each in found], [each.high - each.mean for each in found]])
    axes.errorbar(means, places, xerr=np.maximum(errors, 0), fmt="o", color="tab:blue", capsize=3)
    for place, (_, setting, metric) in enumerate(table.rows):
        of_seeds = [row["metrics"][metric] for row in results.of(setting)]
        axes.plot(of_seeds, [place] * len(of_seeds), "|", color="tab:orange", markersize=9)
    axes.set_yticks(places, [label for label, _, _ in table.rows])
    axes.invert_yaxis()
    axes.margins(y=0.12)
    measure = "R@1" if "r1" in table.rows[0][2] else "accuracy"
    axes.set_title(f"{table.title}: {measure} (bars: 95 %, ticks: seeds)", fontsize=9, loc="left")
    axes.grid(alpha=0.3, axis="x")


def _curves(axes: Any, point: Point, results: Results, counts: Sequence[int]) -> None:
    for label, setting, measure in point.curves:
        found = [results.estimate(setting, f"{measure}@{count}") for count in counts]
        line = axes.plot(counts, [each.mean for each in found], "o-", label=label)[0]
        axes.fill_between(
            counts, [each.low for each in found], [each.high for each in found], color=line.get_color(), alpha=0.15
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set(xlabel="inference clips", ylabel="accuracy or R@1, points of 100", ylim=(0, 102))
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.3)
