"""Memory, start and indexing of a corpus of the size of COCO and Visual Genome captions.

Six million captions of 190,000 images are generated as jsonl files of the two data sets, joined as their recipe joins
them. The images are links to a few copies of one tiny file, since what is measured are the rows. A run starts
as pre-training does, in a process of its own and with two workers, first without and then with a cache of the prepared
rows; memory is the proportional set size (PSS) of all three, asked of the kernel several times a second. It counts the
files that are mapped, which the kernel may drop at any time; ``anonymous_gib`` leaves these out.

Run ``python -m benchmarks.corpus --output corpus.json``. Linux only; half a minute for each
million rows, most of it without a cache.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROWS, IMAGES = 6_000_000, 190_000
LIMITS = {"peak_gib": 1.5, "start_seconds_cached": 30.0, "rows_per_second": 50_000.0}
_LINKS = 10_000  # of one file; file systems allow some ten thousand
_BATCHES = 200
_INDEXING_SECONDS = 5.0


def generate(folder: Path, rows: int, images: int) -> None:
    """Write the annotations as the authors' jsonl files, and the images: a tenth of the captions is COCO's."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(3_000)]
    texts = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(50_000)]
    coco = images * 43 // 100
    for name, key, some, captions in (
        ("coco", "coco_id", range(coco), rows // 10),
        ("vg", "vg_id", range(coco, images), rows - rows // 10),
    ):
        home = folder / name
        (home / "pretrain").mkdir(parents=True)
        (home / "images").mkdir()
        for number, image in enumerate(some):
            shown = f"COCO_train2014_{image:012d}" if name == "coco" else str(image)
            if number % _LINKS == 0:
                source = home / "images" / f"{shown}.jpg"
                Image.fromarray(np.full((16, 16, 3), image % 256, np.uint8)).save(source)
            else:
                os.link(source, home / "images" / f"{shown}.jpg")
        with (home / "pretrain" / f"{name}_train_captions.jsonl").open("w", encoding="utf-8") as file:
            for number in range(captions):
                image = some[number * len(some) // captions]
                shown = f"COCO_train2014_{image:012d}" if name == "coco" else str(image)
                caption = f"{rng.choice(texts)} {number}"
                file.write(json.dumps({key: shown, "caption": caption}) + "\n")


def run(folder: Path) -> dict[str, Any]:
    """Start as pre-training does, read some batches with two workers, then index rows alone.

    Returns:
        ``rows``; seconds until all is imported and until the first batch is there; rows a second.
    """
    began = time.monotonic()
    from clipbert_hf import ClipBertProcessor, ClipBertVideoProcessor
    from clipbert_hf.training import load_task_splits
    from clipbert_hf.training.recipe import DataSource
    from clipbert_hf.training.starting_points import train_tokenizer
    from clipbert_hf.training.tasks.pretraining import PretrainingRecipe, create_pretraining_loader

    imported = time.monotonic()
    options = {"cache_dir": str(folder / "cache"), "progress": False}
    sources: dict[str, dict[str, Any]] = {
        name: {
            "dataset_config": "captions",
            "data_dir": str(folder / home),
            "dataset_options": {**options, "image_dir": str(folder / home / "images")},
        }
        for name, home in (("coco_captions", "coco"), ("visual_genome", "vg"))
    }
    recipe = PretrainingRecipe(
        output_dir="unused",
        dataset="coco_captions",
        **sources["coco_captions"],
        more_data=[DataSource(dataset="visual_genome", **sources["visual_genome"])],
        captions_per_video=2,
        negatives="random",
        num_workers=2,
    )
    rows = load_task_splits(recipe, "pretraining")["train"]
    some = [rows.value(place, "caption") for place in range(0, len(rows), -(-len(rows) // 1000))]
    processor = ClipBertProcessor(ClipBertVideoProcessor(size={"longest_edge": 64}), train_tokenizer(some, 1000))
    loader = create_pretraining_loader(rows, recipe, processor, training=True)
    loader.dataset.fingerprint()  # type: ignore[attr-defined]  # which checkpoints hold
    batches = iter(loader)
    next(batches)
    started = time.monotonic()
    sys.stdout.write("started\n")
    sys.stdout.flush()
    for _ in range(_BATCHES):
        if next(batches, None) is None:
            break
    return {
        "rows": len(rows),
        "import_seconds": imported - began,
        "start_seconds": started - began,
        "rows_per_second": _indexed(loader),
    }


def _indexed(loader: Any) -> float:
    """Rows a second where groups are read in the order of an epoch, and nothing else is done."""
    groups, seen, began = loader.dataset.groups, 0, time.monotonic()
    for _, index in loader.sampler:
        seen += len(groups[index])
        if time.monotonic() - began > _INDEXING_SECONDS:
            break
    return seen / (time.monotonic() - began)


def memory(process: int) -> dict[str, float]:
    """Proportional set size of a process and its children, and what of it is no file, in GiB."""
    found = {"Pss": 0.0, "Pss_Anon": 0.0}
    for each in (process, *_children(process)):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name in found:
                found[name] += int(value.split()[0]) / 2**20
    return found


def _children(process: int) -> list[int]:
    """The processes that another has started, and those that these have."""
    found: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            direct = [int(number) for number in path.read_text().split()]
        except OSError:
            continue
        found += [*direct, *(each for child in direct for each in _children(child))]
    return found


def measure(folder: Path) -> dict[str, Any]:
    """A run in a process of its own, and the peak of its memory and that of its workers."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "benchmarks.corpus", "--run", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    peaks = {"starting": {"Pss": 0.0, "Pss_Anon": 0.0}, "training": {"Pss": 0.0, "Pss_Anon": 0.0}}
    phase, ended = ["starting"], threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            of_phase = peaks[phase[0]]
            for name, value in memory(process.pid).items():
                of_phase[name] = max(of_phase[name], value)

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "started\n":
            phase[0] = "training"
    ended.set()
    watcher.join()
    if process.wait():
        raise SystemExit(process.returncode)
    every = peaks.values()
    return {
        **json.loads(lines[-1]),
        "peak_gib": max(peak["Pss"] for peak in every),
        "anonymous_gib": max(peak["Pss_Anon"] for peak in every),
        **{f"{name}_gib": peak["Pss"] for name, peak in peaks.items()},
    }


def compare(rows: int, images: int, folder: Path) -> dict[str, Any]:
    """Without and with a cache; the figures that are aimed at are those with one."""
    generate(folder, rows, images)
    first, cached = measure(folder), measure(folder)
    return {
        "rows": cached["rows"],
        "images": images,
        "peak_gib": cached["peak_gib"],
        "start_seconds_cached": cached["start_seconds"],
        "start_seconds": first["start_seconds"],
        "rows_per_second": cached["rows_per_second"],
        "limits": LIMITS,
        "runs": {"first": first, "cached": cached},
    }


def main(arguments: list[str] | None = None) -> int:
    """Generate, measure and print; the exit status is 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--rows", type=int, default=ROWS, help="captions")
    parser.add_argument("--images", type=int, help="by default as many for each caption as there are of 190,000")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        sys.stdout.write(json.dumps(run(options.run)) + "\n")
        return 0
    images = options.images or max(options.rows * IMAGES // ROWS, 4)
    with tempfile.TemporaryDirectory() as name:
        results = compare(options.rows, images, Path(name))
    shown = {name: value for name, value in results.items() if name not in ("limits", "runs")}
    sys.stdout.write("".join(f"{name:22} {value:,.2f}\n" for name, value in shown.items()))
    if options.output:
        options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    missed = results["rows_per_second"] < LIMITS["rows_per_second"]
    return int(missed or any(results[name] > LIMITS[name] for name in ("peak_gib", "start_seconds_cached")))


if __name__ == "__main__":
    sys.exit(main())
