"""Measure the paper's claims on two cores: ``make claims`` (points 1 to 4) and ``make claims-more`` (5 to 7).

``python -m benchmarks.claims --points 1,2,3,4 --plan`` says what would be run and for about how long. Every setting is
data (``points.py``, ``more_points.py``), and is trained with each seed by what ``clipbert train`` runs and its recipes;
runs that several points need are done once, and each seed has one pre-training. A run is a folder with the script's
``results.json``; what is done is not done again, and a run that was killed goes on from its last checkpoint.

Three seeds leave comparisons of retrieval undecided by more than three points; ``--further-seeds`` (``make
claims-seeds``) trains their settings with more of them.

No setting is tuned: the search space is one point, that of the recipes. Each test split is used once for each trained
model. ``--quick`` does all of it on few videos and steps, into another folder, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.claims import more_points, points
from benchmarks.claims.one_run import OUTCOMES, Run
from benchmarks.claims.outcomes import Outcomes
from benchmarks.claims.page import page
from benchmarks.claims.plan import plan_text
from benchmarks.claims.plots import plot
from benchmarks.claims.points import Point
from benchmarks.claims.results import Results, told_of
from benchmarks.claims.runner import read_row, run_all, runs_of
from benchmarks.claims.settings import FULL, QUICK, ClaimsError, Scale, Setting, by_name
from clipbert_command_line.numbers import whole


def all_points() -> list[Point]:
    """In order."""
    return [make() for make in (*points.POINTS, *more_points.POINTS)]


def collect(chosen: Sequence[Point], scale: Scale, root: Path) -> Results:
    """The raw results of points whose runs are all done."""
    rows = []
    outcomes: dict[str, list[Outcomes]] = {}
    settings = by_name(setting for point in chosen for setting in point.settings)
    further = [run for run in further_done(scale, root) if run.setting.name in settings]
    for run in [*runs_of(settings, scale, root), *further]:
        rows.append(read_row(run))
        if rows[-1]["metrics"]:
            outcomes.setdefault(run.setting.name, []).append(Outcomes.load(run.folder / OUTCOMES))
    videos = {
        (name, metric): np.stack([seed.of_videos(metric) for seed in outcomes[name]])
        for name, metric in told_of(chosen, scale.inference_clips)
    }
    return Results(rows, videos, scale.draws)


def further_runs(scale: Scale, root: Path) -> list[Run]:
    """Those of further seeds, each once."""
    return _each_once(run for runs in _further_by_point(scale, root) for run in runs)


def further_done(scale: Scale, root: Path) -> list[Run]:
    """Those of a point's further seeds with which all its settings are done: a comparison has all its terms or none."""
    done: list[Run] = []
    for runs in _further_by_point(scale, root):
        absent = {run.seed for run in runs if not run.is_done}
        done += [run for run in runs if run.seed not in absent]
    return _each_once(done)


def _further_by_point(scale: Scale, root: Path) -> list[list[Run]]:
    return [
        runs_of(by_name(settings), replace(scale, seeds=scale.further_seeds[point]), root)
        for point, settings in points.with_further_seeds().items()
    ]


def _each_once(runs: Iterable[Run]) -> list[Run]:
    return [*{run.folder: run for run in runs}.values()]


def write(scale: Scale, root: Path, docs: Path, *, quick: bool) -> None:
    """Write raw results, page and pictures of all points whose runs are done, those of earlier commands too."""
    done: list[Point] = []
    absent: list[Point] = []
    for point in all_points():
        runs = runs_of(by_name(point.settings), scale, root)
        (done if all(run.is_done for run in runs) else absent).append(point)
    collect(done, scale, root).save(docs / "claims.json")
    results = Results.load(docs / "claims.json", draws=scale.draws)
    (docs / "claims.md").write_text(page(done, absent, results, scale, quick=quick), "utf-8")
    for point in done:
        plot(point, results, scale.inference_clips, docs / "figures")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--points", default="1,2,3,4", help="numbers of points, from 1 to 7")
    what.add_argument("--further-seeds", action="store_true", help="more seeds where three decide little, of retrieval")
    parser.add_argument("--work", type=Path, help="folder of data and runs to go on from (runs/claims)")
    parser.add_argument("--docs", type=Path, help="folder for claims.md, claims.json and figures (docs)")
    parser.add_argument(
        "--processes", type=whole(least=1), default=os.cpu_count() or 1, help="runs at a time, a thread each"
    )
    parser.add_argument("--plan", action="store_true", help="say what would be run, and for how long; run nothing")
    parser.add_argument("--quick", action="store_true", help="few videos and steps, in runs/claims_quick")
    options = parser.parse_args(arguments)
    scale = QUICK if options.quick else FULL
    root = options.work or Path("runs/claims_quick" if options.quick else "runs/claims")
    docs = options.docs or (root / "docs" if options.quick else Path("docs"))
    try:
        runs = further_runs(scale, root) if options.further_seeds else runs_of(_chosen(options.points), scale, root)
        if options.plan:
            sys.stdout.write(plan_text(runs, scale, processes=options.processes))
            return 0
        run_all(runs, scale, processes=options.processes)
        write(scale, root, docs, quick=options.quick)
    except ClaimsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"written: {docs / 'claims.md'}\n")
    return 0


def _chosen(numbers: str) -> dict[str, Setting]:
    named = {str(point.number): point for point in all_points()}
    unknown = [number for number in numbers.split(",") if number not in named]
    if unknown:
        raise ClaimsError(f"--points must be numbers of {', '.join(named)}, with commas between; got {numbers!r}")
    return by_name(setting for number in numbers.split(",") for setting in named[number].settings)


if __name__ == "__main__":
    sys.exit(main())
