"""Frame indices of clips: the recorded cases, a table made by hand, and properties that hold for any video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.errors import InvalidInputError
from clipbert_hf.video.sampling import (
    SAMPLING_STRATEGIES,
    clip_seconds,
    frames_on_screen,
    sample_clip_indices,
)

CASES = json.loads((Path(__file__).parents[1] / "data" / "sampling_cases.json").read_text())

videos = {
    "video_frames": st.integers(1, 1_000_000),
    "video_fps": st.floats(0.05, 1000),
    "num_clips": st.integers(1, 20),
    "num_frames": st.integers(1, 20),
    "target_fps": st.floats(0.05, 100),
}


def test_reproduces_all_published_cases_within_one_frame() -> None:
    assert len(CASES) == 225
    for case in CASES:
        indices = sample_clip_indices(
            video_frames=case["video_frames"],
            video_fps=case["video_fps"],
            num_clips=case.get("num_clips", 1),
            num_frames=case["num_frames"],
            target_fps=case["target_fps"],
            strategy=case.get("strategy", "dense"),
        )
        assert indices.shape == np.shape(case["indices"]), case
        assert np.abs(indices - np.array(case["indices"])).max() <= 1, case


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # L = 2 / 2 * 25 = 25 frames, delta = 75: starts 0, 25, 50; the last frame of a clip is start + 24
        ({"video_frames": 100, "video_fps": 25, "num_clips": 3}, [[0, 24], [25, 49], [50, 74]]),
        # starts 0, 37.5: 37.5 -> 37 and 61.5 -> 61
        ({"video_frames": 100, "video_fps": 25, "num_clips": 2}, [[0, 24], [37, 61]]),
        ({"video_frames": 100, "video_fps": 25, "strategy": "middle"}, [[25, 49]]),
        ({"video_frames": 100, "video_fps": 25, "strategy": "end"}, [[50, 74]]),
        ({"video_frames": 100, "video_fps": 25, "strategy": "start", "num_clips": 2}, [[0, 24], [0, 24]]),
        ({"video_frames": 100, "video_fps": 25, "strategy": "uniform", "num_frames": 4}, [[0, 33, 66, 99]]),
        # L = 30 > 12 frames: every clip starts at 0 and its end is clamped to the last frame
        ({"video_frames": 12, "video_fps": 30, "num_clips": 2}, [[0, 11], [0, 11]]),
        ({"video_frames": 1, "video_fps": 1, "num_clips": 2}, [[0, 0], [0, 0]]),
        # a clip of less than one frame: T / target_fps * fps = 0.5
        ({"video_frames": 4, "video_fps": 0.5, "num_clips": 2}, [[0, 0], [1, 1]]),
        # one frame a clip is the first of its L = 12.5 frames
        ({"video_frames": 100, "video_fps": 25, "num_frames": 1, "num_clips": 2}, [[0], [43]]),
        ({"video_frames": 7, "video_fps": 25, "num_frames": 1, "strategy": "uniform"}, [[0]]),
    ],
)
def test_by_hand(arguments: dict[str, Any], expected: list[list[int]]) -> None:
    indices = sample_clip_indices(**{"num_frames": 2, "target_fps": 2.0, **arguments})
    assert indices.dtype == np.int64
    assert indices.tolist() == expected


@given(**videos, strategy=st.sampled_from(SAMPLING_STRATEGIES), seed=st.integers(0, 2**32))
def test_indices_are_inside_the_video_and_never_go_back(seed: int, **arguments: Any) -> None:
    indices = sample_clip_indices(**arguments, generator=np.random.default_rng(seed))
    assert indices.shape == (arguments["num_clips"], arguments["num_frames"])
    assert indices.min() >= 0
    assert indices.max() < arguments["video_frames"]
    assert (np.diff(indices, axis=1) >= 0).all()


@given(**videos)
def test_inference_clips_start_in_order_and_within_the_room(**arguments: Any) -> None:
    starts = sample_clip_indices(**arguments, strategy="dense")[:, 0]
    length = arguments["num_frames"] * arguments["video_fps"] / arguments["target_fps"]
    assert starts[0] == 0
    assert (np.diff(starts) >= 0).all()
    assert starts[-1] <= max(arguments["video_frames"] - length, 0)


@given(**videos, seed=st.integers(0, 2**32))
def test_equal_seeds_give_equal_clips(seed: int, **arguments: Any) -> None:
    first, second = (
        sample_clip_indices(**arguments, strategy="random", generator=np.random.default_rng(seed)) for _ in range(2)
    )
    assert (first == second).all()


def test_random_clips_cover_the_room_evenly_and_independently() -> None:
    generator = np.random.default_rng(0)
    clips = sample_clip_indices(
        video_frames=1000, video_fps=25, num_clips=20_000, num_frames=2, strategy="random", generator=generator
    )
    starts = clips[:, 0]
    assert (np.abs(clips[:, 1] - starts - 24) <= 1).all()
    assert starts.min() < 5
    assert 970 <= starts.max() <= 975
    # uniform over 0 … 975: mean 487.5, standard deviation 281.5
    assert abs(starts.mean() - 487.5) < 8
    assert abs(starts.std() - 281.5) < 5
    assert abs(np.corrcoef(starts[:-1], starts[1:])[0, 1]) < 0.03


def test_random_without_a_generator_is_not_constant() -> None:
    draws = {
        tuple(sample_clip_indices(video_frames=100_000, video_fps=25, strategy="random").ravel()) for _ in range(5)
    }
    assert len(draws) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"video_frames": 0}, "video_frames must be an integer of at least 1, got 0"),
        ({"video_frames": 2.5}, "video_frames must be an integer"),
        ({"num_clips": 0}, "num_clips must be"),
        ({"num_clips": True}, "num_clips must be"),
        ({"num_frames": -1}, "num_frames must be"),
        ({"video_fps": 0}, "video_fps must be a positive number, got 0"),
        ({"video_fps": float("nan")}, "video_fps must be"),
        ({"target_fps": float("inf")}, "target_fps must be"),
        ({"target_fps": "2"}, "target_fps must be"),
        ({"strategy": "all"}, "strategy must be one of 'random', 'dense', 'start', 'middle', 'end', 'uniform'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        sample_clip_indices(**{"video_frames": 10, "video_fps": 25, **arguments})


def test_seconds_of_clips_at_a_constant_rate() -> None:
    seconds = clip_seconds(np.array([[0, 24], [50, 74], [99, 99]]), video_fps=25)
    np.testing.assert_allclose(seconds, [[0, 1], [2, 3], [3.96, 4]])


def test_seconds_of_clips_at_a_variable_rate() -> None:
    shown_at = np.array([0.0, 0.1, 2.0, 2.1])
    seconds = clip_seconds(np.array([[0, 1], [2, 2], [1, 3]]), video_fps=2, frame_seconds=shown_at)
    np.testing.assert_allclose(seconds, [[0, 2.0], [2.0, 2.1], [0.1, 2.6]])


@pytest.mark.parametrize("indices", [np.array([1, 2]), np.zeros((2, 0), dtype=int)])
def test_seconds_need_a_matrix(indices: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match=r"indices must have shape \(num_clips, num_frames\)"):
        clip_seconds(indices, video_fps=25)


# -- by time -----------------------------------------------------------------------------------------------------


def test_frames_on_screen_by_hand() -> None:
    # shown at 0, 0.1, 0.2 and then nothing new until 3.0; a clock of one tick a second looks at 0.5, 1.5, 2.5, 3.5
    shown_at = np.array([0.0, 0.1, 0.2, 3.0])
    assert frames_on_screen(np.arange(4), video_fps=1, frame_seconds=shown_at).tolist() == [2, 2, 2, 3]
    ticks = np.array([[0, 3], [2, 2]])
    assert frames_on_screen(ticks, video_fps=1, frame_seconds=shown_at).tolist() == [[2, 3], [2, 2]]


@given(
    frames=st.integers(1, 300),
    fps=st.sampled_from([5, 10, 23.976, 24, 25, 29.97, 30, 59.94, 60]),
    jitter=st.floats(0, 0.49),
    seed=st.integers(0, 99),
)
def test_at_a_constant_rate_time_and_frames_are_the_same(frames: int, fps: float, jitter: float, seed: int) -> None:
    ticks = np.arange(frames)
    noise = np.random.default_rng(seed).uniform(-jitter, jitter, frames)
    for shown_at in ((ticks + noise) / fps, np.round(ticks / fps, 3)):  # the latter as Matroska stores times
        assert frames_on_screen(ticks, video_fps=fps, frame_seconds=shown_at).tolist() == ticks.tolist()


@given(
    gaps=st.lists(st.floats(0.001, 100), min_size=1, max_size=50),
    num_clips=st.integers(1, 8),
    num_frames=st.integers(1, 8),
    strategy=st.sampled_from(SAMPLING_STRATEGIES),
    seed=st.integers(0, 2**32),
)
def test_frames_on_screen_are_in_the_video_in_order_and_close(
    gaps: list[float], num_clips: int, num_frames: int, strategy: Any, seed: int
) -> None:
    shown_at = np.concatenate([[0.0], np.cumsum(gaps)])
    fps = len(gaps) / shown_at[-1]
    ticks = sample_clip_indices(
        video_frames=len(shown_at),
        video_fps=fps,
        num_clips=num_clips,
        num_frames=num_frames,
        strategy=strategy,
        generator=np.random.default_rng(seed),
    )
    frames = frames_on_screen(ticks, video_fps=fps, frame_seconds=shown_at)
    assert frames.shape == ticks.shape
    assert frames.min() >= 0
    assert frames.max() < len(shown_at)
    assert (np.diff(frames, axis=1) >= 0).all()
    gone_at = np.append(shown_at[1:], np.inf)
    middle = (ticks + 0.5) / fps
    assert (shown_at[frames] <= middle).all()
    assert (middle <= gone_at[frames]).all()


def test_frames_on_screen_need_frames() -> None:
    with pytest.raises(InvalidInputError, match="frame_seconds must have shape"):
        frames_on_screen(np.array([0]), video_fps=1, frame_seconds=np.array([]))
    with pytest.raises(InvalidInputError, match="video_fps must be a positive number"):
        frames_on_screen(np.array([0]), video_fps=0, frame_seconds=np.array([0.0]))
