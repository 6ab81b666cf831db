"""From a decoded frame to the picture that a viewer sees: its proportions, its colours, what shows through it.

Proportions
    Pixels need not be square: 720x576 of a DVD are shown as 1024x576. The width is scaled, bilinearly and in the same
    pass that converts the colours, so that frames are as large as ``probe_video`` says. Ratios beyond 1:10 and 10:1 are
    taken for mistakes and left out, as are those of images and GIFs, which no viewer heeds. The published procedure
    takes pixels as stored, which squeezes such pictures; ``square_pixels=False`` does the same.
Colours
    Full or limited range and the matrix (BT.601, BT.709, BT.2020, ...) are those that the file states. Untagged files
    are BT.601 and of limited range, whatever their size, as for FFmpeg and the published procedure. Primaries and
    transfer curve are left as they are, except those of HDR.
HDR
    Frames with the curves PQ (SMPTE ST 2084) and HLG (ARIB STD-B67) are converted to BT.709 by FFmpeg's swscale. White
    is at 203 nits (ITU-R BT.2408), so that what is no highlight looks as in an ordinary video; highlights are clipped.
    FFmpeg prepares that for some two seconds, once for each size and format in a thread. Where it cannot convert a
    file, as with PyAV 17, a log message says so once.
Transparency
    What is transparent shows white, where the codec's fourth channel is known to be transparency, and where FFmpeg
    decodes it. It does not for VP8 and VP9, whose colours are then those under the transparent parts, often black.
"""

from __future__ import annotations

import logging
import threading
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .orientation import Orientation, orientation_of

try:
    import av
except ImportError:  # images and frames in memory can be read without it
    av = None  # type: ignore[assignment]

# Older releases take the wanted colours and convert nothing.
_CONVERTS_HDR = av is not None and int(av.__version__.split(".")[0]) >= 18

logger = logging.getLogger(__name__)

_MOST_STRETCHED = 10
# Elsewhere a fourth channel may be unused and zero, as in AVI files without compression.
_CODECS_WITH_ALPHA = frozenset(
    {"gif", "png", "apng", "webp", "prores", "qtrle", "ffv1", "hap", "utvideo", "magicyuv", "huffyuv", "ffvhuff"}
    | {"dnxhd", "cfhd", "jpeg2000"}
    | {"vp8", "vp9"}  # by other decoders than FFmpeg's own
)

# FFmpeg's numbers, which ITU-T H.273 has as well.
_PQ, _HLG = 16, 18
_UNSPECIFIED = 2
_BT709 = 1
_BT2020 = 9

# FFmpeg's preparation for HDR, the same for all frames of one size and format. It belongs to one thread.
_prepared = threading.local()
_MOST_PREPARED = 16


class Picture(NamedTuple):
    """What a decoded frame tells of the picture that is shown.

    Args:
        height: Height in pixels as shown.
        width: Width in pixels as shown.
        orientation: How frames are turned and mirrored before they are shown.
        is_stretched: Whether pixels are not square.
        is_hdr: Whether colours follow one of the curves of HDR.
        has_alpha: Whether there may be transparent parts.
    """

    height: int
    width: int
    orientation: Orientation
    is_stretched: bool
    is_hdr: bool
    has_alpha: bool


def width_as_shown(width: int, pixel_aspect: Fraction | None) -> int:
    """Find how wide a picture is shown whose height stays.

    Args:
        width: Its width as stored.
        pixel_aspect: The width of a pixel divided by its height; None if unknown.
    """
    if not pixel_aspect or not Fraction(1, _MOST_STRETCHED) <= pixel_aspect <= _MOST_STRETCHED:
        return width
    return max(round(width * pixel_aspect), 1)


