from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from script_runs import RECIPES, TINY

from clipbert_hf import VideoDecodeError, probe_video
from clipbert_hf.training.data.loaders import VideoDataset, create_loader
from clipbert_hf.training.data.splits import load_splits
from clipbert_hf.training.faults import KEY, UnreadableVideoError
from clipbert_hf.training.recipe import DataSettings, ScriptSettings
from examples import run_pretraining, run_retrieval, run_video_qa


@pytest.fixture
def damaged_data(small_data: Path, tmp_path: Path) -> Path:
    """Six training and three test videos with questions and captions; a file of each split is cut short."""
    folder = tmp_path / "data"
    folder.mkdir()
    splits = load_splits(DataSettings(data_dir=str(small_data)), "qa")
    for split, number in (("train", 6), ("test", 3)):
        videos = sorted({row["video"] for row in splits[split]})[:number]
        names = {}
        for place, video in enumerate(videos):
            names[video] = f"{split}_{place}.mp4"
            shutil.copy(video, folder / names[video])
        rows = [row for row in splits[split] if row["video"] in names]
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "video", "question", "answer", "caption"])
            for number, row in enumerate(rows):
                caption = f"{row['question']} {row['answer']}"
                writer.writerow([f"{split}-{number}", names[row["video"]], row["question"], row["answer"], caption])
        damaged = folder / f"{split}_1.mp4"
        damaged.write_bytes(damaged.read_bytes()[:600])
        with pytest.raises(VideoDecodeError):
            probe_video(damaged)
    return folder


def arguments(recipe: str, data: Path, pretrained: Path, output: Path, *overrides: str) -> list[str]:
    options = ["--dataset", "custom", "--data_dir", str(data), "--dataset_options", f"{{video_dir: {data}}}"]
    options += ["--output_dir", str(output), "--start_from", str(pretrained), "--threads", "1", "--tracker", "none"]
    options += ["--batch_size", "2", "--eval_batch_size", "2", "--epochs", "2", "--max_steps", "null"]
    return [str(RECIPES / recipe), *options, "--evaluate_every", "null", *overrides]


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_error_says_which(damaged_data: Path, pretrained: Path, tmp_path: Path, workers: str) -> None:
    options = arguments("video_qa_moving_shapes.yaml", damaged_data, pretrained, tmp_path / "run")
    with pytest.raises(UnreadableVideoError) as caught:
        run_video_qa.main([*options, "--num_workers", workers, "--best_metric", "null"])
    message = str(caught.value)
    assert f"video {damaged_data / 'train_1.mp4'} of the split train cannot be read: " in message
    assert "train-" in message
    assert "--on_unreadable_video skip" in message


@pytest.mark.parametrize("workers", ["0", "1"])
def test_skipped_videos_are_counted_and_named(
    damaged_data: Path, pretrained: Path, tmp_path: Path, workers: str
) -> None:
    run = tmp_path / "run"
    options = arguments("video_qa_moving_shapes.yaml", damaged_data, pretrained, run, "--num_workers", workers)
    options += ["--on_unreadable_video", "skip", "--best_metric", "null"]
    results = run_video_qa.main(options)
    assert results[KEY] == {"test": 1, "train": 1}
    named = json.loads((run / "unreadable_videos.json").read_text())
    assert {Path(video).name: entry["times"] for video, entry in named.items()} == {
        "train_1.mp4": {"train": 2},  # in both epochs
        "test_1.mp4": {"test": 1},
    }
    assert all(entry["reason"] and entry["ids"] for entry in named.values())
    assert results["steps"] == 6  # three whole batches an epoch
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line[f"{KEY}/train"] for line in lines] == [1, 1]
    assert json.loads((run / "results.json").read_text())[KEY] == results[KEY]
    # A resumed run remembers.
    assert run_video_qa.main([*options, "--resume_from_checkpoint", "last"])[KEY] == results[KEY]


@pytest.mark.parametrize(
    ("script", "recipe"),
    [(run_retrieval, "retrieval_moving_shapes.yaml"), (run_pretraining, "pretraining_moving_shapes.yaml")],
)
def test_other_scripts_skip_too(damaged_data: Path, pretrained: Path, tmp_path: Path, script: Any, recipe: str) -> None:
    more = [*(TINY if script is run_pretraining else []), "--dataset_config", "retrieval", "--num_workers", "0"]
    options = arguments(recipe, damaged_data, pretrained, tmp_path / "run", *more, "--best_metric", "null")
    results = script.main([*options, "--on_unreadable_video", "skip"])
    assert results[KEY] == {"test": 1, "train": 1}


def read(rows: list[dict[str, Any]], generator: np.random.Generator) -> tuple[str, float]:
    if rows[0]["broken"]:
        raise VideoDecodeError(rows[0]["video"], "pyav", "cut short")
    return rows[0]["video"], float(generator.random())


def blank(rows: list[dict[str, Any]], generator: np.random.Generator) -> tuple[str, float]:
    return "blank", 0.0


def groups(pattern: str) -> list[list[dict[str, Any]]]:
    return [[{"video": str(i), "id": f"row {i}", "broken": mark == "x"}] for i, mark in enumerate(pattern)]


@pytest.mark.parametrize(
    ("pattern", "index", "sample", "unreadable"),
    [(".x.", 0, "0", []), (".x.", 1, "2", ["1"]), (".xx", 1, "0", ["1", "2"]), ("xx", 1, None, ["1", "0"])],
)
def test_another_video_takes_its_place(pattern: str, index: int, sample: str | None, unreadable: list[str]) -> None:
    dataset = VideoDataset(groups(pattern), read, seed=0, replace=True)
    got, entries = dataset[3, index]
    assert (None if got is None else got[0]) == sample
    assert [entry.video for entry in entries] == unreadable
    assert dataset[3, index] == (got, entries)


def test_a_blank_one_keeps_its_place() -> None:
    dataset = VideoDataset(groups(".x."), read, seed=0, blank=blank)
    assert [dataset[0, i][0][0] for i in range(3)] == ["0", "blank", "2"]
    assert dataset[0, 1][1][0].ids == ["row 1"]


def test_nothing_can_be_read(damaged_data: Path, pretrained: Path, tmp_path: Path) -> None:
    for video in damaged_data.glob("train_*.mp4"):
        video.write_bytes(b"")
    options = arguments("video_qa_moving_shapes.yaml", damaged_data, pretrained, tmp_path / "run")
    options += ["--num_workers", "0", "--on_unreadable_video", "skip", "--best_metric", "null"]
    with pytest.raises(UnreadableVideoError, match="of the split train cannot be read"):
        run_video_qa.main(options)


def test_batches_stay_whole() -> None:
    settings = ScriptSettings(
        output_dir="x", data_dir="x", batch_size=2, num_workers=0, on_unreadable_video="skip", seed=1
    )

    def collate(samples: list[tuple[str, float]]) -> dict[str, Any]:
        return {"videos": [name for name, _ in samples]}

    loader = create_loader(groups("x.x."), read, collate, settings, training=True)
    batches = list(loader)
    assert [len(batch["videos"]) for batch in batches] == [2, 2]
    assert sorted(entry.video for batch in batches for entry in batch.get(KEY, [])) == ["0", "2"]
    assert {name for batch in batches for name in batch["videos"]} == {"1", "3"}
