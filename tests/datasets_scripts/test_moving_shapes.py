"""MovingShapes: real files, decoded again; texts checked against what the videos are planned to show."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from datasets import List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from clipbert_hf.model.errors_clipbert import ClipBertError
from datasets_scripts import moving_shapes
from datasets_scripts.errors import DatasetError
from datasets_scripts.moving_shapes import MovingShapes, generate, load_moving_shapes, read_plans, vocabulary
from datasets_scripts.moving_shapes_rendering import encode_mp4, is_complete_mp4, write_atomically
from datasets_scripts.moving_shapes_scenes import Scene, VideoPlan, plan_split
from datasets_scripts.moving_shapes_text import (
    multiple_choice_rows,
    pretraining_rows,
    qa_rows,
    retrieval_rows,
)

COUNTS = {"train": 80, "validation": 6, "test": 30}
# Written down again, apart from the code under test.
NAMED_RGB = {
    "red": (215, 35, 35),
    "green": (35, 165, 55),
    "blue": (40, 70, 220),
    "yellow": (235, 225, 40),
    "purple": (140, 45, 175),
    "orange": (240, 135, 25),
    "white": (240, 240, 240),
    "black": (15, 15, 15),
}
SHAPES = {"circle", "square", "triangle", "star", "cross", "ring"}
SINGULAR = {**{shape + "s": shape for shape in SHAPES}, "crosses": "cross", **{s: s for s in SHAPES}}

HAND_PLAN = VideoPlan(
    split="test",
    number=7,
    scenes=(
        Scene(color="orange", shape="cross", copies=2, start=0, stop=10),
        Scene(color="blue", shape="ring", copies=1, start=10, stop=32),
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("moving_shapes")
    generate(path, seed=3, **COUNTS, workers=2, progress=False)
    return path


@pytest.fixture(scope="module")
def plans() -> list[VideoPlan]:
    """Enough videos for statistics of the texts; no files."""
    return plan_split(split="train", count=1500, seed=11, scenes=(2, 3))


@pytest.fixture(scope="module")
def held_out() -> list[VideoPlan]:
    return plan_split(split="test", count=300, seed=11, scenes=(2, 3))


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def videos(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("videos/*/*"))}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def words_of(text: str) -> tuple[str, str]:
    """The colour and the shape that a description names."""
    words = text.split()
    (color,) = [word for word in words if word in NAMED_RGB]
    (shape,) = [SINGULAR[word] for word in words if word in SINGULAR]
    return color, shape


def shown(plan: VideoPlan) -> set[tuple[str, str]]:
    return {(scene.color, scene.shape) for scene in plan.scenes}


# --- Videos ---


def test_the_same_seed_gives_the_same_bytes_and_rows_however_many_processes(folder: Path, tmp_path: Path) -> None:
    generate(tmp_path, seed=3, **COUNTS, workers=1, progress=False)
    assert videos(tmp_path) == videos(folder)
    for config in moving_shapes.CONFIGS:
        first = load_moving_shapes(config, folder, progress=False)
        second = load_moving_shapes(config, tmp_path, progress=False)
        for split in COUNTS:
            assert first[split].remove_columns("video")[:] == second[split].remove_columns("video")[:]


def test_another_seed_gives_other_videos(folder: Path, tmp_path: Path) -> None:
    generate(tmp_path, seed=4, train=0, validation=0, test=10, progress=False)
    assert not set(videos(tmp_path).values()) & set(videos(folder).values())
    assert [plan.scenes for plan in read_plans(tmp_path, "test")] != [
        plan.scenes for plan in read_plans(folder, "test")[:10]
    ]


def test_files_have_the_promised_form(folder: Path) -> None:
    for plan in read_plans(folder, "test")[:8]:
        with av.open(str(folder / plan.file)) as container:
            stream = container.streams.video[0]
            frames = list(container.decode(stream))
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height, stream.frames) == (64, 64, 32)
            assert stream.average_rate == 4
        assert [float(frame.time) for frame in frames] == [number / 4 for number in range(32)]
        assert [number for number, frame in enumerate(frames) if frame.key_frame] == [0, 8, 16, 24]


def test_the_named_color_is_in_the_pixels_of_its_scene_and_no_other_is(folder: Path) -> None:
    names, palette = list(NAMED_RGB), np.array(list(NAMED_RGB.values()), np.int16)
    for plan in [*read_plans(folder, "test"), *read_plans(folder, "validation")]:
        frames = decode(folder / plan.file).reshape(32, -1, 1, 3).astype(np.int16)
        for scene in plan.scenes:
            moments = [scene.start, (scene.start + scene.stop) // 2, scene.stop - 1]
            distance = np.abs(frames[moments] - palette).max(-1)  # (moments, pixels, colours)
            found = np.where(distance.min(-1) < 40, distance.argmin(-1), -1)
            counts = np.stack([(found == index).sum(1) for index in range(8)], axis=1)
            assert (counts.argmax(1) == names.index(scene.color)).all(), (plan.id, scene)
            assert (counts.max(1) > 60).all(), (plan.id, scene)


def naive_shape(mask: np.ndarray) -> str:
    """Tell the shape from its silhouette by rules that know nothing of how it was drawn."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = box.shape
    if not box[height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1].any():
        return "ring"
    fill = box.mean()
    if fill > 0.68:
        return "square" if fill > 0.9 else "circle"
    feet = box[-max(2, height // 6) :, width // 3 : -(width // 3)]
    if feet.mean() < 0.5:
        return "star"
    third = height // 3
    return "triangle" if box[-third:].sum() > 2 * box[:third].sum() else "cross"


def test_the_named_shape_is_in_the_pixels(folder: Path) -> None:
    told: Counter[tuple[str, str]] = Counter()
    for plan in [*read_plans(folder, "test"), *read_plans(folder, "train")]:
        frames = decode(folder / plan.file).astype(int)
        for scene in plan.scenes:
            if scene.copies == 1:
                middle = frames[(scene.start + scene.stop) // 2]
                # The two sides of the edge are told apart at half the contrast to the background.
                background = np.median(middle.reshape(-1, 3), axis=0)
                color = np.array(NAMED_RGB[scene.color])
                mask = np.abs(middle - color).sum(-1) < np.abs(middle - background).sum(-1)
                told[scene.shape, naive_shape(mask)] += 1
    assert {shape for shape, _ in told} == SHAPES
    wrong = sum(count for (shape, guess), count in told.items() if shape != guess)
    assert wrong <= 0.03 * sum(told.values()), told


def test_scenes_change_at_the_planned_frame_only(folder: Path) -> None:
    for plan in read_plans(folder, "test"):
        frames = decode(folder / plan.file).astype(int)
        change = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
        cuts = [scene.start for scene in plan.scenes[1:]]
        inside = [number for number in range(1, 32) if number not in cuts]
        assert min(change[cut - 1] for cut in cuts) > 2 * max(change[number - 1] for number in inside)


# --- Plans ---


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), bounds=st.tuples(st.integers(2, 5), st.integers(2, 5)).map(lambda x: sorted(x)))
def test_plans_hold_what_they_promise(seed: int, bounds: list[int]) -> None:
    drawn = plan_split(split="validation", count=4, seed=seed, scenes=(bounds[0], bounds[1]))
    assert drawn[:2] == plan_split(split="validation", count=2, seed=seed, scenes=(bounds[0], bounds[1]))
    for number, plan in enumerate(drawn):
        assert plan.number == number
        assert bounds[0] <= len(plan.scenes) <= bounds[1]
        assert [scene.start for scene in plan.scenes] == [0, *(scene.stop for scene in plan.scenes[:-1])]
        assert plan.scenes[-1].stop == 32
        assert all(scene.stop - scene.start >= 5 and 1 <= scene.copies <= 3 for scene in plan.scenes)
        assert len({scene.color for scene in plan.scenes}) == len(plan.scenes)
        assert len({scene.shape for scene in plan.scenes}) == len(plan.scenes)
        assert VideoPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
        check_texts(plan, rng(seed))


def check_texts(plan: VideoPlan, generator: np.random.Generator) -> None:
    """All texts of a video are true, where they should be, and use known words."""
    known = set(vocabulary())
    for row in qa_rows(plan, generator):
        assert row["answer"] == true_answer(plan, row["question"])
        assert set(row["question"].split()) | {row["answer"]} <= known
    for row in multiple_choice_rows(plan, generator):
        assert len(set(row["options"])) == 5
        truth = [is_right(plan, row["question"], option) for option in row["options"]]
        assert truth == [index == row["answer"] for index in range(5)], row
        assert set(" ".join([row["question"], *row["options"]]).split()) <= known
    for row in retrieval_rows(plan, generator, captions=3):
        assert {words_of(part) for part in row["caption"].split(" , ")} == shown(plan)
        assert set(row["caption"].split()) <= known
    for row in pretraining_rows(plan, generator, captions=7, fps=4):
        check_pretraining_row(plan, row)
        assert set(" ".join([row["caption"], *row["hard_negatives"]]).split()) <= known


def true_answer(plan: VideoPlan, question: str) -> str:
    """Answer by looking at the plan, as a person would at the video."""
    words = question.split()
    if words[0] == "is":
        return "yes" if words_of(question) in shown(plan) else "no"
    if words[1] == "color":
        return {shape: color for color, shape in shown(plan)}[words[-2]]
    return dict(shown(plan))[words[-2]]


def is_right(plan: VideoPlan, question: str, option: str) -> bool:
    if question == "what can be seen ?":
        return words_of(option) in shown(plan)
    return option == true_answer(plan, question)


def check_pretraining_row(plan: VideoPlan, row: dict[str, Any]) -> None:
    (scene,) = [scene for scene in plan.scenes if scene.start / 4 == row["start"]]
    assert row["end"] == scene.stop / 4
    assert words_of(row["caption"]) == (scene.color, scene.shape)
    number = {"one": 1, "two": 2, "three": 3}
    assert all(number[word] == scene.copies for word in row["caption"].split() if word in number)
    kinds: Counter[tuple[bool, bool]] = Counter()
    for negative in row["hard_negatives"]:
        color, shape = words_of(negative)
        assert (color, shape) not in shown(plan)
        kinds[color != scene.color, shape != scene.shape] += 1
    assert kinds == {(False, True): 4, (True, False): 3, (True, True): 3}
    assert len(set(row["hard_negatives"])) == 10
    key = [word for word in row["caption"].split() if word in {*NAMED_RGB, *SINGULAR, *number}]
    assert row["key_words"] == key


def test_splits_and_evaluation_videos_differ(folder: Path) -> None:
    content = videos(folder)
    assert len(content) == len(set(content.values())) == sum(COUNTS.values())
    test = plan_split(split="test", count=200, seed=0, scenes=(3, 4))
    assert len({frozenset(shown(plan)) for plan in test}) == 200


# --- Rows ---


def test_every_field_of_every_config(folder: Path) -> None:
    text, number = Value("string"), Value("float64")
    common = {"id": text, "video": text}
    expected = {
        "qa": {**common, "question": text, "answer": text, "answer_type": text},
        "retrieval": {**common, "caption": text},
        "multiple_choice": {**common, "question": text, "options": List(text), "answer": Value("int64")},
        "pretraining": {
            **common,
            **{"start": number, "end": number, "caption": text},
            **{"hard_negatives": List(text), "key_words": List(text)},
        },
    }
    for config in moving_shapes.CONFIGS:
        data = load_moving_shapes(config, folder, progress=False)
        assert list(data) == ["train", "validation", "test"]
        for split, rows in data.items():
            assert dict(rows.features) == expected[config]
            assert len(set(rows["id"])) == len(rows)
            videos = list(dict.fromkeys(rows["video"]))  # the rows of a video stand together
            assert videos == [str(folder / plan.file) for plan in read_plans(folder, split)]
            assert all(Path(video).is_file() for video in videos)
            for row in rows.select(range(6)):
                assert row["id"].startswith(Path(row["video"]).stem + "_")


def test_row_counts(folder: Path) -> None:
    scenes = {split: [len(plan.scenes) for plan in read_plans(folder, split)] for split in COUNTS}
    sizes = {
        config: {split: len(rows) for split, rows in load_moving_shapes(config, folder, progress=False).items()}
        for config in moving_shapes.CONFIGS
    }
    six_each = {split: 6 * count for split, count in COUNTS.items()}
    assert sizes["qa"] == sizes["multiple_choice"] == six_each
    orders = {2: 2, 3: 6}
    assert sizes["retrieval"] == {**COUNTS, "train": sum(orders[count] for count in scenes["train"])}
    assert sizes["pretraining"] == {
        "train": 4 * sum(scenes["train"]),
        "validation": sum(scenes["validation"]),
        "test": sum(scenes["test"]),
    }
    fewer = load_moving_shapes("retrieval", folder, captions_per_video=1, progress=False)
    assert len(fewer["train"]) == COUNTS["train"]


def test_texts_of_a_video_by_hand() -> None:
    questions = {(row["question"], row["answer"], row["answer_type"]) for row in qa_rows(HAND_PLAN, rng())}
    assert {
        ("what color is the cross ?", "orange", "color"),
        ("what color is the ring ?", "blue", "color"),
        ("what shape is orange ?", "cross", "shape"),
        ("what shape is blue ?", "ring", "shape"),
    } < questions
    existence = sorted(answer for _, answer, kind in questions if kind == "existence")
    assert existence == ["no", "yes"]
    captions = {row["caption"] for row in retrieval_rows(HAND_PLAN, rng(), captions=6)}
    assert captions == {"an orange cross , a blue ring", "a blue ring , an orange cross"}
    rows = list(pretraining_rows(HAND_PLAN, rng(), captions=7, fps=4))
    assert [row["caption"] for row in sorted(rows[:7], key=lambda row: row["caption"])] == [
        "an orange cross",
        "the color of the cross is orange",
        "the cross is orange",
        "the shape is a cross and the color is orange",
        "there are two crosses and the color is orange",
        "there are two orange crosses",
        "two orange crosses",
    ]
    assert {(row["start"], row["end"]) for row in rows[7:]} == {(2.5, 8.0)}
    assert "there is one blue ring" in {row["caption"] for row in rows[7:]}
    assert rows[0]["id"] == "test_00007_0_0"


# --- Nothing is answered by the text alone ---


def blind_accuracy(train: list[dict[str, Any]], test: list[dict[str, Any]]) -> float:
    """Always give a question's most frequent training answer."""
    seen: dict[str, Counter[str]] = {}
    for row in train:
        seen.setdefault(row["question"], Counter())[row["answer"]] += 1
    right = [seen[row["question"]].most_common(1)[0][0] == row["answer"] for row in test]
    return float(np.mean(right))


def test_open_ended_questions_need_the_video(plans: list[VideoPlan], held_out: list[VideoPlan]) -> None:
    train = [row for plan in plans for row in qa_rows(plan, rng(plan.number))]
    test = [row for plan in held_out for row in qa_rows(plan, rng(plan.number))]
    assert blind_accuracy(train, test) < 0.32  # 26.4 % by chance
    for kind, share in (("color", 1 / 8), ("shape", 1 / 6), ("existence", 1 / 2)):
        answers = Counter(row["answer"] for row in train if row["answer_type"] == kind)
        assert len(answers) == round(1 / share)
        assert all(abs(count / 3000 - share) < 0.03 for count in answers.values()), answers
        of_kind = [row for row in test if row["answer_type"] == kind]
        assert abs(blind_accuracy(train, of_kind) - share) < 0.07
    # The place of a question within its video says nothing either.
    yes = Counter(row["id"][-1] for row in train if row["answer"] == "yes")
    assert max(yes.values()) < 1.3 * min(yes.values())


def test_half_of_the_no_questions_mix_two_scenes(plans: list[VideoPlan]) -> None:
    mixed = []
    for plan in plans:
        (question,) = [row["question"] for row in qa_rows(plan, rng(plan.number)) if row["answer"] == "no"]
        color, shape = words_of(question)
        scenes = plan.scenes
        mixed.append(color in {s.color for s in scenes} and shape in {s.shape for s in scenes})
    assert abs(np.mean(mixed) - 0.5) < 0.05


def guesses(row: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Ways to choose an option without a video."""
    options = [set(option.split()) for option in row["options"]]
    overlap = [sum(len(option & other) for other in options) for option in options]
    yield "closest to the others", int(np.argmax(overlap))
    yield "furthest from the others", int(np.argmin(overlap))
    yield "first", 0
    yield "last", 4
    yield "alphabetic", row["options"].index(min(row["options"]))


def test_multiple_choice_needs_the_video(plans: list[VideoPlan]) -> None:
    right: dict[tuple[str, str], list[bool]] = {}
    for plan in plans:
        for row in multiple_choice_rows(plan, rng(plan.number)):
            kind = row["question"].split()[1]
            for name, guess in guesses(row):
                right.setdefault((kind, name), []).append(guess == row["answer"])
    assert {kind for kind, _ in right} == {"color", "shape", "can"}
    for key, hits in right.items():
        assert abs(np.mean(hits) - 0.2) < 0.035, (key, np.mean(hits))


def test_wrong_descriptions_share_colors_and_shapes_with_the_video(plans: list[VideoPlan]) -> None:
    for plan in plans[:200]:
        for row in multiple_choice_rows(plan, rng(plan.number)):
            if row["question"] == "what can be seen ?":
                parts = [words_of(option) for option in row["options"]]
                assert len({color for color, _ in parts}) == 3
                assert len({shape for _, shape in parts}) == 2
                assert sum(color in {s.color for s in plan.scenes} for color, _ in parts) >= 3


# --- Resuming, growing, refusing ---


def test_resume_writes_only_what_is_missing_or_torn(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    gone, torn, empty = (copy / plan.file for plan in read_plans(copy, "train")[:3])
    gone.unlink()
    torn.write_bytes(torn.read_bytes()[:-500])
    empty.write_bytes(b"")
    done = generate(copy, seed=3, **COUNTS, progress=False)
    assert (done.written, done.kept) == (3, sum(COUNTS.values()) - 3)
    assert videos(copy) == videos(folder)


def test_a_split_grows_without_changing_what_it_has(folder: Path, tmp_path: Path) -> None:
    generate(tmp_path, seed=3, train=4, validation=0, test=3, progress=False)
    first = load_moving_shapes("qa", tmp_path, progress=False)
    assert {split: len(rows) for split, rows in first.items()} == {"train": 24, "test": 18}
    done = generate(tmp_path, seed=3, train=6, validation=2, test=3, progress=False)
    assert (done.written, done.kept) == (4, 7)
    grown = load_moving_shapes("qa", tmp_path, progress=False)  # never the cached rows of before
    assert {split: len(rows) for split, rows in grown.items()} == {"train": 36, "validation": 12, "test": 18}
    assert grown["train"][:24] == first["train"][:]
    assert videos(tmp_path).items() <= videos(folder).items()


def test_a_moved_folder_and_an_edited_annotation_are_read_anew(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    load_moving_shapes("retrieval", old, train=0, validation=0, test=2, progress=False)
    old.rename(new)
    rows = load_moving_shapes("retrieval", new, progress=False)["test"]
    assert [Path(video).parent.parent.parent for video in rows["video"]] == [new, new]
    path = new / "annotations" / "test.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    for scene, color in zip(line["scenes"], ("white", "black", "red"), strict=False):
        scene["color"] = color
    path.write_text(json.dumps(line) + "\n" + path.read_text().splitlines()[1] + "\n")
    edited = MovingShapes(config_name="retrieval", data_dir=new)
    edited.download_and_prepare()
    assert {"white", "black"} <= set(edited.as_dataset()["test"]["caption"][0].split())


def test_streaming_gives_the_same_rows(folder: Path) -> None:
    builder = MovingShapes(config_name="multiple_choice", data_dir=folder)
    streamed = list(builder.as_streaming_dataset("validation"))
    assert streamed == list(load_moving_shapes("multiple_choice", folder, progress=False)["validation"])


def test_other_parameters_are_refused_and_nothing_is_overwritten(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts}
    with pytest.raises(DatasetError, match=r"seed 3, but seed 5 was asked for"):
        generate(folder, seed=5, **COUNTS, progress=False)
    with pytest.raises(DatasetError, match=r"scenes \[2, 3\], but scenes \[3, 4\]"):
        load_moving_shapes("retrieval", folder, scenes=(3, 4), progress=False)
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"train": -1}, "train must be a number of videos from 0 to 99999, not -1"),
        ({"train": 0, "validation": 0, "test": 0}, "nothing to generate"),
        ({"scenes": (1, 3)}, r"within 2 to 5, not \(1, 3\)"),
        ({"scenes": (4, 3)}, r"within 2 to 5, not \(4, 3\)"),
        ({"workers": 0}, "workers must be at least 1, not 0"),
    ],
)
def test_options_out_of_range(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        generate(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_folders_that_are_not_ours(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no moving_shapes\.json: generate"):
        MovingShapes(config_name="qa", data_dir=tmp_path)
    (tmp_path / "videos").mkdir()
    with pytest.raises(DatasetError, match=r"holds a folder 'videos' but no moving_shapes\.json"):
        generate(tmp_path, test=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="a file of that name exists"):
        generate(tmp_path / "file", test=1)
    with pytest.raises(DatasetError, match="config must be one of qa, retrieval"):
        load_moving_shapes("captions", tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "must hold a JSON object, not list"), ("{}", "is not a manifest")],
)
def test_damaged_manifest(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "moving_shapes.json").write_text(content)
    with pytest.raises(DatasetError, match=message) as caught:
        generate(tmp_path, test=1)
    assert isinstance(caught.value, ClipBertError)
    assert isinstance(caught.value, ValueError)


def test_incomplete_folders_are_noticed_before_any_row_is_made(tmp_path: Path) -> None:
    generate(tmp_path, train=0, validation=0, test=2, progress=False)
    path = tmp_path / "annotations" / "test.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0])
    with pytest.raises(DatasetError, match="lists 1 videos instead of 2"):
        MovingShapes(config_name="qa", data_dir=tmp_path)
    path.write_text(lines[0] + "{}\n")
    with pytest.raises(DatasetError, match=r"test\.jsonl, line 2, is not an annotation"):
        MovingShapes(config_name="qa", data_dir=tmp_path)
    path.write_text("".join(lines))
    (tmp_path / "videos" / "test" / "test_00001.mp4").unlink()
    with pytest.raises(DatasetError, match=r"1 videos are missing .* videos/test/test_00001\.mp4"):
        MovingShapes(config_name="qa", data_dir=tmp_path)


def test_torn_files_are_told_from_complete_ones(tmp_path: Path) -> None:
    content = encode_mp4(np.zeros((3, 64, 64, 3), np.uint8))
    path = tmp_path / "video.mp4"
    assert not is_complete_mp4(path)
    write_atomically(path, content)
    assert is_complete_mp4(path)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert not is_complete_mp4(path)
    path.write_bytes(bytes(len(content)))
    assert not is_complete_mp4(path)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


# --- Command line ---


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_command_is_resumed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--output", str(tmp_path / "data"), "--seed", "3", "--workers", "2"]
    arguments += [f"--{split}={count}" for split, count in {**COUNTS, "train": 2000}.items()]
    root = Path(moving_shapes.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "datasets_scripts.moving_shapes", *arguments],
        stderr=subprocess.DEVNULL,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("data/videos/train/*.mp4"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert process.wait() == -9
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, workers))
    there = {path.name for path in tmp_path.glob("data/videos/*/*.mp4")}
    assert 20 <= len(there) < 2000
    with pytest.raises(DatasetError, match="lists 0 videos instead of 2000"):
        MovingShapes(config_name="qa", data_dir=tmp_path / "data")

    smaller = [argument.replace("train=2000", f"train={COUNTS['train']}") for argument in arguments]
    assert moving_shapes.main([*smaller, "--no-progress"]) == 0
    summary = capsys.readouterr().out
    kept = len(there & set(videos(folder)))
    assert f"{sum(COUNTS.values()) - kept} videos written, {kept} kept" in summary
    assert "train             80" in summary
    assert {name: videos(tmp_path / "data")[name] for name in videos(folder)} == videos(folder)


def test_command_line_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert moving_shapes.main(["--output", str(folder), "--seed", "9"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {folder} holds videos made with seed 3")
