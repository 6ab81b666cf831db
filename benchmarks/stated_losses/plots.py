"""R@1 of each way to rank against what it costs, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_WAYS = {
    "matching": ("exhaustive matching", "s"),
    "staged_clips": ("staged clips", "^"),
    "first_stage": ("contrastive head alone", "*"),
}


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw the recipe's seeds, and those of the model without a contrastive head.

    Args:
        result: Of the benchmark.
        path: Of the PNG.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for seed in result["recipe"]:
        counts = sorted(int(name.removeprefix("two_stage_")) for name in seed if name[len("two_stage_") :].isdigit())
        some = [seed[f"two_stage_{count}"] for count in counts]
        cost = [each["pairs_x_clips"] for each in some]
        axes.plot(cost, [each["r1"] for each in some], "o-", color="tab:blue", alpha=0.6, label="two stages")
        _points(axes, seed, "tab:blue", "")
    for seed in result["without_contrastive"]:
        _points(axes, seed, "tab:orange", ", trained without the head")
    axes.set_xscale("symlog", linthresh=1e4)
    axes.set_xlim(left=-2e3)
    axes.set(xlabel="pairs x clips that the cross-encoder scores", ylabel="R@1, points of 100", ylim=(0, 102))
    axes.set_title(f"{result['test_videos']} test videos, 16 clips each")
    handles, labels = axes.get_legend_handles_labels()
    places = [labels.index(label) for label in dict.fromkeys(labels)]
    axes.legend([handles[place] for place in places], [labels[place] for place in places], fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _points(axes: Any, seed: dict[str, Any], colour: str, suffix: str) -> None:
    for name, (label, marker) in _WAYS.items():
        if name in seed:
            low, high = seed[name]["r1_interval"]
            value = seed[name]["r1"]
            errors = np.array([[value - low], [high - value]])
            axes.errorbar(
                seed[name]["pairs_x_clips"],
                value,
                yerr=errors,
                fmt=marker,
                color=colour,
                alpha=0.7,
                label=f"{label}{suffix}",
            )
