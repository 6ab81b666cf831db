"""How long a video lasts: until its last frame ends, which may stand for long."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from video_files import numbered_frame

from clipbert_hf import ClipBertVideoProcessor
from clipbert_hf.errors import VideoDecodeError
from clipbert_hf.video.limits import DecodingLimits
from clipbert_hf.video.reading import open_video, probe_video

FRAMES, RATE, HELD = 20, 10, 8.0


def write_held(path: Path, options: dict[str, str], container_options: dict[str, str] | None = None) -> None:
    """Write a video whose last picture stands for eight seconds, the others for a tenth."""
    base = Fraction(1, 1000)
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = base
        packets = []
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            frame.pts, frame.time_base = number * 1000 // RATE, base
            packets += stream.encode(frame)
        for packet in packets + stream.encode(None):
            is_last = packet.pts == (FRAMES - 1) * 1000 // RATE
            packet.duration = int(1000 * HELD) if is_last else 1000 // RATE
            container.mux(packet)


CASES = {
    "plain.mp4": ({"bf": "0"}, None),
    "fragments.mp4": ({"bf": "0"}, {"movflags": "frag_keyframe+empty_moov"}),
    "plain.mov": ({"bf": "0"}, None),
    "plain.mkv": ({"bf": "0"}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_last_picture_stands_long(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_held(path, *CASES[name])
    expected = (FRAMES - 1) / RATE + HELD
    with open_video(path) as video:
        assert video.duration == video.info.duration == pytest.approx(expected, abs=0.002)
        assert (video.frames, video.fps) == (FRAMES, RATE)
    processor = ClipBertVideoProcessor(size={"longest_edge": 32}, num_clips=4, num_frames=2)
    by_frame = processor(path, return_metadata=True)
    by_time = processor(path, return_metadata=True, index_by="time")
    assert by_frame.video_metadata[0].duration == pytest.approx(expected, abs=0.002)
    assert by_frame.frame_indices.tolist() == [[[0, 9], [2, 11], [5, 14], [7, 16]]]
    # Of 99 ticks a clip covers 10, and four fifths of the time is the last picture.
    assert by_time.frame_indices.tolist() == [[[0, 9], [19, 19], [19, 19], [19, 19]]]
    np.testing.assert_allclose(by_time.clip_seconds[0, 1:, 1], expected, atol=0.002)
    with pytest.raises(VideoDecodeError, match="max_duration"):
        probe_video(path, limits=DecodingLimits(max_duration=5))


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_delays_of_animations(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"held.{ending}"
    images = [Image.fromarray(numbered_frame(number)) for number in range(4)]
    lossless = {"lossless": True} if ending == "webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100, 100, 100, 3000], **lossless)
    with open_video(path) as video:
        assert video.duration == pytest.approx(3.3)
        np.testing.assert_allclose(video.frame_seconds, [0, 0.1, 0.2, 0.3])


def test_torn_files_do_not_last_as_long_as_they_say(tmp_path: Path) -> None:
    path = tmp_path / "held.mkv"
    write_held(path, *CASES["plain.mkv"])
    data = path.read_bytes()
    info = probe_video(data[: len(data) * 3 // 4], limits=DecodingLimits(truncated="read"))
    assert info.duration == pytest.approx(info.frames / RATE)
