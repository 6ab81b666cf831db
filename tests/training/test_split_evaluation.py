"""An evaluation is split over the processes, which tell each other what they found, and no pixels."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import forked_runs
import pytest
import torch
from script_runs import RECIPES

from clipbert_hf.training.data import clips
from examples import run_retrieval, run_video_qa

FRAME = 64 * 64 * 3  # the bytes of one
MAINS: dict[str, Any] = {"retrieval": run_retrieval.main, "video_qa": run_video_qa.main}


def evaluate_watched(rank: int, task: str, arguments: list[str], folder: str) -> None:
    """Evaluate; leave the names of the videos that were read, and the bytes of each object that was gathered."""
    gather, read = torch.distributed.all_gather_object, clips.ClipSamples.__call__
    sizes: list[int] = []
    videos: list[str] = []

    def watched_gather(found: list[Any], each: Any, *rest: Any) -> None:
        sizes.append(len(pickle.dumps(each)))
        gather(found, each, *rest)

    def watched_read(self: Any, rows: list[dict[str, Any]], generator: Any) -> Any:
        if not self.training:
            videos.append(Path(rows[0]["video"]).name)
        return read(self, rows, generator)

    torch.distributed.all_gather_object = watched_gather
    clips.ClipSamples.__call__ = watched_read  # type: ignore[method-assign]
    MAINS[task](arguments)
    Path(folder, f"{task}_{rank}.json").write_text(json.dumps({"sizes": sizes, "videos": videos}))


@pytest.mark.parametrize("task", MAINS)
def test_each_process_reads_its_share_and_sends_no_pixels(
    task: str, small_data: Path, pretrained: Path, tmp_path: Path
) -> None:
    more = ["--max_steps", "2", "--dataset_options", "{}", "--batch_size", "2"]
    arguments = [str(RECIPES / f"{task}_moving_shapes.yaml"), "--data_dir", str(small_data), *more]
    arguments += ["--num_workers", "0", "--tracker", "none"]
    arguments += ["--calibration_rows", "null"] if task == "video_qa" else []
    arguments += ["--start_from", str(pretrained), "--output_dir", str(tmp_path / "out")]
    forked_runs.run_together(2, evaluate_watched, task, arguments, str(tmp_path))
    shares = []
    for rank in range(2):
        found = json.loads((tmp_path / f"{task}_{rank}.json").read_text())
        assert 0 < max(found["sizes"]) < FRAME
        shares.append(found["videos"])
    # Of 5 validation and 6 test videos, in batches of two; the last ones are filled up.
    assert set(shares[0]) | set(shares[1]) == {
        path.name for split in ("validation", "test") for path in (small_data / "videos" / split).iterdir()
    }
    assert len(shares[0]) == len(shares[1]) == 4 + 4
