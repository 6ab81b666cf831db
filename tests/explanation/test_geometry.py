"""Maps lie on the right place of the frame, whatever its proportions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipbert_hf import ClipBertVideoProcessor
from clipbert_hf.errors import InvalidInputError
from clipbert_hf.explanation.geometry import FrameGeometry, peak
from clipbert_hf.explanation.occlusion import occlude, occlusion_windows


def test_table() -> None:
    # 100x200 becomes 32x64 in 64x64: of a 2x2 map the lower row is padding.
    geometry = FrameGeometry.of((100, 200), (64, 64), longest_edge=64)
    assert geometry.content == (32, 64)
    on_frame = geometry.on_frame(np.array([[1.0, 3.0], [50.0, 50.0]]))
    assert on_frame.shape == (100, 200)
    # The lower cells do not touch the picture. Centres of the others are at columns 50 and 150.
    assert on_frame == pytest.approx(np.repeat(on_frame[:1], 100, axis=0))
    assert on_frame[0, :50].tolist() == pytest.approx([1.0] * 50)
    assert on_frame[49, 150:].tolist() == pytest.approx([3.0] * 50)
    assert on_frame[20, 100] == pytest.approx(2, abs=0.02)
    assert geometry.share_on_padding(np.array([[1.0, 1.0], [3.0, 1.0]])) == pytest.approx(4 / 6)
    assert FrameGeometry.of((64, 64), (64, 64), longest_edge=64).share_on_padding(np.ones((2, 2))) == 0


def test_frames_as_they_are() -> None:
    values = np.arange(12.0).reshape(3, 4)
    assert FrameGeometry.of((3, 4), (3, 4), longest_edge=None).on_frame(values) == pytest.approx(values)


SIDES = st.integers(48, 200)


@settings(max_examples=40)
@given(SIDES, SIDES, st.floats(0.15, 0.85), st.floats(0.15, 0.85))
def test_what_the_processor_saw_lies_where_it_was(height: int, width: int, down: float, right: float) -> None:
    """A bright square of a frame, as the processor hands it to the model, comes back to where it was."""
    frame = np.zeros((1, height, width, 3), np.uint8)
    row, column, half = int(down * height), int(right * width), 6
    frame[:, row - half : row + half + 1, column - half : column + half + 1] = 255
    processor = ClipBertVideoProcessor(size={"longest_edge": 96}, num_clips=1, num_frames=1, do_normalize=False)
    seen = processor(torch.from_numpy(frame))["pixel_values_videos"][0, 0, 0].mean(0).numpy()
    geometry = FrameGeometry.of((height, width), seen.shape, longest_edge=96)
    assert not seen[geometry.content[0] :].any()
    assert not seen[:, geometry.content[1] :].any()
    found = peak(geometry.on_frame(seen))
    assert abs(found[0] - row) <= 2
    assert abs(found[1] - column) <= 2


def test_peak_of_a_plateau() -> None:
    values = np.zeros((5, 7))
    values[1:4, 2:7] = 2.0
    assert peak(values) == (2, 4)
    assert peak(np.zeros((3, 3))) == (1, 1)
    values[0, 0] = 2.5
    assert peak(values) == (0, 0)


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.05, 1), st.floats(0.05, 1))
def test_squares_cover_every_pixel(height: int, width: int, window: float, part: float) -> None:
    windows = occlusion_windows((height, width), window=window, step=max(window * part, 1e-3))
    covered = np.zeros((height, width), int)
    for top, left, tall, wide in windows:
        assert 0 <= top <= top + tall <= height
        assert 0 <= left <= left + wide <= width
        covered[top : top + tall, left : left + wide] += 1
    assert covered.min() >= 1
    assert len(set(windows)) == len(windows)


def test_covering() -> None:
    pixels = torch.ones(2, 3, 4, 4)
    covered = occlude(pixels, [(0, 0, 4, 4), (1, 2, 2, 1)])
    assert covered.shape == (2, 2, 3, 4, 4)
    assert covered[0].sum() == 0
    assert covered[1].sum() == 2 * 3 * (16 - 2)
    assert covered[1, :, :, 1:3, 2].sum() == 0
    assert pixels.min() == 1


def test_wrong_input() -> None:
    with pytest.raises(InvalidInputError, match=r"0 < step <= window <= 1; got step 0\.5 and window 0\.25"):
        occlusion_windows((8, 8), window=0.25, step=0.5)
    with pytest.raises(InvalidInputError, match=r"got shape \(3,\)"):
        FrameGeometry((3, 3), (3, 3), (3, 3)).on_frame(np.zeros(3))
