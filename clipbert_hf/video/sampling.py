"""Which frames of a video make up its clips: index arithmetic only, no I/O (paper, section 3.1).

Legend: K clips, T frames a clip. A clip covers T / target_fps seconds, that is
``L = T * video_fps / target_fps`` frames, and is seen at T equally spaced positions from its first to
its last frame. ``delta = max(video_frames - L, 0)`` is the room that its start can move in.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from ..errors import InvalidInputError

SamplingStrategy = Literal["random", "dense", "start", "middle", "end", "uniform"]
SAMPLING_STRATEGIES: tuple[str, ...] = get_args(SamplingStrategy)

# Positions such as 2.9999999999999996 mean 3; real positions never come this close below an integer.
_ROUNDING_SLACK = 1e-6


def sample_clip_indices(
    *,
    video_frames: int,
    video_fps: float,
    num_clips: int = 1,
    num_frames: int = 1,
    target_fps: float = 2.0,
    strategy: SamplingStrategy = "dense",
    generator: np.random.Generator | None = None,
) -> np.ndarray:
    """Choose the frames of each clip of one video.

    A clip that is longer than the video is clamped to it: its late positions repeat the last frame.

    Args:
        video_frames: Number of frames in the video, at least 1.
        video_fps: Frames per second of the video.
        num_clips: Number of clips, K.
        num_frames: Number of frames in a clip, T.
        target_fps: Frames per second seen inside a clip; with T it fixes the clip's length in seconds.
        strategy: Where clips start. ``"random"`` (training): each clip independently and uniformly at random.
            ``"dense"`` (inference): clip i starts at ``delta * i / K``. ``"start"``, ``"middle"``,
            ``"end"``: at 0, ``delta / 3`` and ``2 * delta / 3``, the same for all K clips. ``"uniform"``: no
            clip length, the T frames are spread over the whole video, the same for all K clips.
        generator: Source of randomness for ``"random"``; a fresh unseeded one by default.

    Returns:
        Frame indices, int64, shape (num_clips, num_frames), non-decreasing along each row.

    Raises:
        InvalidInputError: If a number is not positive or the strategy unknown.

    Examples:
        >>> sample_clip_indices(video_frames=100, video_fps=25, num_clips=3, num_frames=2).tolist()
        [[0, 24], [25, 49], [50, 74]]
        >>> sample_clip_indices(video_frames=100, video_fps=25, num_frames=3, strategy="uniform").tolist()
        [[0, 49, 99]]
    """
    _require_positive_integers(video_frames=video_frames, num_clips=num_clips, num_frames=num_frames)
    _require_positive_numbers(video_fps=video_fps, target_fps=target_fps)
    if strategy not in SAMPLING_STRATEGIES:
        allowed = ", ".join(map(repr, SAMPLING_STRATEGIES))
        raise InvalidInputError(f"strategy must be one of {allowed}, got {strategy!r}")

    clip_length = float(video_frames) if strategy == "uniform" else num_frames * video_fps / target_fps
    starts = _clip_starts(max(video_frames - clip_length, 0.0), num_clips, strategy, generator)  # (K,)
    offsets = np.linspace(0.0, max(clip_length - 1.0, 0.0), num_frames)  # (T,)
    positions = np.minimum(starts[:, None] + offsets, video_frames - 1)  # (K, T)
    return np.floor(positions + _ROUNDING_SLACK).astype(np.int64)


def ticks_of_clock(*, video_fps: float, duration: float) -> int:
    """Count the ticks of a clock at a video's mean rate for as long as the video lasts.

    They are as many as the frames in a video of constant rate, and more where the last frame stands for long.

    Args:
        video_fps: Mean frames per second of the video.
        duration: Its length in seconds.

    Returns:
        The number of ticks, at least 1.

    Raises:
        InvalidInputError: If a number is not positive.

    Examples:
        >>> ticks_of_clock(video_fps=30, duration=59 / 30 + 8)
        299
    """
    _require_positive_numbers(video_fps=video_fps, duration=duration)
    return max(round(video_fps * duration), 1)


def frames_on_screen(ticks: np.ndarray, *, video_fps: float, frame_seconds: np.ndarray) -> np.ndarray:
    """Turn frame indices that assume a constant frame rate into those of the frames that are shown at that time.

    A clock at the video's mean rate counts ``ticks``; the frame for tick i is the one on screen in the middle of the
    tick, at ``(i + 0.5) / video_fps`` seconds. So nothing changes in a video of constant rate, even if its file rounds
    times to milliseconds as Matroska does, and where the rate varies a frame that stands for long is taken often.

    Args:
        ticks: Indices of :func:`sample_clip_indices`, of any shape.
        video_fps: Mean frames per second of the video.
        frame_seconds: When each frame is first shown, in seconds, increasing from 0, shape (video_frames,).

    Returns:
        Frame indices, int64, of the shape of ``ticks``, non-decreasing where these are.

    Raises:
        InvalidInputError: If ``video_fps`` is not positive or there are no frames.

    Examples:
        >>> frames_on_screen(np.array([0, 2, 4]), video_fps=1, frame_seconds=np.array([0.0, 0.2, 0.4, 3.0, 4.0]))
        array([2, 2, 4])
    """
    _require_positive_numbers(video_fps=video_fps)
    if np.ndim(frame_seconds) != 1 or len(frame_seconds) == 0:
        raise InvalidInputError(f"frame_seconds must have shape (video_frames,), got {np.shape(frame_seconds)}")
    middles = (np.asarray(ticks) + 0.5) / video_fps
    return np.maximum(np.searchsorted(frame_seconds, middles, side="right") - 1, 0).astype(np.int64)


def clip_seconds(
    indices: np.ndarray,
    *,
    video_fps: float,
    frame_seconds: np.ndarray | None = None,
    duration: float | None = None,
) -> np.ndarray:
    """Tell which part of the video each clip has seen.

    Args:
        indices: Frame indices of each clip, shape (num_clips, num_frames), non-decreasing along each row.
        video_fps: Frames per second of the video.
        frame_seconds: When each frame of the video is first shown, in seconds, shape (video_frames,), for
            videos of variable frame rate; by default frame i is shown at ``i / video_fps``.
        duration: When the last frame ends, in seconds; by default ``1 / video_fps`` after it is first shown.

    Returns:
        Start of the first and end of the last frame of each clip in seconds, float64, shape (num_clips, 2).

    Raises:
        InvalidInputError: If ``indices`` is not a matrix or ``video_fps`` not positive.

    Examples:
        >>> clip_seconds(np.array([[0, 24], [25, 49]]), video_fps=25).tolist()
        [[0.0, 1.0], [1.0, 2.0]]
    """
    _require_positive_numbers(video_fps=video_fps)
    indices = np.asarray(indices)
    if indices.ndim != 2 or indices.shape[1] == 0:
        raise InvalidInputError(f"indices must have shape (num_clips, num_frames), got {indices.shape}")
    first, last = indices[:, 0], indices[:, -1]
    if frame_seconds is None:
        return np.stack([first / video_fps, (last + 1) / video_fps], axis=1)
    ends = np.append(frame_seconds[1:], frame_seconds[-1] + 1 / video_fps if duration is None else duration)
    return np.stack([frame_seconds[first], ends[last]], axis=1)


def _clip_starts(
    delta: float, num_clips: int, strategy: SamplingStrategy, generator: np.random.Generator | None
) -> np.ndarray:
    """Return where each clip starts, in frames, float64 (num_clips,)."""
    if strategy == "random":
        return (generator or np.random.default_rng()).uniform(0.0, delta, size=num_clips)
    if strategy == "dense":
        return delta * np.arange(num_clips) / num_clips
    # The published procedure cuts the room into thirds; its last start is 2/3, not the end of the video.
    share = {"start": 0.0, "middle": 1 / 3, "end": 2 / 3, "uniform": 0.0}[strategy]
    return np.full(num_clips, share * delta)


def _require_positive_integers(**values: int) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise InvalidInputError(f"{name} must be an integer of at least 1, got {value!r}")


def _require_positive_numbers(**values: float) -> None:
    for name, value in values.items():
        is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value <= 0:
            raise InvalidInputError(f"{name} must be a positive number, got {value!r}")