def on_white(pixels: np.ndarray) -> np.ndarray:
    """Lay a picture on a white ground.

    Args:
        pixels: Red, green, blue and opacity, uint8 (height, width, 4).

    Returns:
        uint8 (height, width, 3).
    """
    colours, opacity = pixels[..., :3], pixels[..., 3:]
    if opacity.min() == 255:
        return colours
    mixed = colours.astype(np.uint16) * opacity + 255 * (255 - opacity.astype(np.uint16))
    return ((mixed + 127) // 255).astype(np.uint8)


class FrameConverter:
    """Converts the frames of one video.

    Args:
        name: What log messages call it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._reformatter = av.video.reformatter.VideoReformatter()

    def to_pixels(self, frame: Any, codec: str, *, width: int, height: int) -> np.ndarray:
        """Convert a frame to RGB as shown.

        Args:
            frame: PyAV's frame.
            codec: FFmpeg's canonical name of the codec.
            width: Width of the picture before it is turned.
            height: Height of the picture before it is turned.

        Returns:
            uint8 (height, width, 3), turned and mirrored, in memory that may be reused.
        """
        return orientation_of(frame).apply(self.before_turning(frame, codec, width=width, height=height))

    def before_turning(self, frame: Any, codec: str, *, width: int, height: int) -> np.ndarray:
        """Convert a frame as :meth:`to_pixels` does, neither turned nor mirrored yet."""
        channels = 4 if has_alpha(frame, codec) else 3
        pixel_format = "rgba" if channels == 4 else "rgb24"
        options: dict[str, Any] = {"width": width, "height": height, "format": pixel_format, "threads": 1}
        converted = self._from_hdr(frame, options) if is_hdr(frame) else self._reformatter.reformat(frame, **options)
        plane: Any = converted.planes[0]
        rows = np.frombuffer(plane, dtype=np.uint8).reshape(height, plane.line_size)
        pixels = rows[:, : channels * width].reshape(height, width, channels)  # rows are padded to some alignment
        return pixels if channels == 3 else on_white(pixels)

    def _from_hdr(self, frame: Any, options: dict[str, Any]) -> Any:
        if frame.color_primaries == _UNSPECIFIED:
            frame.color_primaries = _BT2020
        if frame.colorspace == _UNSPECIFIED:
            frame.colorspace = _BT2020
        reason = "PyAV 18 and newer can"
        if _CONVERTS_HDR:
            try:
                return _hdr_reformatter(frame, options).reformat(
                    frame, dst_color_trc=_BT709, dst_color_primaries=_BT709, **options
                )
            except av.FFmpegError as error:
                reason = error.strerror or str(error)
        say_once(f"{self._name}: its colours are HDR, which this FFmpeg cannot convert ({reason}); they look pale")
        # Nothing depends on them here, and PyAV 17 refuses primaries that FFmpeg does not know.
        primaries, frame.color_primaries = frame.color_primaries, _UNSPECIFIED
        try:
            return self._reformatter.reformat(frame, **options)
        finally:
            frame.color_primaries = primaries


def _hdr_reformatter(frame: Any, options: dict[str, Any]) -> Any:
    """Return the one of this thread that is prepared for such frames, if there is one."""
    known = vars(_prepared).setdefault("reformatters", {})
    colours = (frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range)
    key = (frame.width, frame.height, frame.format.name, *colours, *options.values())
    if key not in known:
        if len(known) == _MOST_PREPARED:
            known.pop(next(iter(known)))  # the oldest
        known[key] = av.video.reformatter.VideoReformatter()
    return known[key]


@lru_cache(maxsize=4096)
def say_once(message: str) -> None:
    """Log a warning about a file, once in a process."""
    logger.warning(message)


def is_hdr(frame: Any) -> bool:
    """Tell whether the colours of a frame follow one of the curves of HDR."""
    return frame.color_trc in (_PQ, _HLG)


def has_alpha(frame: Any, codec: str) -> bool:
    """Tell whether a frame may have transparent parts.

    Args:
        frame: PyAV's frame.
        codec: FFmpeg's canonical name of its codec.
    """
    return codec in _CODECS_WITH_ALPHA and _stores_alpha(frame.format.name)


@lru_cache(maxsize=256)
def _stores_alpha(pixel_format: str) -> bool:
    found = av.VideoFormat(pixel_format)
    return found.has_palette or any(component.is_alpha for component in found.components)
