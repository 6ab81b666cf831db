"""The curves as pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, ScalarFormatter

from .curves import Point, Work

_STYLES = {1: ("tab:blue", "o"), 2: ("tab:orange", "s")}


def plot(found: Mapping[str, Sequence[Point]], folder: Path, note: str) -> list[Path]:
    """Write ``cost_seconds.png`` and ``cost_rate.png``, a panel for what grows in each.

    Args:
        found: Of :func:`benchmarks.cost_curves.curves.curves`.
        folder: Where to.
        note: Stands below.

    Returns:
        The files.
    """
    seconds, rate = folder / "cost_seconds.png", folder / "cost_rate.png"
    _plot(found, seconds, "seconds", lambda point: point.seconds, note, logarithmic=True)
    _plot(found, rate, "pairs of text and clip a second", lambda point: point.rate, note, logarithmic=False)
    return [seconds, rate]


def _plot(
    found: Mapping[str, Sequence[Point]],
    path: Path,
    label: str,
    value: Callable[[Point], float],
    note: str,
    *,
    logarithmic: bool,
) -> None:
    figure, panels = plt.subplots(1, len(found), figsize=(4 * len(found), 3.8), sharey=True, squeeze=False)
    for panel, (name, points) in zip(panels[0], found.items(), strict=True):
        for processes in sorted({point.processes for point in points}):
            some = [point for point in points if point.processes == processes]
            colour, marker = _STYLES.get(processes, ("tab:gray", "^"))
            sizes = [getattr(point.work, name) for point in some]
            text = f"{processes} process{'es' if processes > 1 else ''}"
            panel.plot(sizes, [value(point) for point in some], color=colour, marker=marker, label=text)
        panel.set(xscale="log", xlabel=f"number of {name}", title=_fixed(name, points[0].work))
        panel.set_xticks(sorted({getattr(point.work, name) for point in points}))
        panel.xaxis.set_major_formatter(ScalarFormatter())
        if logarithmic:
            panel.set_yscale("log")
        else:
            panel.set_ylim(bottom=0)
        panel.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.10g}"))
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel(label)
    panels[0][0].legend(frameon=False)
    figure.text(0.5, 0.01, note, ha="center", fontsize=8, color="dimgray")
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _fixed(name: str, work: Work) -> str:
    return " × ".join(f"{getattr(work, other)} {other}" for other in ("clips", "texts", "videos") if other != name)
