"""How the cost of scoring grows, and a projection of MSR-VTT's test to accelerators.

Run ``python -m benchmarks.cost_curves --output cost_curves.json --plots docs/figures``; with ``--quick`` it takes less
than a minute, and its figures mean little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from clipbert_hf import ClipBertConfig

from .curves import GRID, HIDDEN, LAYERS, Point, curves
from .plots import plot
from .projection import TEXTS, VIDEOS, measure_efficiency, project, test_set_operations

SIZES = {"clips": (1, 2, 4, 8, 16), "texts": (1, 10, 100, 1000), "videos": (1, 10, 100, 1000)}
QUICK = {"clips": (1, 4), "texts": (1, 10), "videos": (1, 10)}
PROCESSES = (1, 2)


def measured_curves(sizes: Mapping[str, Sequence[int]], repeats: int) -> dict[str, list[Point]]:
    """The curves, with processes of their own for each number of them."""
    with ExitStack() as stack:
        executors = {
            number: stack.enter_context(ProcessPoolExecutor(number, mp_context=get_context("spawn")))
            for number in PROCESSES
        }
        return curves(executors, sizes, repeats=repeats)


def print_results(found: Mapping[str, Sequence[Point]], projected: Mapping[str, Any]) -> None:
    """Print a line for each point, and what is projected."""
    for name, points in found.items():
        sys.stdout.write(f"{name:>7} processes   seconds  pairs x clips a second\n")
        for point in points:
            size = getattr(point.work, name)
            sys.stdout.write(f"{size:7} {point.processes:9} {point.seconds:9.3f} {point.rate:23,.0f}\n")
    operations = sum(projected["operations"].values())
    sys.stdout.write(
        f"projection, not measured: {TEXTS:,} texts x {VIDEOS:,} videos, base size, {operations:.2g} operations, peak "
        f"{projected['assumed_peak'] / 1e12:.0f} TFLOP/s\n"
    )
    for number, seconds in projected["seconds"].items():
        for name, share in projected["assumed_efficiency"].items():
            sys.stdout.write(f"{number}, efficiency {share:.2f} assumed: {seconds[name]:.0f} s\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--plots", type=Path, help="folder for PNGs")
    parser.add_argument("--repeats", type=int, default=3, help="of which the fastest counts")
    parser.add_argument("--quick", action="store_true", help="few and small points, to try it out")
    options = parser.parse_args()
    for folder in filter(None, (options.output and options.output.parent, options.plots)):  # before the work is done
        folder.mkdir(parents=True, exist_ok=True)
    begin = os.getloadavg()
    found = measured_curves(QUICK if options.quick else SIZES, 1 if options.quick else options.repeats)
    config = ClipBertConfig(score_aggregation="lse")
    size = {"texts": 8, "clips": 1, "repeats": 1} if options.quick else {"texts": 64, "clips": 4, "repeats": 3}
    projected = project(test_set_operations(config), measure_efficiency(config, side=448, **size))
    print_results(found, projected)
    if options.output:
        results = {
            "curves": {name: [point.as_row() for point in points] for name, points in found.items()},
            "model": {"hidden_size": HIDDEN, "layers": LAYERS, "grid": [GRID, GRID]},
            "projection": projected,
            "quick": options.quick,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread a process",
            "load_average": [begin, os.getloadavg()],
            "torch": torch.__version__,
        }
        options.output.write_text(json.dumps(results, indent=1) + "\n")
    if options.plots:
        note = (
            f"model of {LAYERS} layers of {HIDDEN}, {GRID * GRID} visual tokens, without its CNN; one thread a process"
        )
        for path in plot(found, options.plots, note):
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
