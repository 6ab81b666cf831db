"""An evaluation of retrieval that was killed goes on where it was, with the same results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import forked_runs
import numpy as np
import pytest
import torch
from forked_runs import ForkedRun
from script_runs import SHORT

from clipbert_hf import ClipBertForVideoTextRetrieval, ClipBertProcessor
from clipbert_hf.training.data.splits import load_splits
from clipbert_hf.training.recipe import DataSettings
from clipbert_hf.training.tasks.kept_scores import KeptScores
from clipbert_hf.training.tasks.retrieval import RetrievalTask

VIDEOS = ["a.mp4", "b.mp4", "c.mp4"]
TOKENS = {"input_ids": torch.arange(8).view(4, 2)}
OPTIONS = {"inference_clips": [2, 4]}


def records(seed: int, number: int) -> list[dict[int, np.ndarray]]:
    generator = np.random.default_rng(seed)
    return [{count: generator.normal(size=(2, 4)).astype(np.float32) for count in (2, 4)} for _ in range(number)]


def test_what_was_put_is_there_again(tmp_path: Path) -> None:
    model, folder = torch.nn.Linear(2, 2), tmp_path / "scores"
    kept = KeptScores(folder, model, TOKENS, VIDEOS, OPTIONS)
    assert kept.get(["a.mp4"]) is None
    some = records(0, 2)
    kept.put(["c.mp4", "a.mp4"], some)
    again = KeptScores(folder, model, TOKENS, VIDEOS, OPTIONS)
    assert again.get(["a.mp4", "b.mp4"]) is None
    found = again.get(["a.mp4", "c.mp4"])
    assert found is not None
    for record, expected in zip(found, reversed(some), strict=True):
        assert record.keys() == expected.keys()
        for count in record:
            np.testing.assert_array_equal(record[count], expected[count])
    again.remove()
    assert not folder.exists()
    kept.remove()  # as another process may have done


def test_other_weights_have_scores_of_their_own(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    KeptScores(tmp_path, model, TOKENS, VIDEOS, OPTIONS).put(["a.mp4"], records(0, 1))
    with torch.no_grad():
        model.weight += 1
    assert KeptScores(tmp_path, model, TOKENS, VIDEOS, OPTIONS).get(["a.mp4"]) is None


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_evaluations_go_on(processes: int, small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    ClipBertForVideoTextRetrieval.from_pretrained(pretrained).save_pretrained(start)
    ClipBertProcessor.from_pretrained(pretrained).save_pretrained(start)
    common = [*SHORT[:2], "--data_dir", small_data, "--start_from", start, "--max_steps", "0"]
    common += ["--dataset_options", "{}", "--eval_batch_size", "1", "--num_workers", "0", "--tracker", "none"]
    recipe = "retrieval_moving_shapes.yaml"
    output = tmp_path / "whole"
    forked_runs.run("run_retrieval.py", recipe, *common, "--output_dir", output, processes=processes)
    whole = json.loads((output / "results.json").read_text())
    assert not (output / "unfinished_scores").exists()

    output = tmp_path / "parts"
    run = ForkedRun("run_retrieval.py", recipe, *common, "--output_dir", output, processes=processes)
    while not list(output.glob("unfinished_scores/*/videos_*.safetensors")):
        assert run.is_running(), run.output
    run.kill()
    assert list(output.glob("unfinished_scores/*/videos_*.safetensors"))
    forked_runs.run("run_retrieval.py", recipe, *common, "--output_dir", output, processes=processes)
    results = json.loads((output / "results.json").read_text())
    assert results["test"] == whole["test"]
    assert results["validation"] == whole["validation"]
    assert not (output / "unfinished_scores").exists()


def test_kept_scores_are_not_computed_again(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    model = ClipBertForVideoTextRetrieval.from_pretrained(pretrained).eval()
    processor = ClipBertProcessor.from_pretrained(pretrained)
    rows = load_splits(DataSettings(data_dir=str(small_data)), "retrieval")["test"][:3]

    def task() -> RetrievalTask:
        return RetrievalTask(processor, rows, [2], eval_pairs=5, keep_in=tmp_path)

    def batch(row: dict[str, Any], scale: float = 1.0) -> dict[str, Any]:
        pixels = processor.video_processor(row["video"], num_clips=2)["pixel_values_videos"]
        return {"inputs": {"pixel_values_videos": scale * pixels}, "videos": [row["video"]]}

    with torch.inference_mode():
        [(_, first)] = task().predict(model, batch(rows[0]))
        later = task()
        [(_, again)] = later.predict(model, batch(rows[0], scale=0.0))  # whose pixels nobody looks at
        np.testing.assert_array_equal(first[2], again[2])
        [(_, new)] = later.predict(model, batch(rows[1], scale=0.0))
    assert np.abs(new[2] - first[2]).max() > 0
    assert len(list(tmp_path.glob("*/videos_*.safetensors"))) == 2
