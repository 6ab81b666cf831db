"""From videos to the pixels of their clips: sample, decode, resize, pad, normalise.

Legend: B videos, K clips, T frames a clip, L the side of a frame in pixels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import PILImageResampling, SizeDict
from transformers.processing_utils import Unpack, VideosKwargs
from transformers.video_processing_utils import BaseVideoProcessor
from transformers.video_utils import VideoMetadata

from .clip_sampling_clipbert import clip_seconds, frames_on_screen, sample_clip_indices
from .errors_clipbert import InvalidInputError
from .hub_code_clipbert import AUTO_MAP, copy_model_code
from .video_decoding_clipbert import open_video
from .video_limits_clipbert import DecodingLimits
from .video_reader_clipbert import VideoReader
from .video_source_clipbert import VideoSource, is_single_video


class ClipBertVideosKwargs(VideosKwargs, total=False):  # type: ignore[call-arg]
    """Options of :class:`ClipBertVideoProcessor` beyond those that every video processor has.

    Attributes:
        num_clips: Clips sampled from a video, K.
        target_fps: Frames per second inside of a clip.
        sampling_strategy: One of "random", "dense", "start", "middle", "end", "uniform".
        index_by: "frame", as published: clips are equally spaced in frames. "time": in seconds, which differs where
            the frame rate varies.
        exact_resize: Resize in floating point as published, instead of in uint8.
        decoding_backend: One of "auto", "pyav", "decord", "torchcodec".
        decoding_limits: What a video may cost, where it differs from the defaults of
            :class:`~.video_limits_clipbert.DecodingLimits`, such as ``{"max_pixels": 4e6, "max_seconds": 20}``.
        pixel_dtype: "float32", or "uint8": a quarter of the memory on the way from a loader's workers to the device,
            where :meth:`ClipBertVideoProcessor.normalize_clips` then makes of it what "float32" would have given.
        seed: Seed of the "random" strategy, one for the batch or one a video. Not saved.
        generator: Generator of the "random" strategy, in place of a seed. Not saved.
    """

    num_clips: int | None
    target_fps: float | int | None
    sampling_strategy: str | None
    index_by: str | None
    exact_resize: bool | None
    decoding_backend: str | None
    decoding_limits: dict[str, Any] | None
    pixel_dtype: str | None
    seed: int | list[int] | None
    generator: Any


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

    valid_kwargs = ClipBertVideosKwargs
    model_input_names = ["pixel_values_videos"]  # noqa: RUF012 (transformers declares it like this)

    do_sample_frames = True
    num_clips = 16
    num_frames = 2
    target_fps = 2.0
    sampling_strategy = "dense"
    index_by = "frame"
    decoding_backend = "auto"
    decoding_limits: dict[str, Any] | None = None

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

    def __init__(self, **kwargs: Unpack[ClipBertVideosKwargs]) -> None:
        super().__init__(**kwargs)
        # So that a saved folder tells transformers where the class is defined.
        self.auto_map = {"AutoVideoProcessor": AUTO_MAP["AutoVideoProcessor"]}
        _longest_edge(self.size)

    def to_json_file(self, json_file_path: str | os.PathLike) -> None:
        """Write the JSON file and the model code beside it."""
        copy_model_code(os.path.dirname(json_file_path))
        super().to_json_file(json_file_path)

    def preprocess(
        self, videos: VideoSource | Sequence[VideoSource], **kwargs: Unpack[ClipBertVideosKwargs]
    ) -> BatchFeature:
        """Sample and prepare the clips of one video or of several.

        Args:
            videos: One video or a list of videos, of any sizes and lengths. A video is a path of a file or of a
                folder of images, a URL, bytes, a binary file object, a mapping with ``"bytes"`` or ``"path"`` or
                the decoder that ``datasets`` makes of it, an image, an array or tensor of frames (uint8, four
                dimensions), or a list of frames; a five-dimensional array is a batch.
            **kwargs: Options for this call, in place of the processor's own; see :class:`ClipBertVideosKwargs`.
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
        options = self._options(kwargs)
        batch: list[Any] = [videos] if is_single_video(videos) else list(cast("Sequence[Any]", videos))
        if not batch:
            raise InvalidInputError("videos: expected at least one video, got an empty list")
        generators = _generators(options, len(batch))
        rates = _frame_rates(options["video_metadata"], len(batch))
        clips = [_read_clips(*each, options) for each in zip(batch, generators, rates, strict=True)]

        dtype = getattr(torch, options["pixel_dtype"])
        side = _longest_edge(options["size"]) if options["do_pad"] else None
        pixels = _empty_clips(clips, side, dtype)
        normalizes = options["do_normalize"] and dtype == torch.float32
        mean = _per_colour(pixels, options["image_mean"]) if normalizes else None
        for row, clip in zip(pixels.flatten(1, 2), clips, strict=True):
            _lay_out(clip, row, mean)
        if normalizes:
            _divide_in_place(pixels, options["image_std"])
        features: dict[str, Any] = {"pixel_values_videos": pixels}
        if options["return_metadata"]:
            features["frame_indices"] = torch.from_numpy(np.stack([clip.indices for clip in clips]))
            features["clip_seconds"] = torch.from_numpy(np.stack([clip.seconds for clip in clips]))
        result = BatchFeature(features, tensor_type=options["return_tensors"])
        if options["return_metadata"]:
            result["video_metadata"] = [clip.metadata for clip in clips]
        return result

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
        pixels = pixel_values_videos.float()
        if self.do_normalize:
            pixels.sub_(_per_colour(pixels, self.image_mean))
            _divide_in_place(pixels, self.image_std)
        return pixels

    def to_dict(self) -> dict[str, Any]:
        """Return the options that describe the processor, not those that belong to one call."""
        options = super().to_dict()
        return {name: value for name, value in options.items() if name not in ("seed", "generator")}

    def _options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Complete the options of a call by the processor's own, and check those that only one value is right for."""
        known = self.valid_kwargs.__annotations__
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise TypeError(f"{type(self).__name__} has no option {unknown[0]!r}; it has {', '.join(sorted(known))}")
        own = {name: getattr(self, name, None) for name in known}
        options = own | {name: value for name, value in given.items() if value is not None}
        for name, supported in _SUPPORTED.items():
            if options[name] not in supported:
                allowed = " or ".join(map(repr, supported))
                raise InvalidInputError(f"{name} must be {allowed} here{_ADVICE.get(name, '')}, got {options[name]!r}")
        if options["exact_resize"] and options["pixel_dtype"] == "uint8":
            raise InvalidInputError(
                "exact_resize gives fractions of grey levels, which pixel_dtype='uint8' cannot hold"
            )
        options["decoding_limits"] = DecodingLimits.from_options(options["decoding_limits"])
        return options


