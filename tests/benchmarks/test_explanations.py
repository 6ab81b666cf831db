"""What the measurement of explanations takes for the object, and for a hit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.explanations.__main__ import table
from benchmarks.explanations.calibration import accuracy_at, measure_calibration
from benchmarks.explanations.maps import _grown, measure_maps, scene_of
from clipbert_hf import ClipBertForVideoQuestionAnswering, ClipBertProcessor
from datasets_scripts.moving_shapes import ANSWERS
from datasets_scripts.moving_shapes.scenes import Scene, VideoPlan

RING, STAR = Scene("red", "ring", 2, 0, 20), Scene("blue", "star", 1, 20, 32)
PLAN = VideoPlan("test", 0, (RING, STAR))


@pytest.mark.parametrize(
    ("question", "scene"),
    [
        ("what color is the ring ?", RING),
        ("what shape is blue ?", STAR),
        ("is there a blue star ?", STAR),
        ("is there a blue ring ?", None),
        ("is there a green cross ?", None),
    ],
)
def test_the_scene_of_a_question(question: str, scene: Scene | None) -> None:
    assert scene_of(question, PLAN) == scene


def test_what_is_near() -> None:
    covered = np.zeros((9, 9), bool)
    covered[4, 4] = True
    assert _grown(covered, 1).sum() == 5
    assert _grown(covered, 0).sum() == 1
    assert _grown(np.zeros((3, 3), bool), 3).sum() == 0


def test_accuracy_of_the_surest() -> None:
    found = accuracy_at(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 1, 0, 1]))
    assert found == {"0.5": 1.0, "0.8": 0.75, "0.9": 0.75, "0.95": 0.75, "1.0": 0.75}


def test_figures_of_an_untrained_model(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    labels = {answer: place for place, answer in enumerate(ANSWERS)}
    model = ClipBertForVideoQuestionAnswering.from_pretrained(
        pretrained, label2id=labels, id2label=dict(enumerate(ANSWERS))
    )
    model.save_pretrained(tmp_path)
    ClipBertProcessor.from_pretrained(pretrained).save_pretrained(tmp_path)
    maps = measure_maps(tmp_path, small_data.resolve(), videos=2, num_clips=4, window=0.5, step=0.5)
    assert maps["questions"] == 10  # five of six questions a video are about an object
    shares = maps["share_of_maxima_on_the_object"]
    assert all(0 <= share <= shares.get(f"{name}_near", 1) <= 1 for name, share in shares.items())
    assert 0.02 < shares["chance_of_a_pixel"] < 0.5
    calibration = measure_calibration(tmp_path, small_data, counts=(1, 2))
    assert set(calibration["by_clips"]) == {1, 2}
    assert "2 clips: accuracy" in table({"maps": maps, "calibration": calibration})
