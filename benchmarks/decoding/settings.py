"""How clips are sampled, and what a way of reading them is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipbert_hf import VideoInfo, sample_clip_indices

SIDE = 448


@dataclass(frozen=True)
class Setting:
    """How clips are sampled."""

    name: str
    clips: int
    frames: int
    fps: float
    strategy: Any
    draws: int = 1

    def indices(self, info: VideoInfo, draw: int) -> np.ndarray:
        """Frame indices (clips, frames), the same for every method."""
        return sample_clip_indices(
            video_frames=info.frames,
            video_fps=info.fps,
            num_clips=self.clips,
            num_frames=self.frames,
            target_fps=self.fps,
            strategy=self.strategy,
            generator=np.random.default_rng(draw),
        )


SETTINGS = (
    Setting("uniform 8x2", 8, 2, 2.0, "dense"),
    Setting("random 4x1", 4, 1, 1.0, "random", draws=8),
    Setting("random 1x1", 1, 1, 1.0, "random", draws=4),
)
# A method turns a path, the facts about the video, a setting and the number of a draw into (clips, frames, 3, L, L),
# 0 to 255.
Method = Callable[[Path, VideoInfo, Setting, int], torch.Tensor]
