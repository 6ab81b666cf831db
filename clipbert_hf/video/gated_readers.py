"""The other back ends: decord and torchcodec, for videos on which they are known to be exact.

decord and torchcodec return wrong frames, silently, on files that are common: trimmed by stream copy, AVI,
MPEG-4 with B-frames, transport streams. :class:`GatedReader` does not let such files pass. Both libraries are
imported when they are asked for: they bring a second FFmpeg into the process.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch

from ..errors import VideoDecodeError
from .limits import DEFAULT_LIMITS, DecodingLimits
from .orientation import is_mirrored
from .pyav_reader import PyAVReader
from .reader import VideoReader
from .sources import EncodedVideo


class GatedReader(VideoReader):
    """Reads videos with a decoder that seeks on its own, where it is proven that it can do so rightly.

    The proof is PyAV's. By the packets: all frames have increasing times that begin at zero or later, none is
    hidden, none refers across a keyframe. By the count: both libraries see the same number of frames. By decoding:
    each keyframe that is needed yields a picture on its own.

    Args:
        source: The file or its content.
        limits: What the video may cost.
        square_pixels: Whether pictures whose pixels are not square have to be scaled; such files are refused.

    Raises:
        VideoDecodeError: If the decoder is missing, cannot open the file, or could return wrong frames on it.
    """

    def __init__(
        self, source: EncodedVideo, limits: DecodingLimits = DEFAULT_LIMITS, *, square_pixels: bool = True
    ) -> None:
        self.name = source.name
        self.limits = limits
        self._decoder: Any = None
        self._pyav = PyAVReader(source, limits, square_pixels=square_pixels)
        try:
            self._refuse(self._objection())
            self.frames, self.fps = self._pyav.frames, self._pyav.fps
            with self._decoding():
                counted = self._open_decoder(source)
            if counted != self.frames:
                self._refuse(f"it counts {counted} frames where there are {self.frames}")
        except BaseException:
            self.close()
            raise

    @property
    def frame_seconds(self) -> np.ndarray:
        """When each frame is first shown, in seconds after the first one, float64 (frames,)."""
        return self._pyav.frame_seconds

    @property
    def duration(self) -> float:
        """When the last frame ends, in seconds after the first one begins."""
        return self._pyav.duration

    def close(self) -> None:
        """Release the file and the decoder; a decord reader that lies idle decodes ahead and takes ever more memory."""
        self._decoder = None
        self._pyav.close()

    @abstractmethod
    def _open_decoder(self, source: EncodedVideo) -> int:
        """Set ``_decoder`` and return the number of frames that it counts."""

    @abstractmethod
    def _decode_trusted(self, indices: np.ndarray) -> torch.Tensor:
        """Decode frames of a file that has passed the gate; see :meth:`VideoReader._decode`."""

    def _objection(self) -> str | None:
        """Say what about the file the decoder cannot be trusted with, if anything."""
        table = self._pyav.table
        if table is None:
            return f"{self._pyav.codec} in {self._pyav.container} does not tell which packet holds which frame"
        if table.trimmed or table.pts[0] < 0:
            return "the video was trimmed and starts with frames that are not shown"
        if not table.closed:
            return "it has open groups of pictures, whose frames refer across a keyframe"
        if is_mirrored(self._pyav.picture.orientation):
            return "frames have to be mirrored"
        if self._pyav.picture.is_stretched:
            return "its pixels are not square"
        if self._pyav.picture.is_hdr:
            return "its colours have to be converted from HDR"
        if self._pyav.picture.has_alpha:
            return "it may have transparent parts"
        return None

    def _refuse(self, objection: str | None) -> None:
        if objection is not None:
            reason = f"it may return wrong frames: {objection}; the back end 'auto' reads such files"
            raise VideoDecodeError(self.name, self.backend, reason)

    def _size(self) -> tuple[int, int]:
        return self._pyav.info.height, self._pyav.info.width

    def _decode(self, indices: np.ndarray) -> torch.Tensor:
        height, width = self._size()
        self.limits.check_request(len(indices), width, height, name=self.name, backend=self.backend)
        if not self._pyav.starts_afresh(indices):
            self._refuse("a keyframe is not complete in itself")
        return self._decode_trusted(indices)


class DecordReader(GatedReader):
    """The gate, then decord with one thread."""

    backend = "decord"

    def _open_decoder(self, source: EncodedVideo) -> int:
        try:
            import decord
        except ImportError as error:
            raise VideoDecodeError(self.name, self.backend, "it is not installed (pip install decord)") from error
        content = source.path if source.path is not None else source.open()
        self._errors = (decord.DECORDError,)
        with self._decoding():
            self._decoder = decord.VideoReader(content, ctx=decord.cpu(0), num_threads=1)
            return len(self._decoder)

    def _objection(self) -> str | None:
        if self._pyav.video_streams > 1:
            return f"it has {self._pyav.video_streams} video streams to choose from"
        if any(self._pyav.picture.orientation):
            return "frames have to be turned or mirrored"
        return super()._objection()

    def _decode_trusted(self, indices: np.ndarray) -> torch.Tensor:
        frames = self._decoder.get_batch(indices.tolist())  # (n, h, w, 3); a torch tensor if a bridge is set
        array = frames.asnumpy() if hasattr(frames, "asnumpy") else np.asarray(frames)
        return torch.from_numpy(array).permute(0, 3, 1, 2)


class TorchCodecReader(GatedReader):
    """The gate, then torchcodec in its exact mode with one thread."""

    backend = "torchcodec"

    def _open_decoder(self, source: EncodedVideo) -> int:
        try:
            from torchcodec.decoders import VideoDecoder
        except ImportError as error:
            raise VideoDecodeError(self.name, self.backend, "it is not installed (pip install torchcodec)") from error
        content = source.path or source.data or b""
        options: dict[str, Any] = {
            "stream_index": self._pyav.stream_index,
            "dimension_order": "NHWC",
            "seek_mode": "exact",
        }
        try:
            self._decoder = VideoDecoder(content, **options)
        except RuntimeError as error:
            if "libtorchcodec" not in str(error):
                raise
            # It brings no FFmpeg, and notices only now that there is none.
            reason = "it is not installed completely: it does not find FFmpeg's libraries"
            raise VideoDecodeError(self.name, self.backend, reason) from error
        return len(self._decoder)

    def _decode_trusted(self, indices: np.ndarray) -> torch.Tensor:
        return self._decoder.get_frames_at(indices.tolist()).data.permute(0, 3, 1, 2)
