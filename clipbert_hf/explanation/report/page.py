"""The page of a report: tables and charts of runs, put into its template, which escapes every text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .charts import clips_chart, color_of, coverage_chart, curve_charts, reliability_chart
from .examples import Example
from .run_folder import RunFolder

_TEMPLATE = "page.html.jinja"
# Metrics that are parts of one, and shown as such.
_PARTS_OF_ONE = ("accuracy", "score", "r1", "r5", "r10", "calibration_error", "upper_bound")


@dataclass(frozen=True)
class Table:
    """Values of all runs.

    Args:
        title: What they are.
        rows: Names, with a value a run, "–" where it has none.
        differ: Which rows are not the same for all runs.
    """

    title: str
    rows: dict[str, list[str]]
    differ: frozenset[str] = frozenset()


def render(runs: Sequence[RunFolder], examples: Sequence[Sequence[Example]], title: str) -> str:
    """The HTML of a report.

    Args:
        runs: What is shown.
        examples: Of each run.
        title: Of the page.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    by_clips = dict.fromkeys(metric for run in runs for metric, points in run.by_clips.items() if len(points) > 1)
    has_confidence = any(run.confidence is not None for run in runs)
    return environment.get_template(_TEMPLATE).render(
        title=title,
        runs=[{"name": run.name, "color": color_of(place), "cards": _cards(run)} for place, run in enumerate(runs)],
        metrics=_metric_tables(runs),
        by_clips=[(f"{_words(metric)} by inference clips", clips_chart(runs, metric)) for metric in by_clips],
        curves=curve_charts(runs),
        confidence=[
            ("right by confidence; large dots: many answers; broken: without temperature", reliability_chart(runs)),
            ("accuracy of the surest answers", coverage_chart(runs)),
        ]
        if has_confidence
        else [],
        calibration=_calibration_table(runs) if has_confidence else None,
        examples=[(run.name, some) for run, some in zip(runs, examples, strict=True) if some],
        settings=_compared("settings", [run.settings for run in runs]),
        cost=_cost_table(runs),
        versions=_compared("versions", [_versions(run) for run in runs]),
    )


def _cards(run: RunFolder) -> list[tuple[str, str]]:
    """The few figures that matter most, each with what it is."""
    cards = []
    if run.main_metric is not None:
        of = "test" if run.results.get("test") else "validation"
        cards.append((_shown(run.main_metric, run.metrics[run.main_metric]), f"{of} {_words(run.main_metric)}"))
    if run.confidence is not None:
        cards.append((f"{next(iter(run.confidence.errors.values())):.3f}", "expected calibration error"))
    if "seconds" in run.results:
        cards.append((_duration(run.results["seconds"]), "of training"))
    return cards


def _metric_tables(runs: Sequence[RunFolder]) -> list[Table]:
    """A table for metrics of the whole, and one for each kind of parts."""
    groups: dict[str, dict[str, list[str]]] = {}
    for name in dict.fromkeys(name for run in runs for name in run.metrics):
        group, _, last = name.rpartition("/")
        title = _words(group) if "_by_" in group else "all"
        shown = last if "_by_" in group else _words(name)
        values = [_shown(name, run.metrics[name]) if name in run.metrics else "–" for run in runs]
        groups.setdefault(title, {})[shown] = values
    whole = {"all": groups.pop("all")} if "all" in groups else {}
    return [Table(title, rows) for title, rows in (whole | groups).items()]


def _calibration_table(runs: Sequence[RunFolder]) -> Table:
    rows = {}
    found = [run.results.get("calibration", {}) for run in runs]
    rows["temperature"] = [f"{one['temperature']:.3f}" if "temperature" in one else "–" for one in found]
    rows["validation questions"] = [f"{one['questions']:,.0f}" if "questions" in one else "–" for one in found]
    for name in ("uncalibrated", "calibrated"):
        errors = [None if run.confidence is None else run.confidence.errors.get(name) for run in runs]
        rows[f"test error, {name}"] = ["–" if error is None else f"{error:.4f}" for error in errors]
    return Table("calibration", rows)


def _cost_table(runs: Sequence[RunFolder]) -> Table:
    rows = {
        "training": [_duration(run.results["seconds"]) if "seconds" in run.results else "–" for run in runs],
        "steps": [f"{run.results['steps']:,}" if "steps" in run.results else "–" for run in runs],
        "samples a second": [
            f"{run.log[-1]['samples_per_second']:,}" if run.log and "samples_per_second" in run.log[-1] else "–"
            for run in runs
        ],
        "waiting for data": [_share(run.results.get("stall_share")) for run in runs],
    }
    environments = [run.results.get("environment", {}) for run in runs]
    for name in ("parameters", "device", "processes", "threads", "num_workers"):
        values = [one.get(name) for one in environments]
        rows[name] = [
            "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value) for value in values
        ]
    return Table("cost", rows)


def _versions(run: RunFolder) -> dict[str, str]:
    return {name: str(value) for name, value in run.results.get("environment", {}).get("versions", {}).items()}


def _compared(title: str, of_runs: Sequence[dict[str, str]]) -> Table:
    names = dict.fromkeys(name for one in of_runs for name in one)
    rows = {name: [one.get(name, "–") for one in of_runs] for name in names}
    return Table(title, rows, frozenset(name for name, values in rows.items() if len(set(values)) > 1))


def _shown(name: str, value: float) -> str:
    last = name.rpartition("/")[2]
    whole = name if last.isdigit() or "_by_" in name else last
    if "calibration_error" in whole:
        return f"{value:.4f}"
    if any(part in whole for part in _PARTS_OF_ONE) and 0 <= value <= 1:
        return f"{100 * value:.1f} %"
    return f"{value:.4g}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _duration(seconds: float) -> str:
    """Seconds for people.

    Example:
        >>> _duration(75), _duration(7261), _duration(8.25)
        ('1 min 15 s', '2 h 1 min', '8.2 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _words(name: str) -> str:
    return name.replace("_", " ").replace("/", ", ")
