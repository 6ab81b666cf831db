"""The same videos as ``datasets_scripts.prepare`` leaves them."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from benchmarks.decoding.settings import SIDE
from clipbert_hf import probe_video
from datasets_scripts.preparation.encoding import EncodingSettings
from datasets_scripts.preparation.one_video import Job, Prepared, prepare_one

DEFAULT = EncodingSettings(longest_edge=SIDE)
_LEAST_PSNR = 20.0


def prepare_all(videos: dict[str, Path], folder: Path, settings: EncodingSettings) -> dict[str, Prepared]:
    """Prepare the videos, print what became of each, and make sure that sampling finds the same frames in them.

    Raises:
        RuntimeError: If one could not be prepared, or has other frames or times than its original.
    """
    done = {}
    sys.stdout.write(f"{'prepared':18} MB before  after   CPU minutes/hour   PSNR  lowest\n")
    for name, path in videos.items():
        target = folder / f"{name}.prepared.mp4"
        made = prepare_one(Job(target.name, str(path), str(target), settings, _LEAST_PSNR))
        if isinstance(made, str):
            raise RuntimeError(f"{path} was not prepared: {made}")
        before, after = probe_video(path), probe_video(target)
        if (before.frames, before.fps, before.duration) != (after.frames, after.fps, after.duration):
            raise RuntimeError(f"{target} has other frames than {path}: {after}, {before}")
        done[name] = made
        sys.stdout.write(
            f"{name:18} {made.source_bytes / 1e6:9.2f} {made.bytes / 1e6:6.2f} "
            f"{60 * made.work_seconds / made.seconds:18.1f} {made.psnr:6.1f} {made.lowest_psnr:7.1f}\n"
        )
        sys.stdout.flush()
    return done


def totals(prepared: dict[str, Prepared]) -> dict[str, Any]:
    """What preparing cost and what became of the bytes, over all videos."""
    videos = list(prepared.values())
    return {
        "megabytes_before": sum(video.source_bytes for video in videos) / 1e6,
        "megabytes_after": sum(video.bytes for video in videos) / 1e6,
        "megabytes_ratio": math.exp(sum(math.log(video.bytes / video.source_bytes) for video in videos) / len(videos)),
        "cpu_minutes_per_hour": 60 * sum(v.work_seconds for v in videos) / sum(v.seconds for v in videos),
        "psnr": sum(video.psnr for video in videos) / len(videos),
        "lowest_psnr": min(video.lowest_psnr for video in videos),
    }
