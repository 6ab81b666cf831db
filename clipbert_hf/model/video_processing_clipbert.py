"""From videos to the pixels of their clips: sample, decode, resize, pad, normalise.

Legend: B videos, K clips, T frames a clip, L the side of a frame in pixels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import PILImageResampling
from transformers.processing_utils import Unpack
from transformers.video_processing_utils import BaseVideoProcessor
from transformers.video_utils import VideoMetadata

from ..errors import InvalidInputError
from ..video.reading import open_video
from ..video.resizing import resize_longest_edge
from ..video.sampling import clip_seconds, frames_on_screen, sample_clip_indices, ticks_of_clock
from ..video.sources import VideoSource, list_videos
from .clip_assembly_clipbert import FINISHING, Clips, divide_in_place, empty_clips, finish_in_place, lay_out, per_colour
from .hub_code_clipbert import AUTO_MAP, add_model_code, saving_repository
from .video_options_clipbert import (
    ClipBertVideoProcessorKwargs,
    complete_options,
    frame_rates,
    longest_edge,
    tensor_kind,
    video_generators,
)


class ClipBertVideoProcessor(BaseVideoProcessor):
    """Turns videos into ``pixel_values_videos`` as the published model expects them.

    Each frame is resized so that its longer side is L (bilinear, without antialiasing; the other side is truncated
    to an integer), padded with zeros at the right and at the bottom to L x L, and only then normalised. Values stay
    in 0 to 255 before the mean is taken off; the model itself turns RGB to BGR.

    By default frames are resized in uint8, which is an order of magnitude faster and within one grey level;
    ``exact_resize=True`` gives the published values.

    Args:
        **kwargs: Defaults for :meth:`preprocess`.

    Examples:
        >>> processor = ClipBertVideoProcessor(size={"longest_edge": 96}, num_clips=4)
        >>> video = np.zeros((50, 60, 80, 3), dtype=np.uint8)
        >>> processor(video).pixel_values_videos.shape
        torch.Size([1, 4, 2, 3, 96, 96])
    """

    valid_kwargs = ClipBertVideoProcessorKwargs
    model_input_names = ["pixel_values_videos"]  # noqa: RUF012 (transformers declares it like this)

    do_sample_frames = True
    num_clips = 16
    num_frames = 2
    target_fps = 2.0
    sampling_strategy = "dense"
    index_by = "frame"
    decoding_backend = "auto"
    decoding_limits: dict[str, Any] | None = None
    square_pixels = True

    do_convert_rgb = True
    do_resize = True
    size = {"longest_edge": 448}  # noqa: RUF012
    default_to_square = False
    resample = PILImageResampling.BILINEAR
    exact_resize = False
    do_pad = True
    do_rescale = False
    rescale_factor = 1.0
    do_normalize = True
    image_mean = (123.675, 116.28, 103.53)
    image_std = (1.0, 1.0, 1.0)
    pixel_dtype = "float32"

    def __init__(self, **kwargs: Unpack[ClipBertVideoProcessorKwargs]) -> None:
        super().__init__(**kwargs)
        # So that a saved folder tells transformers where the class is defined.
        self.auto_map = {"AutoVideoProcessor": AUTO_MAP["AutoVideoProcessor"]}
        longest_edge(self.size)

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> Any:
        """Write the processor and, beside it, the code with which the Hub loads it.

        Args:
            save_directory: The folder.
            push_to_hub: Upload it too.
            **kwargs: As in transformers.

        Returns:
            The files of JSON.
        """
        with saving_repository(save_directory):
            return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    def to_json_file(self, json_file_path: str | os.PathLike) -> None:
        """Write the JSON file; no code, unless ``save_pretrained`` does so."""
        add_model_code(json_file_path)
        super().to_json_file(json_file_path)

    def preprocess(
        self, videos: VideoSource | Sequence[VideoSource], **kwargs: Unpack[ClipBertVideoProcessorKwargs]
    ) -> BatchFeature:
        """Sample and prepare the clips of one video or of several.

        Args:
            videos: One video or a list of videos, of any sizes and lengths. A video is a path of a file or of a
                folder of images, a URL, bytes, a binary file object, a mapping with ``"bytes"`` or ``"path"`` or
                the decoder that ``datasets`` makes of it, an image, an array or tensor of frames (uint8, four
                dimensions), or a list of frames; a five-dimensional array is a batch.
            **kwargs: Options for this call, in place of the processor's own; see :class:`ClipBertVideoProcessorKwargs`.
                ``do_sample_frames=False`` takes all frames of a video as one clip. ``video_metadata`` with
                ``"fps"`` tells the rate of frames in memory. ``return_metadata=True`` adds ``video_metadata`` (one
                a video), ``frame_indices`` (B, K, T) and ``clip_seconds`` (B, K, 2), the start and the end of
                each clip.

        Returns:
            ``pixel_values_videos``, float32 (B, K, T, 3, L, L), or uint8 with ``pixel_dtype="uint8"``.

        Raises:
            InvalidInputError: If an option or a source is none that exists.
            VideoDecodeError: If a video cannot be read.
            TypeError: If an option has an unknown name or a value of the wrong type.
        """
        options = complete_options(self, kwargs)
        batch = list_videos(videos)
        generators = video_generators(options, len(batch))
        rates = frame_rates(options["video_metadata"], len(batch))
        clips = [_read_clips(*each, options) for each in zip(batch, generators, rates, strict=True)]

        dtype = getattr(torch, options["pixel_dtype"])
        side = longest_edge(options["size"]) if options["do_pad"] else None
        pixels = empty_clips(clips, side, dtype)
        in_one_go = options["do_normalize"] and dtype == torch.float32 and not options["do_rescale"]
        mean = per_colour(pixels, options["image_mean"]) if in_one_go else None
        for row, clip in zip(pixels.flatten(1, 2), clips, strict=True):
            lay_out(clip, row, mean)
        if in_one_go:
            divide_in_place(pixels, options["image_std"])
        elif dtype == torch.float32:
            finish_in_place(pixels, options)
        features: dict[str, Any] = {"pixel_values_videos": pixels}
        if options["return_metadata"]:
            features["frame_indices"] = torch.from_numpy(np.stack([clip.indices for clip in clips]))
            features["clip_seconds"] = torch.from_numpy(np.stack([clip.seconds for clip in clips]))
        result = BatchFeature(features, tensor_type=tensor_kind(options["return_tensors"]))
        if options["return_metadata"]:
            result["video_metadata"] = [clip.metadata for clip in clips]
        return result

    def clip_indices(self, video: Any, **kwargs: Unpack[ClipBertVideoProcessorKwargs]) -> np.ndarray:
        """Which frames of a video the processor would take, for callers that have these already.

        Args:
            video: With ``frames``, ``fps``, ``duration`` and ``frame_seconds`` of a reader of videos.
            **kwargs: As for :meth:`preprocess`.

        Returns:
            (K, T), int64.

        Raises:
            InvalidInputError: If an option has no such value.
            TypeError: If an option has an unknown name.
        """
        options = complete_options(self, kwargs)
        return _sample(video, video_generators(options, 1)[0], options)

    def normalize_clips(self, pixel_values_videos: torch.Tensor) -> torch.Tensor:
        """Finish clips of ``pixel_dtype="uint8"``, on the device that they are on.

        Args:
            pixel_values_videos: uint8 (B, K, T, 3, L, L).

        Returns:
            float32, what ``pixel_dtype="float32"`` gives, bit for bit.

        Raises:
            InvalidInputError: If the pixels are not uint8, and so are normalised already.
        """
        if pixel_values_videos.dtype != torch.uint8:
            raise InvalidInputError(f"pixel_values_videos must be uint8, got {pixel_values_videos.dtype}")
        return finish_in_place(pixel_values_videos.float(), {name: getattr(self, name) for name in FINISHING})

    def to_dict(self) -> dict[str, Any]:
        """Return the options that describe the processor, not those that belong to one call."""
        options = super().to_dict()
        return {name: value for name, value in options.items() if name not in ("seed", "generator")}


def _read_clips(
    video: VideoSource, generator: np.random.Generator | None, fps: float | None, options: Mapping[str, Any]
) -> Clips:
    """Sample, decode and resize one video."""
    with open_video(
        video,
        backend=options["decoding_backend"],
        fps=fps,
        limits=options["decoding_limits"],
        colours=options["input_data_format"],
        square_pixels=options["square_pixels"],
    ) as reader:
        indices = _sample(reader, generator, options)  # (K, T)
        unique, places = np.unique(indices, return_inverse=True)
        frames = reader.read(unique)
        height, width = frames.shape[-2:]
        metadata = VideoMetadata(
            total_num_frames=reader.frames,
            fps=reader.fps,
            width=width,
            height=height,
            duration=reader.duration,
            video_backend=reader.backend,
            frames_indices=indices.ravel().tolist(),
        )
        seconds = clip_seconds(
            indices, video_fps=reader.fps, frame_seconds=reader.frame_seconds, duration=reader.duration
        )
    if options["device"] is not None:
        frames = frames.to(options["device"])
    if options["do_resize"]:
        frames = resize_longest_edge(frames, longest_edge(options["size"]), exact=bool(options["exact_resize"]))
    return Clips(frames, places.ravel(), indices, seconds, metadata)


def _sample(reader: Any, generator: np.random.Generator | None, options: Mapping[str, Any]) -> np.ndarray:
    if not options["do_sample_frames"]:
        return np.arange(reader.frames)[None]
    by_time = options["index_by"] == "time"
    indices = sample_clip_indices(
        video_frames=ticks_of_clock(video_fps=reader.fps, duration=reader.duration) if by_time else reader.frames,
        video_fps=reader.fps,
        num_clips=options["num_clips"],
        num_frames=options["num_frames"],
        target_fps=options["target_fps"],
        strategy=options["sampling_strategy"],
        generator=generator,
    )
    if by_time:
        return frames_on_screen(indices, video_fps=reader.fps, frame_seconds=reader.frame_seconds)
    return indices
