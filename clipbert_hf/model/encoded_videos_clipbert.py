"""Videos as the visual tokens of their clips, for scoring them against any number of texts.

Shapes: B videos, K clips a video, T frames a clip, C distinct clips, V visual tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..errors import InvalidInputError
from .inputs_clipbert import find_equal_frames


@dataclass(frozen=True)
class EncodedVideos:
    """Videos of one number of clips and one size of the grid; fused over frames, half of a clip of two frames.

    Args:
        tokens: The fused, embedded visual tokens of the distinct clips of all videos, (C, V, D).
        clip_places: Which of these each clip is, (B, K), on the CPU: clips of a video shorter than a clip are equal.
    """

    tokens: torch.Tensor
    clip_places: torch.Tensor

    def __len__(self) -> int:
        return len(self.clip_places)

    @property
    def num_clips(self) -> int:
        """Clips of a video, K."""
        return self.clip_places.shape[1]

    @property
    def layout(self) -> tuple[int, ...]:
        """What videos must have in common to be put together: clips, visual tokens, hidden size."""
        return (self.num_clips, *self.tokens.shape[1:])

    def to(self, device: torch.device | str) -> EncodedVideos:
        """Move the tokens to a device."""
        return EncodedVideos(self.tokens.to(device), self.clip_places)

    def select(self, videos: Sequence[int], clips: Sequence[int] | None = None) -> EncodedVideos:
        """Some of the videos, in the order given, with the clips that these need.

        Args:
            videos: Their places.
            clips: Which clips of each; None: all.
        """
        places = self.clip_places[list(videos)]
        if clips is not None:
            places = places[:, list(clips)]
        kept, new_places = places.unique(return_inverse=True)
        return EncodedVideos(self.tokens[kept.to(self.tokens.device)], new_places)


def join_videos(videos: Sequence[EncodedVideos]) -> EncodedVideos:
    """Put videos together.

    Args:
        videos: At least one, all of one layout.

    Raises:
        InvalidInputError: If they differ in their numbers of clips or visual tokens.
    """
    if len({each.layout for each in videos}) != 1:
        raise InvalidInputError(
            "encoded videos that are scored together must have one number of clips and one size of the grid; got "
            f"(clips, visual tokens, hidden size) of {sorted({each.layout for each in videos})}"
        )
    if len(videos) == 1:
        return videos[0]
    firsts = torch.tensor([0] + [len(each.tokens) for each in videos[:-1]]).cumsum(0).tolist()
    return EncodedVideos(
        torch.cat([each.tokens for each in videos]),
        torch.cat([each.clip_places + first for each, first in zip(videos, firsts, strict=True)]),
    )


@dataclass(frozen=True)
class DistinctClips:
    """The frames and clips that differ among those of several videos.

    Args:
        frames: Where each distinct frame stands among all, (n,), on the CPU.
        clips: The distinct frames of each distinct clip, (C, T).
        clip_places: Which distinct clip each clip is, (B, K).
    """

    frames: torch.Tensor
    clips: torch.Tensor
    clip_places: torch.Tensor


def find_distinct_clips(shape: Sequence[int], frame_indices: torch.Tensor | None) -> DistinctClips:
    """Find what has to be computed once.

    Args:
        shape: (B, K, T).
        frame_indices: Which frame of its video each frame is, (B, K, T); None: all differ.

    Raises:
        InvalidInputError: If ``frame_indices`` has another shape.
    """
    videos, clips, frames = shape
    if frame_indices is None:
        places = torch.arange(videos * clips * frames).view(-1, frames)
        return DistinctClips(places.flatten(), places, torch.arange(videos * clips).view(videos, clips))
    firsts, places = find_equal_frames(frame_indices, (videos, clips, frames))
    distinct, clip_places = places.view(-1, frames).unique(dim=0, return_inverse=True)
    return DistinctClips(firsts, distinct, clip_places.view(videos, clips))
