"""What a run has left in its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...errors import InvalidInputError
from ...metrics import accuracy_by_coverage, expected_calibration_error, reliability


@dataclass(frozen=True)
class RunFolder:
    """A finished run.

    Args:
        path: The folder.
        name: Under which it is shown.
        recipe: All settings.
        results: The content of results.json.
        log: The lines of log.jsonl.
        predictions: Those of predictions.jsonl; none where the task writes none.
    """

    path: Path
    name: str
    recipe: dict[str, Any]
    results: dict[str, Any]
    log: list[dict[str, Any]] = field(repr=False)
    predictions: list[dict[str, Any]] = field(repr=False)

    @property
    def settings(self) -> dict[str, str]:
        """The recipe, a line a setting: names with dots, values as JSON."""
        return {name: json.dumps(value, default=str) for name, value in flatten(self.recipe).items()}

    @property
    def metrics(self) -> dict[str, float]:
        """Of the test, or where there is none of the validation; names with slashes."""
        chosen = self.results.get("test") or self.results.get("validation") or {}
        return {
            name: float(value)
            for name, value in flatten(chosen, separator="/").items()
            if isinstance(value, int | float)
        }

    @property
    def main_metric(self) -> str | None:
        """The metric that chose the checkpoint, if the test has it; else the first that is of no number of clips."""
        if self.recipe.get("best_metric") in self.metrics:
            return self.recipe["best_metric"]
        return next((name for name in self.metrics if "_by_" not in name), None)

    @property
    def by_clips(self) -> dict[str, dict[int, float]]:
        """Metrics with each number of inference clips."""
        found: dict[str, dict[int, float]] = {}
        for name, value in self.metrics.items():
            metric, _, count = name.rpartition("/")
            if metric.endswith("_by_inference_clips"):
                found.setdefault(metric.removesuffix("_by_inference_clips"), {})[int(count)] = value
        return found

    def curves(self) -> Iterator[tuple[str, list[int], list[float]]]:
        """Of the log, by name: steps and values, without what is not finite."""
        names = dict.fromkeys(name for line in self.log for name in line)
        for name in names:
            points = [
                (line["step"], line[name])
                for line in self.log
                if isinstance(line.get(name), int | float) and np.isfinite(line[name])
            ]
            if points:
                steps, values = zip(*points, strict=True)
                yield name, list(steps), list(values)

    @cached_property
    def confidence(self) -> Confidence | None:
        """How well scores tell what is right; None where predictions have none."""
        scored = [entry for entry in self.predictions if "score" in entry]
        return Confidence.of(scored) if scored else None


@dataclass(frozen=True)
class Confidence:
    """Scores of a test and what the answers are worth.

    Args:
        tables: See :func:`~clipbert_hf.metrics.reliability`, of scores as they are and, where a temperature was found,
            without it; by name.
        errors: Expected calibration errors, likewise.
        coverage: See :func:`~clipbert_hf.metrics.accuracy_by_coverage`.
    """

    tables: dict[str, dict[str, np.ndarray]]
    errors: dict[str, float]
    coverage: dict[str, np.ndarray]

    @classmethod
    def of(cls, entries: list[dict[str, Any]]) -> Confidence:
        """Of predictions with scores."""
        worth = [float(entry["correct"]) for entry in entries]
        scores = {
            "calibrated": [entry["score"] for entry in entries],
            "uncalibrated": [entry.get("uncalibrated_score", entry["score"]) for entry in entries],
        }
        if scores["calibrated"] == scores["uncalibrated"]:
            del scores["calibrated"]
        first = next(iter(scores.values()))
        return cls(
            {name: reliability(some, worth) for name, some in scores.items()},
            {name: expected_calibration_error(some, worth) for name, some in scores.items()},
            accuracy_by_coverage(first, worth),
        )


def read_run(folder: str | os.PathLike[str], name: str | None = None) -> RunFolder:
    """Read what a run has left.

    Args:
        folder: Its output folder.
        name: Under which it is shown; by default that of the folder.

    Raises:
        InvalidInputError: If a file of a finished run is missing or damaged; it is named.
    """
    path = Path(folder)
    recipe = _read(path / "recipe.yaml", yaml.safe_load)
    results = _read(path / "results.json", json.loads)
    for file, content in (("recipe.yaml", recipe), ("results.json", results)):
        if not isinstance(content, dict):
            raise InvalidInputError(f"{path / file} must hold a mapping; got {type(content).__name__}")
    log, predictions = ([*_lines(path / each)] for each in ("log.jsonl", "predictions.jsonl"))
    return RunFolder(path, name or path.resolve().name, recipe, results, log, predictions)


def flatten(values: Mapping[str, Any], *, separator: str = ".") -> dict[str, Any]:
    """Mappings within a mapping become names with separators.

    Example:
        >>> flatten({"seed": 1, "model": {"hidden_size": 32}, "processor": {}})
        {'seed': 1, 'model.hidden_size': 32, 'processor': {}}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            inner = flatten(value, separator=separator)
            flat |= {f"{name}{separator}{key}": each for key, each in inner.items()}
        else:
            flat[str(name)] = value
    return flat


def _read(path: Path, parse: Any) -> Any:
    try:
        return parse(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InvalidInputError(f"{path} is missing: a report needs the folder of a finished run") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from error


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file that may not be there."""
    if not path.exists():
        return
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise InvalidInputError(f"{path}, line {number}, is not JSON: {error}") from error
