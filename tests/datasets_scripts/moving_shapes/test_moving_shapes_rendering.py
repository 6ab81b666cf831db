"""The pixels of MovingShapes: real files, decoded again, show what was planned."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from shapes import NAMED_RGB, SHAPES

from datasets_scripts.moving_shapes import read_plans
from datasets_scripts.moving_shapes.rendering import (
    encode_mp4,
    is_complete_mp4,
    render_coverage,
    render_frames,
    write_atomically,
)


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24", threads=1) for frame in container.decode(video=0)])


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


def test_coverage_is_where_the_color_is(folder: Path) -> None:
    """Fully covered pixels have one colour a scene; others are as smooth as the background."""
    for plan in read_plans(folder, "test")[:6]:
        frames, coverage = render_frames(plan, seed=0), render_coverage(plan, seed=0)
        assert coverage.shape == frames.shape[:3]
        for scene in plan.scenes:
            pixels, covered = frames[scene.start : scene.stop], coverage[scene.start : scene.stop]
            colors = np.unique(pixels[covered == 1], axis=0)
            assert len(colors) == 1
            assert np.abs(colors[0] - np.array(NAMED_RGB[scene.color])).max() <= 15
            background = pixels[covered == 0].astype(int)
            assert (background.max(1) - background.min(1)).max() < 40  # grey
            assert 0.02 < covered.mean() < 0.5
