"""What a call of the video processor may ask for: its options, checked, and what follows from them for each video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers.image_utils import PILImageResampling, SizeDict
from transformers.processing_utils import VideosKwargs
from transformers.video_utils import VideoMetadata

from ..errors import InvalidInputError
from ..video.limits import DecodingLimits


class ClipBertVideoProcessorKwargs(VideosKwargs, total=False):  # type: ignore[call-arg]
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
            :class:`~clipbert_hf.video.limits.DecodingLimits`, such as ``{"max_pixels": 4e6, "max_seconds": 20}``.
        square_pixels: Scale pictures whose pixels are not square to the proportions that are shown, before anything
            else; False takes them as stored, as published.
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
    square_pixels: bool | None
    pixel_dtype: str | None
    seed: int | list[int] | None
    generator: Any


# Options with few values. Most belong to every video processor, and the published preprocessing leaves no choice.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "do_convert_rgb": (None, True),
    "do_center_crop": (None, False),
    "crop_size": (None,),
    "default_to_square": (None, False),
    "resample": (PILImageResampling.BILINEAR,),
    "data_format": (None, "channels_first"),
    "input_data_format": (None, "channels_first", "channels_last"),
    "index_by": ("frame", "time"),
    "square_pixels": (True, False),
    "pixel_dtype": ("float32", "uint8"),
}
_ADVICE = {
    "do_convert_rgb": " (frames are RGB, whatever they were)",
    "crop_size": " (frames are padded, not cropped)",
}


def complete_options(processor: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the options of a call by the processor's own, and check those that only few values are right for.

    Args:
        processor: Whose attributes of the same names are the defaults.
        given: The options of the call; None stands for the default.

    Returns:
        A value for each option that there is.

    Raises:
        TypeError: If an option has an unknown name.
        InvalidInputError: If a value is not allowed.
    """
    known = processor.valid_kwargs.__annotations__
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(f"{type(processor).__name__} has no option {unknown[0]!r}; it has {', '.join(sorted(known))}")
    own = {name: getattr(processor, name, None) for name in known}
    asked = {name: value for name, value in given.items() if value is not None}
    options = own | asked
    # transformers' name for the rate at which frames are sampled.
    rate = options.pop("fps")
    if rate is not None and asked.get("target_fps", rate) != rate:
        raise InvalidInputError(f"fps and target_fps are the same option; got {rate} and {asked['target_fps']}")
    if rate is not None and "target_fps" not in asked:
        options["target_fps"] = rate
    for name, supported in _SUPPORTED.items():
        if options[name] not in supported:
            allowed = " or ".join(map(repr, supported))
            raise InvalidInputError(f"{name} must be {allowed} here{_ADVICE.get(name, '')}, got {options[name]!r}")
    if options["exact_resize"] and options["pixel_dtype"] == "uint8":
        raise InvalidInputError("exact_resize gives fractions of grey levels, which pixel_dtype='uint8' cannot hold")
    options["decoding_limits"] = DecodingLimits.from_options(options["decoding_limits"])
    return options


def longest_edge(size: Any) -> int:
    """The side L in pixels of ``{"longest_edge": L}``.

    Raises:
        InvalidInputError: If it is of another form.
    """
    given = dict(size) if isinstance(size, (Mapping, SizeDict)) else size
    if not isinstance(given, dict) or list(given) != ["longest_edge"] or not given["longest_edge"] > 0:
        raise InvalidInputError(f'size must be {{"longest_edge": pixels}}, got {given}')
    return int(given["longest_edge"])


def tensor_kind(kind: Any) -> str:
    """Check ``return_tensors``; by default it is ``"pt"``.

    Raises:
        InvalidInputError: If it is neither "pt" nor "np".
    """
    name = "pt" if kind is None else str(getattr(kind, "value", kind))
    if name not in ("pt", "np"):
        raise InvalidInputError(f"return_tensors must be 'pt' or 'np'; got {kind!r}")
    return name


def video_generators(options: Mapping[str, Any], videos: int) -> list[np.random.Generator | None]:
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


def frame_rates(metadata: Any, videos: int) -> list[float | None]:
    """Return the rate that the caller states for each video, if any."""
    if metadata is None:
        return [None] * videos
    entries = [metadata] if isinstance(metadata, (Mapping, VideoMetadata)) else list(metadata)
    if len(entries) != videos:
        raise InvalidInputError(f"video_metadata: expected {videos} entries, one a video, got {len(entries)}")
    return [_frame_rate(entry) for entry in entries]


def _frame_rate(entry: Any) -> float | None:
    if isinstance(entry, (list, tuple)) and len(entry) == 1:  # transformers nests them for several videos a sample
        entry = entry[0]
    if entry is None:
        return None
    if not isinstance(entry, (Mapping, VideoMetadata)):
        raise InvalidInputError(f"video_metadata: expected VideoMetadata or dictionaries, got {type(entry).__name__}")
    return entry.get("fps") if isinstance(entry, Mapping) else entry.fps