# Options with few values. Most belong to every video processor, and the published preprocessing leaves no choice.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "do_center_crop": (None, False),
    "do_rescale": (None, False),
    "resample": (PILImageResampling.BILINEAR,),
    "data_format": (None, "channels_first"),
    "input_data_format": (None,),
    "fps": (None,),
    "index_by": ("frame", "time"),
    "pixel_dtype": ("float32", "uint8"),
}
_ADVICE = {
    "do_rescale": " (the model takes values in 0 to 255)",
    "fps": " (set target_fps)",
    "input_data_format": " (the place of the colours is recognised)",
}


@dataclass(frozen=True)
class _Clips:
    """The clips of one video, before they meet those of the others.

    Args:
        frames: Each sampled frame once, resized, (n, 3, h, w).
        places: For each frame of each clip, where it is in ``frames``, (K * T,).
        indices: Which frames of the video these are, (K, T).
        seconds: Start and end of each clip, (K, 2).
        metadata: Facts about the video.
    """

    frames: torch.Tensor
    places: np.ndarray
    indices: np.ndarray
    seconds: np.ndarray
    metadata: VideoMetadata


def _read_clips(
    video: VideoSource, generator: np.random.Generator | None, fps: float | None, options: Mapping[str, Any]
) -> _Clips:
    """Sample, decode and resize one video."""
    backend, limits = options["decoding_backend"], options["decoding_limits"]
    with open_video(video, backend=backend, fps=fps, limits=limits) as reader:
        indices = _sample(reader, generator, options)  # (K, T)
        unique, places = np.unique(indices, return_inverse=True)
        frames = reader.read(unique)
        height, width = frames.shape[-2:]
        metadata = VideoMetadata(
            total_num_frames=reader.frames,
            fps=reader.fps,
            width=width,
            height=height,
            duration=reader.frames / reader.fps,
            video_backend=reader.backend,
            frames_indices=indices.ravel().tolist(),
        )
        seconds = clip_seconds(indices, video_fps=reader.fps, frame_seconds=reader.frame_seconds)
    if options["device"] is not None:
        frames = frames.to(options["device"])
    if options["do_resize"]:
        frames = resize_longest_edge(frames, _longest_edge(options["size"]), exact=bool(options["exact_resize"]))
    return _Clips(frames, places.ravel(), indices, seconds, metadata)


def _sample(reader: VideoReader, generator: np.random.Generator | None, options: Mapping[str, Any]) -> np.ndarray:
    if not options["do_sample_frames"]:
        return np.arange(reader.frames)[None]
    indices = sample_clip_indices(
        video_frames=reader.frames,
        video_fps=reader.fps,
        num_clips=options["num_clips"],
        num_frames=options["num_frames"],
        target_fps=options["target_fps"],
        strategy=options["sampling_strategy"],
        generator=generator,
    )
    if options["index_by"] == "time":
        return frames_on_screen(indices, video_fps=reader.fps, frame_seconds=reader.frame_seconds)
    return indices


