"""Evaluations compute equal clips of images and short videos once, and find what they found with each for itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clipbert_hf import (
    ClipBertForMultipleChoice,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoTextRetrieval,
    ClipBertProcessor,
)
from clipbert_hf.training.data.clips import ClipSamples, TaskOnPixels
from clipbert_hf.training.tasks.multiple_choice import ChoiceCollator, MultipleChoiceTask
from clipbert_hf.training.tasks.retrieval import RetrievalTask
from clipbert_hf.training.tasks.retrieval_batches import PixelCollator
from clipbert_hf.training.tasks.video_qa import QACollator, VideoQATask

CLIPS, FRAMES = 4, 2


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of an image, of a video of 3 frames at 10 a second, and of one of 60."""
    folder = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(0)
    rows = []
    for number, frames in enumerate((1, 3, 60)):
        first, *rest = [Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(frames)]
        path = folder / (f"{number}.png" if frames == 1 else f"{number}.gif")
        first.save(path, **({"save_all": True, "append_images": rest, "duration": 100} if rest else {}))
        row = {"id": str(number), "video": str(path), "question": "what color ?", "answer": 0, "answer_type": None}
        rows.append(row | {"caption": f"circle {number}", "options": ["red", "blue"]})
    return rows


def two_frame_processor(folder: Path) -> ClipBertProcessor:
    processor = ClipBertProcessor.from_pretrained(folder)
    processor.video_processor.num_frames = FRAMES
    return processor


# An image has one frame. A clip of 2 frames at 2 a second lasts 10 frames, longer than the second video: it has the
# frames 0 and 2. Those of the third are 0 9, 12 21, 25 34, 37 46, and of a single clip a third into it 16 25.
DISTINCT = {"dense": 1 + 2 + 8, "middle": 1 + 2 + 8 + 1}


TASKS: dict[str, Any] = {
    "question": (
        lambda processor, rows: (VideoQATask(["red", "blue"], "mean", [1, CLIPS]), QACollator(processor, ["red"])),
        ClipBertForVideoQuestionAnswering,
    ),
    "choice": (
        lambda processor, rows: (MultipleChoiceTask("mean", [1, CLIPS], "choice"), ChoiceCollator(processor, "choice")),
        ClipBertForMultipleChoice,
    ),
    "retrieval": (
        lambda processor, rows: (RetrievalTask(processor, rows, [1, CLIPS], eval_pairs=64), PixelCollator()),
        ClipBertForVideoTextRetrieval,
    ),
}


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("name", TASKS)
def test_frames_that_pass_the_cnn(name: str, in_pieces: bool, rows: list[dict[str, Any]], pretrained: Path) -> None:
    make, model_class = TASKS[name]
    torch.manual_seed(0)
    model = model_class.from_pretrained(pretrained).eval()
    processor = two_frame_processor(pretrained)
    task, collate = make(processor, rows)
    read = ClipSamples(processor, clips=[1, CLIPS], training=False, single_clip=task.single_clip)
    batch = collate([read([row], np.random.default_rng(0)) for row in rows])
    passed: list[int] = []
    model.clipbert.grid_backbone.register_forward_hook(lambda _, inputs, __: passed.append(len(inputs[0])))
    if in_pieces:  # as DeepSpeed marks a model of which only forward may be called
        next(model.parameters()).ds_id = 0

    def predict(some: dict[str, Any]) -> tuple[int, list[Any]]:
        passed.clear()
        with torch.inference_mode():
            records = TaskOnPixels(task, processor.video_processor).predict(model, some)
        return sum(passed), records

    number, records = predict(batch)
    every_clip = len(rows) * FRAMES * (CLIPS + (task.single_clip == "middle"))
    # Of such a model forward takes no features, but for retrieval, which has them anyway.
    assert number == (DISTINCT[task.single_clip] if name == "retrieval" or not in_pieces else every_clip)
    again, expected = predict({key: value for key, value in batch.items() if key != "frame_indices"})
    assert again == every_clip
    if name == "retrieval":
        for (video, scores), (other, expected_scores) in zip(records, expected, strict=True):
            assert video == other
            for count in (1, CLIPS):
                np.testing.assert_allclose(scores[count], expected_scores[count], atol=1e-5)
    else:
        for [(row, chosen)], [(other_row, expected_choice)] in zip(records, expected, strict=True):
            assert chosen == expected_choice
            assert row["id"] == other_row["id"]
            assert row["score"] == pytest.approx(other_row["score"], abs=1e-5)


def test_a_video_that_cannot_be_read_is_one_frame(pretrained: Path, rows: list[dict[str, Any]]) -> None:
    processor = two_frame_processor(pretrained)
    read = ClipSamples(processor, clips=[1, CLIPS], training=False, single_clip="middle")
    blank = read.without_video(rows[:1], np.random.default_rng(0))
    batch = PixelCollator()([read(rows[2:], np.random.default_rng(0)), blank])
    assert batch["frame_indices"].shape == (2, CLIPS + 1, FRAMES)
    assert batch["frame_indices"][1].unique().tolist() == [0]


def test_training_keeps_every_clip(pretrained: Path, rows: list[dict[str, Any]]) -> None:
    """Dropout makes each of equal clips another."""
    processor = two_frame_processor(pretrained)
    sample = ClipSamples(processor, clips=2, training=True)(rows[:1], np.random.default_rng(0))
    assert "frame_indices" not in sample
    assert "frame_indices" not in QACollator(processor, ["red"])([sample])
