"""Charts of a report as inline SVG that follows the page: its ink is the text's colour, light or dark.

No text of users is drawn: runs are told by colours, which the page explains.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from .run_folder import RunFolder

# Legible on white and on dark grey.
COLORS = ("#3b7dd8", "#e0662f", "#2f9e6e", "#a45bc4", "#b98a00", "#d0457a")
_INK = "#010203"  # replaced by the colour of the text
_SALTS = itertools.count()
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "lines.markersize": 4,
    "legend.frameon": False,
}


def color_of(place: int) -> str:
    """The colour of a run."""
    return COLORS[place % len(COLORS)]


def curve_charts(runs: Sequence[RunFolder]) -> list[tuple[str, Markup]]:
    """The training loss, and each metric of the evaluations during training that some run has more than once.

    Returns:
        Titles and charts.
    """
    of_runs = [{name: (steps, values) for name, steps, values in run.curves()} for run in runs]
    names = dict.fromkeys(name for curves in of_runs for name in curves)
    charts = []
    for name in names:
        drawn = [(place, curves[name]) for place, curves in enumerate(of_runs) if name in curves]
        if not _is_curve(name) or max(len(steps) for _, (steps, _) in drawn) < 2:
            continue

        def draw(axes: Any, drawn: Any = drawn) -> None:
            for place, (steps, values) in drawn:
                axes.plot(steps, values, color=color_of(place), marker="o")
            axes.set_xlabel("step")

        title = "training loss" if name == "loss" else f"validation: {_words(name)}"
        charts.append((title, chart(draw)))
    return charts


def _is_curve(name: str) -> bool:
    """Whether it is one of a few curves that tell how training went."""
    of_the_loop = ("step", "epoch", "seconds", "samples_per_second", "upper_bound")
    return name not in of_the_loop and "/" not in name and "expected_calibration" not in name


def clips_chart(runs: Sequence[RunFolder], metric: str) -> Markup:
    """A metric with each number of inference clips."""

    def draw(axes: Any) -> None:
        counts: set[int] = set()
        for place, run in enumerate(runs):
            points = run.by_clips.get(metric, {})
            counts |= points.keys()
            axes.plot([*points], [*points.values()], color=color_of(place), marker="o")
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted(counts), [str(count) for count in sorted(counts)])
        axes.minorticks_off()
        axes.set_xlabel("inference clips")

    return chart(draw)


def reliability_chart(runs: Sequence[RunFolder]) -> Markup:
    """How often answers are right, by how sure the model was.

    Dots are as large as the part of the answers that they stand for; broken lines are without the temperature.
    """

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=_INK, alpha=0.35, linewidth=1)
        for place, run in enumerate(runs):
            if run.confidence is None:
                continue
            for name, table in run.confidence.tables.items():
                is_second = name == "uncalibrated" and len(run.confidence.tables) > 1
                style: dict[str, Any] = {"linestyle": "--", "alpha": 0.6} if is_second else {}
                filled = table["count"] > 0
                points = table["confidence"][filled], table["accuracy"][filled]
                axes.plot(*points, color=color_of(place), linewidth=1, **style)
                sizes = 4 + 90 * table["count"][filled] / table["count"].sum()
                axes.scatter(*points, sizes, color=color_of(place), alpha=style.get("alpha"), zorder=3)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")

    return chart(draw)


def coverage_chart(runs: Sequence[RunFolder]) -> Markup:
    """The accuracy of the surest answers, by the part of the questions that they are."""

    def draw(axes: Any) -> None:
        for place, run in enumerate(runs):
            if run.confidence is None:
                continue
            curve = run.confidence.coverage
            # A few hundred points look the same as many thousand.
            kept = np.unique(np.linspace(0, len(curve["coverage"]) - 1, 300).astype(int))
            axes.plot(curve["coverage"][kept], curve["accuracy"][kept], color=color_of(place))
        axes.set(xlim=(0, 1.02), xlabel="part of the questions answered", ylabel="accuracy")

    return chart(draw)


def chart(draw: Callable[[Any], None]) -> Markup:
    """Draw on axes; returns the SVG, as wide as a phone."""
    import matplotlib
    from matplotlib.figure import Figure

    # Equal within a file, ids of one chart would be taken for those of another.
    options: Any = {**_STYLE, "svg.hashsalt": f"chart{next(_SALTS)}"}
    with matplotlib.rc_context(options):
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    svg = text[text.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"font: [\d.]+px[^;\"]*", lambda match: match[0].split("'")[0].rstrip() + " sans-serif", svg)
    return Markup(svg)  # of numbers and our own labels


def _words(name: str) -> str:
    return name.replace("_", " ").replace("/", ", ")
