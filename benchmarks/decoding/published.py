"""What the released code does to read the clips of a video.

Looked up in its repository (jayleicn/ClipBERT at 7f67e7e), and written anew:

- ``src/datasets/dataset_video_retrieval.py`` and ``dataset_video_qa.py`` load clips one after another. Where these are
  spread over the video (uniform), the first asks for the true end of the video and hands it on to the others.
- ``src/datasets/dataset_base.py`` copies the bytes of the whole file into memory for each clip and opens them with
  PyAV, without threads. Sampled frames are resized in float32, then padded.
- ``src/datasets/decoder.py`` finds that end by decoding all of the video; none of these frames is converted, but all
  are held until the clip is decoded, 1.6 GB for the longest video here. A clip is decoded from the keyframe before its
  first frame, less 1024 ticks, to the first frame after its last; only the sampled frames are converted to RGB.
- ``src/datasets/data_utils.py`` takes the mean off on the GPU, which is left out here on all sides: it hands over
  float32, our path bytes, as our training scripts do.
- ``src/configs`` make clips of one second: two frames at 2 fps (MSR-VTT, DiDeMo) or one at 1 fps (TGIF-QA). Single
  frames cost it as much as that second; at 2 fps the ratio of four of them is a fifth smaller.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.decoding.settings import SIDE, Setting
from clipbert_hf import VideoInfo


def published(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """The published procedure; see the top of this file."""
    clips: list[torch.Tensor] = []
    for indices in setting.indices(info, draw):
        seeks_end = setting.strategy == "dense" and not clips
        clips.append(published_clip(io.BytesIO(path.read_bytes()), indices, setting.fps, seeks_end=seeks_end))
    return torch.stack(clips)


def published_clip(data: io.BytesIO, indices: np.ndarray, fps: float, *, seeks_end: bool) -> torch.Tensor:
    """One clip, (frames, 3, L, L)."""
    with single_threaded(data) as container:
        stream = container.streams.video[0]
        whole = published_range(container, 0, math.inf) if seeks_end else {}
        ticks = stream.duration / stream.frames
        length = len(indices) / fps * float(stream.average_rate)
        start = int(indices[0])
        inside = published_range(container, int(start * ticks), int((start + length - 1) * ticks))
        shown = [frame for _, frame in sorted(inside.items())]
        sampled = np.stack([to_rgb(shown[place]) for place in indices - start])
        whole.clear()
    frames = torch.from_numpy(sampled).permute(0, 3, 1, 2).float()
    height, width = frames.shape[-2:]
    size = (height * SIDE // max(height, width), width * SIDE // max(height, width))
    frames = F.interpolate(frames, size=size, mode="bilinear", align_corners=False)
    return F.pad(frames, (0, SIDE - size[1], 0, SIDE - size[0]))


def published_range(container: Any, first: int, last: float) -> dict[int, Any]:
    """Frames by their times, from ``first`` on, up to and with the first one after ``last``."""
    stream = container.streams.video[0]
    container.seek(max(first - 1024, 0), any_frame=False, backward=True, stream=stream)
    frames = {}
    for frame in container.decode(stream):
        if frame.pts >= first:
            frames[frame.pts] = frame
        if frame.pts > last:
            break
    return frames


def to_rgb(frame: Any) -> np.ndarray:
    """Convert a frame, (h, w, 3), in this thread only."""
    return frame.reformat(format="rgb24", threads=1).to_ndarray()


def single_threaded(file: str | io.BytesIO) -> Any:
    """Open a file with PyAV, decoding in this thread only."""
    container = av.open(file)
    container.streams.video[0].codec_context.thread_count = 1
    container.streams.video[0].codec_context.thread_type = "NONE"
    return container
