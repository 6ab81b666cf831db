"""Checks of what the models are given: one clear error at the border instead of a shape error deep inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..errors import InvalidInputError


def check_rank(tensor: torch.Tensor | None, name: str, dims: str) -> None:
    """Check the number of dimensions of a tensor that may be absent.

    Args:
        tensor: The tensor, or None.
        name: The argument's name.
        dims: The names of the dimensions, such as ``"texts, tokens"``.

    Raises:
        InvalidInputError: If the rank differs.
    """
    expected = len(dims.split(","))
    if tensor is not None and tensor.ndim != expected:
        raise InvalidInputError(
            f"{name} must have {expected} dimensions ({dims}); got {tensor.ndim}: {tuple(tensor.shape)}"
        )


def number_of_videos(pixel_values_videos: torch.Tensor | None, grid_features: torch.Tensor | None) -> int:
    """Count the videos, of which either pixels or grid features are there, with the right rank.

    Raises:
        InvalidInputError: If not.
    """
    if (pixel_values_videos is None) == (grid_features is None):
        raise InvalidInputError(
            "give either pixel_values_videos or grid_features; got "
            + ("neither" if pixel_values_videos is None else "both")
        )
    check_rank(pixel_values_videos, "pixel_values_videos", "videos, clips, frames, 3, height, width")
    check_rank(grid_features, "grid_features", "videos, clips, frames, rows, columns, hidden")
    return len(next(visual for visual in (pixel_values_videos, grid_features) if visual is not None))


def check_visual_inputs(
    pixel_values_videos: torch.Tensor | None,
    grid_features: torch.Tensor | None,
    pixel_mean: torch.Tensor | None = None,
    pixel_std: torch.Tensor | None = None,
) -> None:
    """Check that exactly one of pixels and grid features is there, with the right rank, and normalised or to be so.

    Args:
        pixel_values_videos: (B, K, T, 3, H, W), normalised, or uint8 with the statistics.
        grid_features: (B, K, T, R, C, D).
        pixel_mean: What is taken off uint8 pixels, (B, 3), one row a video.
        pixel_std: By what they are divided then, (B, 3).

    Raises:
        InvalidInputError: If not.
    """
    videos = number_of_videos(pixel_values_videos, grid_features)
    if pixel_values_videos is not None and pixel_values_videos.shape[3] != 3:
        raise InvalidInputError(
            f"pixel_values_videos must have 3 colours in dimension 3; got shape {tuple(pixel_values_videos.shape)}"
        )
    statistics = {"pixel_mean": pixel_mean, "pixel_std": pixel_std}
    given = {name: value for name, value in statistics.items() if value is not None}
    if not given:
        if pixel_values_videos is not None and not pixel_values_videos.is_floating_point():
            raise InvalidInputError(
                f"pixel_values_videos must be normalised; got {pixel_values_videos.dtype}: call the video processor's "
                "normalize_clips on the device, or give uint8 with pixel_mean and pixel_std"
            )
        return
    if len(given) == 1:
        raise InvalidInputError(f"pixel_mean and pixel_std go together; got {next(iter(given))} alone")
    if pixel_values_videos is None or pixel_values_videos.dtype != torch.uint8:
        got = "grid_features" if pixel_values_videos is None else pixel_values_videos.dtype
        raise InvalidInputError(f"pixel_mean and pixel_std are for uint8 pixels; got {got}, normalised already")
    for name, value in given.items():
        if value.shape != (videos, 3) or not value.is_floating_point():
            raise InvalidInputError(
                f"{name} must be floats of shape ({videos}, 3), one row a video; got {value.dtype} of shape "
                f"{tuple(value.shape)}"
            )


def find_equal_frames(frame_indices: torch.Tensor, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the frames that occur in several clips of a video.

    Args:
        frame_indices: (B, K, T), the index of each frame in its video.
        shape: (B, K, T) of the pixels.

    Returns:
        Where each distinct frame occurs first among the B * K * T, and for each of these which distinct frame it is.

    Raises:
        InvalidInputError: If the shapes differ.
    """
    if frame_indices.shape != shape:
        raise InvalidInputError(f"frame_indices must have shape {tuple(shape)}; got {tuple(frame_indices.shape)}")
    indices = frame_indices.cpu().numpy()
    videos = np.broadcast_to(np.arange(shape[0])[:, None, None], indices.shape)
    pairs = np.stack([videos.ravel(), indices.ravel()])
    _, first, places = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
    return torch.from_numpy(first), torch.from_numpy(places.ravel())


def check_text_inputs(input_ids: torch.Tensor, attention_mask: torch.Tensor | None, *, vocab_size: int) -> None:
    """Check token indices and their mask, (texts, tokens).

    Raises:
        InvalidInputError: If the ranks or shapes differ, there are no tokens, or an index is outside the vocabulary.
    """
    check_rank(input_ids, "input_ids", "texts, tokens")
    if attention_mask is not None and attention_mask.shape != input_ids.shape:
        raise InvalidInputError(
            f"attention_mask must have the shape of input_ids, {tuple(input_ids.shape)}; "
            f"got {tuple(attention_mask.shape)}"
        )
    if not input_ids.numel():
        raise InvalidInputError(f"input_ids must hold at least one token; got shape {tuple(input_ids.shape)}")
    if input_ids.device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = int(input_ids.min()), int(input_ids.max())
        if low < 0 or high >= vocab_size:
            raise InvalidInputError(
                f"input_ids must be from 0 to {vocab_size - 1} (vocab_size - 1); got {low if low < 0 else high}"
            )


def match_texts_to_videos(
    texts_per_video: torch.Tensor | Sequence[int] | None, *, texts: int, videos: int, device: torch.device
) -> torch.Tensor:
    """Find the video of each text.

    Args:
        texts_per_video: How many of the texts, in order, belong to each video, (videos,). May be absent where
            there is one text a video, or one video.
        texts: Number of texts.
        videos: Number of videos.
        device: Where to put the answer.

    Returns:
        Index of the video of each text, (texts,).

    Raises:
        InvalidInputError: If the counts do not add up.
    """
    if texts_per_video is None:
        if texts == videos:
            return torch.arange(texts, device=device)
        if videos == 1:
            return torch.zeros(texts, dtype=torch.long, device=device)
        raise InvalidInputError(
            f"texts_per_video is needed where texts and videos differ in number; got {texts} texts and {videos} videos"
        )
    counts = torch.as_tensor(texts_per_video, device=device)
    if counts.shape != (videos,):
        raise InvalidInputError(
            f"texts_per_video must hold one count for each of {videos} videos; got shape {tuple(counts.shape)}"
        )
    if not torch.compiler.is_compiling() and int(counts.sum()) != texts:
        raise InvalidInputError(f"texts_per_video must add up to {texts} texts; got {counts.tolist()}")
    return torch.repeat_interleave(torch.arange(videos, device=device), counts, output_size=texts)
