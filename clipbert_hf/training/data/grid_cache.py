"""Grid features of a frozen CNN, computed once for every frame of the training videos and kept on disk.

Where nothing of the CNN and the grid encoder trains, what they give for a frame is the same in each epoch. Training
then reads a few kilobytes a frame instead of decoding and convolving it, so that a step can have many videos of many
clips, as a contrastive loss wants. The cache is exact and never stale: its folder is named after a hash of the frozen
weights and of all options that shape pixels, and each file after path, size and time of its video. A file is whole or
not there, so that a killed run goes on where it was.

All frames are kept, so this is for short videos or small grids: a grid of 7x7 cells of 768 numbers has 147 kB.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...errors import ClipBertError, VideoDecodeError
from ...model.modeling_clipbert import ClipBertClipScorer
from ...model.video_options_clipbert import complete_options
from ...model.video_processing_clipbert import ClipBertVideoProcessor
from ...video.reader import VideoReader
from ...video.reading import open_video
from ...video.reading_ahead import ReadAhead
from ..recipe import RecipeError
from ..tracking import progress_bar

_FRAMES_AT_ONCE = 64
# What changes neither a frame's pixels nor which frames there are.
_IRRELEVANT = ("num_clips", "num_frames", "target_fps", "sampling_strategy", "index_by", "pixel_dtype", "auto_map")


class GridCacheError(ClipBertError):
    """The cache cannot be written or read."""


@dataclass(frozen=True)
class CachedVideo:
    """A video whose grids are kept; what clips are sampled by is that of its reader.

    Args:
        frames: How many.
        fps: Mean frames per second.
        duration: Seconds.
        frame_seconds: When each frame is first shown.
        grids: (frames, R, C, D), read from the disk where they are touched.
    """

    frames: int
    fps: float
    duration: float
    frame_seconds: np.ndarray
    grids: torch.Tensor


class GridCache:
    """Grid features of videos, for one state of the frozen weights.

    Args:
        folder: For any number of models and options; made if it is not there.
        model: Whose CNN and grid encoder are frozen.
        processor: Prepares the frames.

    Raises:
        RecipeError: If something of the CNN or the grid encoder trains.
    """

    def __init__(self, folder: str | os.PathLike[str], model: ClipBertClipScorer, processor: ClipBertVideoProcessor):
        backbone = model.clipbert.grid_backbone
        if any(parameter.requires_grad for parameter in backbone.parameters()):
            raise RecipeError("grid_cache keeps what a frozen CNN gives: set frozen to [grid_features]")
        self.processor = processor
        self.folder = Path(folder) / _fingerprint(backbone, processor)

    def path(self, video: str) -> Path:
        """Where the grids of a video are kept.

        Raises:
            VideoDecodeError: If there is no such video.
        """
        try:
            facts = os.stat(video)
        except OSError as error:
            raise VideoDecodeError(video, "file", str(error.strerror or error)) from error
        name = hashlib.sha256(f"{os.path.abspath(video)}\0{facts.st_size}\0{facts.st_mtime_ns}".encode()).hexdigest()
        return self.folder / name[:2] / f"{name[2:32]}.safetensors"

    def fill(self, accelerator: Accelerator, model: ClipBertClipScorer, videos: Iterable[str]) -> None:
        """Compute what is not there yet, each process its share. A video that cannot be read is left out.

        Args:
            accelerator: Of the run; the frozen part of the model goes to its device.
            model: That of the cache.
            videos: Their paths.

        Raises:
            GridCacheError: If a file cannot be written.
        """
        todo = sorted({video for video in videos if self._is_missing(video)})
        accelerator.wait_for_everyone()  # all have listed the same before one writes
        share = todo[accelerator.process_index :: accelerator.num_processes]
        backbone = model.clipbert.grid_backbone.to(accelerator.device)
        was_training = backbone.training
        backbone.eval()
        grids = list[torch.Tensor]()
        with torch.inference_mode(), progress_bar(accelerator, total=len(share), desc="grid features") as bar:
            for chunk in ReadAhead(self._chunks(share)):
                pixels = chunk.pixels.to(accelerator.device)
                if pixels.dtype == torch.uint8:
                    pixels = self.processor.normalize_clips(pixels)
                if chunk.first == 0:
                    grids.clear()
                grids.append(backbone(pixels.flatten(0, 2)).cpu())
                if chunk.facts is not None:
                    self._write(chunk.facts, torch.cat(grids))
                    bar.update()
        backbone.train(was_training)
        accelerator.wait_for_everyone()

    def read(self, video: str) -> CachedVideo:
        """The grids of a video.

        Raises:
            VideoDecodeError: If there are none, since it cannot be read.
        """
        path = self.path(video)
        if not path.exists():
            with self._open(video):
                pass  # says what is wrong with it, if that is it
            raise VideoDecodeError(video, "grid_cache", f"its grid features are not in {self.folder}")
        with safe_open(path, framework="pt") as file:
            facts, tensors = file.metadata(), {name: file.get_tensor(name) for name in ("grids", "frame_seconds")}
        return CachedVideo(
            frames=len(tensors["grids"]),
            fps=float(facts["fps"]),
            duration=float(facts["duration"]),
            frame_seconds=tensors["frame_seconds"].numpy(),
            grids=tensors["grids"],
        )

    def _is_missing(self, video: str) -> bool:
        try:
            return not self.path(video).exists()
        except VideoDecodeError:
            return False

    def _open(self, video: str) -> VideoReader:
        options = complete_options(self.processor, {})
        return open_video(
            video,
            backend=options["decoding_backend"],
            limits=options["decoding_limits"],
            square_pixels=options["square_pixels"],
        )

    def _chunks(self, videos: Sequence[str]) -> Iterator[_Chunk]:
        """All frames of videos, prepared, some at a time; of a video that cannot be read at most its beginning."""
        dtype = "float32" if self.processor.exact_resize else "uint8"
        for video in videos:
            try:
                with self._open(video) as reader:
                    for first in range(0, reader.frames, _FRAMES_AT_ONCE):
                        some = np.arange(first, min(first + _FRAMES_AT_ONCE, reader.frames))
                        pixels = self.processor(
                            reader.read(some),
                            do_sample_frames=False,
                            pixel_dtype=dtype,
                            input_data_format="channels_first",
                        )["pixel_values_videos"]
                        ends = some[-1] == reader.frames - 1
                        facts = _Facts(video, reader.fps, reader.duration, reader.frame_seconds) if ends else None
                        yield _Chunk(first, pixels, facts)
            except VideoDecodeError:
                continue  # training says so when it is that video's turn

    def _write(self, facts: _Facts, grids: torch.Tensor) -> None:
        path = self.path(facts.video)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        tensors = {"grids": grids.contiguous(), "frame_seconds": torch.from_numpy(facts.frame_seconds)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, part, metadata={"fps": repr(facts.fps), "duration": repr(facts.duration)})
            part.replace(path)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                part.unlink()
            raise GridCacheError(f"{path}: the grid features cannot be written ({error})") from error


@dataclass(frozen=True)
class _Facts:
    video: str
    fps: float
    duration: float
    frame_seconds: np.ndarray


@dataclass(frozen=True)
class _Chunk:
    """Some frames of a video from the first on, (1, 1, n, 3, L, L); the facts come with the last of them."""

    first: int
    pixels: torch.Tensor
    facts: _Facts | None


def _fingerprint(backbone: torch.nn.Module, processor: ClipBertVideoProcessor) -> str:
    """A hash of frozen weights and of what shapes pixels."""
    digest = hashlib.sha256()
    for name, tensor in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    digest.update(repr((backbone.frame_color_order, repr(backbone))).encode())
    options = {name: value for name, value in processor.to_dict().items() if name not in _IRRELEVANT}
    digest.update(json.dumps(options, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]
