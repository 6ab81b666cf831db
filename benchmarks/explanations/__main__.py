"""Do a model's maps find what was asked for, and does its confidence tell how often it is right?

Run ``make demo``, then ``python -m benchmarks.explanations runs/demo --output explanations.json``. It asks the model
about the test videos of the embedded data set, whose shapes have known places (:mod:`benchmarks.explanations.maps`),
and calibrates it on the validation split (:mod:`benchmarks.explanations.calibration`).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from benchmarks.explanations.calibration import measure_calibration
from benchmarks.explanations.maps import measure_maps


def table(found: dict[str, Any]) -> str:
    """The figures for people."""
    maps, lines = found["maps"], []
    lines.append(f"{maps['questions']} questions about an object, {maps['right']:.1%} answered right")
    lines.append(f"the deciding clip shows the object: {maps['deciding_clip_shows_the_object']:.1%}; of these")
    lines += [f"  {name:28} {value:7.1%}" for name, value in maps["share_of_maxima_on_the_object"].items()]
    for clips, one in found["calibration"]["by_clips"].items():
        lines.append(f"{clips} clips: accuracy {one['accuracy']:.1%}, temperature {one['temperature']:.3f}")
        lines += [
            f"  error at temperature {name:12} {value:.4f}"
            for name, value in one["expected_calibration_error_at_temperature"].items()
        ]
        lines += [
            f"  accuracy of the surest {float(name):4.0%} {value:.1%}"
            for name, value in one["accuracy_at_coverage"].items()
        ]
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, help="the output of make demo")
    parser.add_argument("--videos", type=int, default=60, help="test videos for the maps")
    parser.add_argument("--window", type=float, default=0.25, help="side of covered squares, of the longer side")
    parser.add_argument("--step", type=float, default=0.125, help="how far they are apart")
    parser.add_argument("--output", type=Path, help="JSON file")
    given = parser.parse_args()
    disable_progress_bar()
    model, data = given.demo / "qa", (given.demo / "data").resolve()
    options = {"window": given.window, "step": given.step}
    found = {
        "maps": measure_maps(model, data, videos=given.videos, num_clips=16, **options) | options,
        "calibration": measure_calibration(model, data, counts=(1, 4, 16)),
    }
    sys.stdout.write(table(found) + "\n")
    if given.output is not None:
        given.output.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
