"""Seconds and peak memory to load and check a data set of the size of MSR-VTT.

200,000 captions of 10,000 videos are generated in the official form. The videos are copies of a tiny real mp4 file, so
the check opens and decodes every one of them, but reads less from the disk than it would for real videos. Loading runs
in a process of its own, which may use as many cores as it is given, first without and then with a cache.

Run ``taskset -c 0,1 python -m benchmarks.dataset_loading --output dataset_loading.json`` for two cores.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

VIDEOS = 10_000
CAPTIONS_PER_VIDEO = 20
WORDS = 3_000
LIMIT_SECONDS, LIMIT_GIB = 60, 1


def tiny_video() -> bytes:
    """Four frames of 64 x 64 pixels as mp4."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=4)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 60 * number, np.uint8))))
        container.mux(stream.encode())
    return buffer.getvalue()


def generate(folder: Path) -> None:
    """Write the annotations in the official form, and the videos."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(WORDS)]
    splits = [("train", 6_513), ("validate", 497), ("test", 2_990)]
    names = [split for split, count in splits for _ in range(count)]
    videos = [
        {
            "id": n,
            "video_id": f"video{n}",
            "category": n % 20,
            "url": f"https://u/{n}",
            "start time": 1.0,
            "end time": 9.0,
        }
        | {"split": split}
        for n, split in enumerate(names)
    ]
    sentences = [
        {"sen_id": n, "video_id": f"video{n // CAPTIONS_PER_VIDEO}", "caption": " ".join(rng.choices(words, k=9))}
        for n in range(VIDEOS * CAPTIONS_PER_VIDEO)
    ]
    content = {"info": {}, "videos": videos, "sentences": sentences}
    (folder / "MSRVTT_data.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "videos").mkdir()
    video = tiny_video()
    for number in range(VIDEOS):
        (folder / "videos" / f"video{number}.mp4").write_bytes(video)


def measure(folder: Path) -> dict[str, float | int]:
    """Load all three official splits and open every video, in this process.

    Returns:
        Seconds of importing, of checking annotations and videos, of preparing the rows; rows; peak memory in GiB.
    """
    start = time.perf_counter()
    import datasets

    from datasets_scripts import create_builder

    datasets.disable_progress_bars()
    imported = time.perf_counter()
    builder = create_builder(
        *("msrvtt", "retrieval"),
        annotation_dir=folder,
        video_dir=folder / "videos",
        scheme="official",
        check=True,
        progress=False,
        cache_dir=folder / "cache",
    )
    checked = time.perf_counter()
    builder.download_and_prepare()
    splits = builder.as_dataset()
    end = time.perf_counter()
    return {
        "import_seconds": imported - start,
        "check_seconds": checked - imported,
        "prepare_seconds": end - checked,
        "total_seconds": end - start,
        "rows": sum(map(len, splits.values())),
        "videos": sum(report.media for report in builder.report.splits.values()),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> int:
    """Generate, measure and print a table; the exit status is 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--one", type=Path, help="measure with this folder, as JSON")
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(json.dumps(measure(options.one)) + "\n")
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    runs = []
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name))
        sys.stdout.write(f"{VIDEOS * CAPTIONS_PER_VIDEO:,} captions, {VIDEOS:,} videos, {cores} cores\n")
        sys.stdout.write("run      import s  check s  prepare s  total s  peak GiB\n")
        for label in ("first", "cached"):
            command = [sys.executable, "-m", "benchmarks.dataset_loading", "--one", name]
            run = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            runs.append({"run": label, **run})
            sys.stdout.write(
                f"{label:8} {run['import_seconds']:8.1f} {run['check_seconds']:8.1f} {run['prepare_seconds']:10.1f} "
                f"{run['total_seconds']:8.1f} {run['peak_gib']:9.2f}\n"
            )
            sys.stdout.flush()
    if options.output:
        content = {"cores": cores, "limits": {"seconds": LIMIT_SECONDS, "gib": LIMIT_GIB}, "runs": runs}
        options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    exceeded = any(run["total_seconds"] > LIMIT_SECONDS or run["peak_gib"] > LIMIT_GIB for run in runs)
    complete = all((run["rows"], run["videos"]) == (VIDEOS * CAPTIONS_PER_VIDEO, VIDEOS) for run in runs)
    return 1 if exceeded or not complete else 0


if __name__ == "__main__":
    sys.exit(main())
