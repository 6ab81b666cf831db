"""The ways of reading clips that are compared; all hand over the same pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks.decoding.published import published, single_threaded, to_rgb
from benchmarks.decoding.settings import SIDE, Method, Setting
from clipbert_hf import ClipBertVideoProcessor, VideoInfo


def ours(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """The video processor, sampling included."""
    return _PROCESSOR(
        path,
        num_clips=setting.clips,
        num_frames=setting.frames,
        target_fps=setting.fps,
        sampling_strategy=setting.strategy,
        seed=draw,
        pixel_dtype="uint8",
    ).pixel_values_videos[0]


# Pixels as stored, as the others take them.
_PROCESSOR = ClipBertVideoProcessor(size={"longest_edge": SIDE}, square_pixels=False)


def everything(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """Decode all frames in order and keep those that are sampled."""
    indices = setting.indices(info, draw)
    wanted = set(indices.ravel().tolist())
    with single_threaded(str(path)) as container:
        frames = {number: to_rgb(frame) for number, frame in enumerate(container.decode(video=0)) if number in wanted}
    return finish(np.stack([frames[index] for index in sorted(frames)]), indices)


def decord_sorted(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """Decord with one thread, given sorted unique indices, which is what suits it best."""
    import decord

    indices = setting.indices(info, draw)
    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    return finish(reader.get_batch(np.unique(indices).tolist()).asnumpy(), indices)


def torchcodec_exact(path: Path, info: VideoInfo, setting: Setting, draw: int) -> torch.Tensor:
    """Torchcodec in its exact mode with one thread, given sorted unique indices."""
    from torchcodec.decoders import VideoDecoder

    indices = setting.indices(info, draw)
    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    return finish(decoder.get_frames_at(np.unique(indices).tolist()).data.numpy(), indices)


def finish(frames: np.ndarray, indices: np.ndarray) -> torch.Tensor:
    """Resize distinct frames (n, h, w, 3) as our path does, and lay them out as clips."""
    places = torch.from_numpy(np.unique(indices, return_inverse=True)[1].ravel())
    pixels = _PROCESSOR(frames, do_sample_frames=False, pixel_dtype="uint8").pixel_values_videos
    return pixels[0, 0][places].unflatten(0, indices.shape)


METHODS: dict[str, Method] = {
    "ours": ours,
    "published": published,
    "decord": decord_sorted,
    "torchcodec": torchcodec_exact,
    "everything": everything,
}