def resize_longest_edge(frames: torch.Tensor, longest_edge: int, *, exact: bool = False) -> torch.Tensor:
    """Resize frames so that their longer side has a given length; the other side is truncated to an integer.

    Args:
        frames: uint8 (n, 3, height, width).
        longest_edge: Length in pixels.
        exact: Whether to compute in float32, as published, or in uint8, which rounds to whole grey levels.

    Returns:
        (n, 3, h, w), float32 if exact and uint8 otherwise; bilinear, without antialiasing.
    """
    height, width = frames.shape[-2:]
    longer = max(height, width)
    size = (max(height * longest_edge // longer, 1), max(width * longest_edge // longer, 1))
    if exact or frames.device.type != "cpu":  # only the CPU has kernels for uint8
        frames = frames.float()
    if size == (height, width):
        return frames
    return F.interpolate(frames, size=size, mode="bilinear", align_corners=False, antialias=False)


def _empty_clips(clips: Sequence[_Clips], side: int | None, dtype: torch.dtype) -> torch.Tensor:
    """Return memory for the clips of all videos, (B, K, T, 3, L, L), or as large as their frames without a side."""
    shapes = {(clip.indices.shape, (side, side) if side else tuple(clip.frames.shape[-2:])) for clip in clips}
    if len(shapes) > 1:
        raise InvalidInputError(f"videos: their clips must have one number of frames and one size, got {shapes}")
    (num_clips, num_frames), (height, width) = shapes.pop()
    for clip in clips:
        h, w = clip.frames.shape[-2:]
        if h > height or w > width:
            raise InvalidInputError(f"videos: frames of {h}x{w} do not fit into {height}x{width}; use do_resize=True")
    return clips[0].frames.new_empty((len(clips), num_clips, num_frames, 3, height, width), dtype=dtype)


def _lay_out(clip: _Clips, pixels: torch.Tensor, mean: torch.Tensor | None) -> None:
    """Fill (K * T, 3, L, L) with frames and, at the right and at the bottom, zeros; less the mean, if there is one.

    Taking the mean off on the way saves going through all of these pixels once more.
    """
    h, w = clip.frames.shape[-2:]
    border = 0 if mean is None else 0 - mean
    pixels[:, :, h:] = border
    pixels[:, :, :h, w:] = border
    for cell, place in zip(pixels[:, :, :h, :w], clip.places.tolist(), strict=True):
        if mean is None:
            cell.copy_(clip.frames[place])
        else:
            torch.sub(clip.frames[place], mean, out=cell)


def _divide_in_place(pixels: torch.Tensor, std: Any) -> None:
    """Divide by the standard deviation of each colour, unless it is 1."""
    std = _per_colour(pixels, std)
    if bool((std != 1).any()):
        pixels.div_(std)


def _per_colour(pixels: torch.Tensor, value: Any) -> torch.Tensor:
    """Turn one number, or one a colour, into a tensor (3, 1, 1) that goes with pixels."""
    return pixels.new_tensor(value).expand(3)[:, None, None]


def _longest_edge(size: Any) -> int:
    given = dict(size) if isinstance(size, (Mapping, SizeDict)) else size
    if not isinstance(given, dict) or list(given) != ["longest_edge"] or not given["longest_edge"] > 0:
        raise InvalidInputError(f'size must be {{"longest_edge": pixels}}, got {given}')
    return int(given["longest_edge"])


def _generators(options: Mapping[str, Any], videos: int) -> list[np.random.Generator | None]:
    """Return the source of randomness of each video; by default torch's, which differs between loader workers."""
    seed, generator = options["seed"], options["generator"]
    if options["sampling_strategy"] != "random":
        return [None] * videos
    if generator is not None and not isinstance(generator, np.random.Generator):
        raise InvalidInputError(f"generator must be a numpy.random.Generator, got {type(generator).__name__}")
    if isinstance(seed, Sequence):
        if len(seed) != videos:
            raise InvalidInputError(f"seed: expected one or {videos}, one a video, got {len(seed)}")
        return [np.random.default_rng(each) for each in seed]
    if generator is None:
        generator = np.random.default_rng(int(torch.randint(2**62, ())) if seed is None else seed)
    return [generator] * videos


def _frame_rates(metadata: Any, videos: int) -> list[float | None]:
    """Return the rate that the caller states for each video, if any."""
    if metadata is None:
        return [None] * videos
    entries = [metadata] if isinstance(metadata, Mapping) else list(metadata)
    if len(entries) != videos:
        raise InvalidInputError(f"video_metadata: expected {videos} entries, one a video, got {len(entries)}")
    return [entry.get("fps") for entry in entries]
