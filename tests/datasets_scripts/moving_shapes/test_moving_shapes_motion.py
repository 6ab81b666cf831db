"""Videos in which things move, the questions about it, and all other videos and rows as they were without it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from shapes import rng, shown

from datasets_scripts.errors import DatasetError
from datasets_scripts.moving_shapes import DIRECTIONS, MovingShapes, VideoPlan, generate, load_moving_shapes, read_plans
from datasets_scripts.moving_shapes.__main__ import main
from datasets_scripts.moving_shapes.scenes import Purpose, plan_split, video_generator
from datasets_scripts.moving_shapes.text import (
    motion_qa_rows,
    multiple_choice_rows,
    pretraining_rows,
    qa_rows,
    retrieval_rows,
)

# Of what the code gave before there was motion.
BEFORE = {
    "plans": "e90e42489bced18286b1ed72ae048a1dd9cfdde73db810de983386ebcb5acde9",
    "qa": "6d5aee64ee58740e0d23bd0c2b441489fa81b6789296cd9a09d00a37aceebf67",
    "retrieval": "f3f5e70129af2dbc882c8dae2362087749232b52e1ba0dbb92e7ccbdd44013bb",
    "multiple_choice": "cb912585e5e7206b7fc3ddbd9b6381218c30a0da4bb473a186b5828822635b20",
    "pretraining": "bdb8c3a7a5b8ce72b4d3c66cd6b704607a4e058886a0bd33c914ea4dbe5b066f",
}


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("motion")
    generate(path, seed=3, train=8, validation=0, test=12, motion=True, workers=1, progress=False)
    return path


def test_what_there_was_before_motion_is_byte_for_byte_the_same() -> None:
    plans = [plan for split in ("train", "test") for plan in plan_split(split=split, count=20, seed=3, scenes=(2, 4))]

    def draw(plan: VideoPlan, purpose: Purpose) -> np.random.Generator:
        return video_generator(seed=3, split=plan.split, number=plan.number, purpose=purpose)

    rows = {
        "plans": [plan.to_json() for plan in plans],
        "qa": [qa_rows(plan, draw(plan, "qa")) for plan in plans],
        "retrieval": [retrieval_rows(plan, draw(plan, "retrieval"), captions=6) for plan in plans],
        "multiple_choice": [multiple_choice_rows(plan, draw(plan, "multiple_choice")) for plan in plans],
        "pretraining": [[*pretraining_rows(plan, draw(plan, "pretraining"), captions=4, fps=4)] for plan in plans],
    }
    assert {name: hashlib.sha256(json.dumps(some).encode()).hexdigest() for name, some in rows.items()} == BEFORE


def test_a_folder_without_motion_says_nothing_of_it(folder: Path) -> None:
    for path in (folder / "moving_shapes.json", folder / "annotations" / "test.jsonl"):
        assert not {"motion", "direction"} & set(path.read_text().replace('"', " ").split())


def test_motion_changes_nothing_else_of_the_plans() -> None:
    with_motion, without = (
        plan_split(split="test", count=300, seed=5, scenes=(2, 4), motion=motion) for motion in (True, False)
    )
    counts: Counter[str | None] = Counter()
    for moving, still in zip(with_motion, without, strict=True):
        assert VideoPlan.from_json(json.loads(json.dumps(moving.to_json()))) == moving
        counts.update(scene.direction for scene in moving.scenes)
        bare = [{**line, "direction": None} for line in map(vars, moving.scenes)]
        assert bare == [vars(scene) for scene in still.scenes]
    assert set(counts) == set(DIRECTIONS)
    assert max(counts.values()) < 1.25 * min(counts.values())


def told_way(frames: np.ndarray) -> str:
    """The way by which the first frame, moved five pixels round the edge, comes nearest to the next one."""
    ways = {"left": (0, -5), "right": (0, 5), "up": (-5, 0), "down": (5, 0)}
    off = {
        way: sum(np.abs(np.roll(one, step, (0, 1)) - two).sum() for one, two in pairwise(frames))
        for way, step in ways.items()
    }
    return min(off, key=lambda way: off[way])


def test_pixels_move_as_planned(moving: Path) -> None:
    for plan in [*read_plans(moving, "test"), *read_plans(moving, "train")]:
        with av.open(str(moving / plan.file)) as container:
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        frames = np.stack(decoded).astype(int)
        for scene in plan.scenes:
            part = frames[scene.start : scene.stop]
            # The background stands still: its colour at a pixel is what is there most of the time.
            assert told_way(part - np.median(part, axis=0)) == scene.direction, (plan.id, scene)


def test_questions_are_true_and_cannot_be_answered_by_the_text() -> None:
    plans = plan_split(split="train", count=1500, seed=11, scenes=(2, 3), motion=True)
    answers: Counter[str] = Counter()
    for plan in plans:
        rows = motion_qa_rows(plan, rng(plan.number))
        assert Counter(row["answer_type"] for row in rows) == {"motion": 4, "color": 1, "shape": 1}
        for row in rows:
            words = row["question"].split()
            # "which way does the ring move ?", "which way does the red shape move ?", as those of qa
            (scene,) = [scene for scene in plan.scenes if {scene.color, scene.shape} & set(words)]
            kind = row["answer_type"]
            assert row["answer"] == {"motion": scene.direction, "color": scene.color, "shape": scene.shape}[kind]
            answers.update([row["answer"]] if kind == "motion" else [])
        assert shown(plan)
    assert all(abs(answers[way] / sum(answers.values()) - 0.25) < 0.02 for way in DIRECTIONS), answers


def test_folders(moving: Path, folder: Path, tmp_path: Path) -> None:
    rows = load_moving_shapes("motion_qa", moving, progress=False)
    assert {split: len(some) for split, some in rows.items()} == {"train": 48, "test": 72}
    assert {row["video"] for row in rows["test"]} == {
        row["video"] for row in load_moving_shapes("qa", moving, progress=False)["test"]
    }
    load_moving_shapes("motion_qa", tmp_path / "new", train=1, validation=0, test=0, progress=False)
    assert read_plans(tmp_path / "new", "train")[0].scenes[0].direction in DIRECTIONS
    with pytest.raises(DatasetError, match=r"motion_qa needs videos made with motion=True, and those in .* are not"):
        MovingShapes(config_name="motion_qa", data_dir=folder)
    with pytest.raises(DatasetError, match="motion True, but motion None was asked for"):
        generate(moving, seed=3, train=8, validation=0, test=12)
    with pytest.raises(DatasetError, match="train_00000 was made without motion"):
        motion_qa_rows(read_plans(folder, "train")[0], rng())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--train", "1", "--validation", "0", "--test", "0", "--motion", "--no-progress"]
    assert main(["--output", str(tmp_path / "data"), *options]) == 0
    written = capsys.readouterr().out
    assert "2 to 3 scenes a video, with motion" in written
    assert written.count("which way does") == 4
    assert written.count(", moves ") == len(read_plans(tmp_path / "data", "train")[0].scenes)
