"""The videos: real clips, and two longer ones that are made of them.

The two longer videos join the three real clips, each played in turn, scaled to one size, in x264's default settings:
a keyframe at each cut and at least every 250 frames, three B-frames, three references. That is what re-encoding a clip
for a data set with FFmpeg gives. Keyframes come every 2.5 s, where files from YouTube have one every 2 to 5 s, and the
bit rates are like theirs, 0.5 Mbit/s at 360p and 1.3 at 720p.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import cycle
from pathlib import Path
from typing import Any

import av

from benchmarks.forward_backward import find_video


def make_videos(folder: Path) -> dict[str, Path]:
    """The real clips, and longer videos that are made of them."""
    videos = {name: find_video(f"{name}.mp4") for name in ("bikes", "bigbuckbunny", "carphone_pristine")}
    clips = list(videos.values())
    videos["30 s 720p"] = join_clips(clips, folder / "720p.mp4", 1280, 720, seconds=30)
    videos["3 min 360p"] = join_clips(clips, folder / "360p.mp4", 640, 360, seconds=180)
    return videos


def join_clips(clips: list[Path], target: Path, width: int, height: int, *, seconds: int, fps: int = 25) -> Path:
    """Play clips one after another, again and again, and encode that as H.264 in x264's default settings."""
    frames = []
    for clip in clips:
        with av.open(str(clip)) as container:
            frames += [frame.reformat(width, height, "yuv420p", threads=1) for frame in container.decode(video=0)]
    with av.open(str(target), "w") as container:
        stream: Any = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, frame in zip(range(seconds * fps), cycle(frames), strict=False):
            frame.pts, frame.time_base = number, Fraction(1, fps)
            frame.pict_type = 0  # or the encoder would be made to follow that of the clip
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target
