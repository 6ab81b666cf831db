"""Videos to what an index keeps of them, a few clips at a time, so that an hour-long one needs no more memory.

Shapes: K clips a video, k of them at a time, T frames a clip, C numbers a vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import InvalidInputError, VideoDecodeError
from ..model.contrastive_clipbert import pool_clips
from ..model.encoded_videos_clipbert import EncodedVideos
from ..model.video_options_clipbert import complete_options
from ..video.reading import open_video
from ..video.reading_ahead import ReadAhead
from ..video.sampling import clip_seconds
from .collection import Item, read_content
from .index_rows import UNKNOWN_SIZE, Encoding
from .pair_scorer import PairScorer

_CLIPS_AT_ONCE = 16


@dataclass(frozen=True)
class EncodedItem:
    """A video of a collection after it was read.

    Args:
        item: The video.
        digest: Of its content, if that could be fetched.
        size: As the collection tells it, else of its content; :data:`UNKNOWN_SIZE` if that could not be fetched.
        encoded: What the model made of it; why it could not be read; or None if its content is known.
    """

    item: Item
    digest: str | None
    size: int
    encoded: Encoding | str | None


@dataclass(frozen=True)
class _Piece:
    """Some clips of a video, decoded; or how its reading ended."""

    item: Item
    digest: str | None
    size: int
    pixels: torch.Tensor | None = None  # (1, k, T, 3, L, L)
    indices: torch.Tensor | None = None  # (1, k, T)
    seconds: np.ndarray | None = None  # (K, 2), with the last clips
    error: str | None = None
    is_last: bool = False


class VideoEncoder:
    """Encodes videos with a clip every few seconds.

    Args:
        scorer: Its model, its processor and its options of videos.
        clip_every: Seconds; a video has at least the processor's number of clips, and one for each so many seconds.

    Raises:
        InvalidInputError: If ``clip_every`` is not positive, or an option has no such value.
    """

    def __init__(self, scorer: PairScorer, clip_every: float | None = None) -> None:
        if clip_every is not None and not (math.isfinite(clip_every) and clip_every > 0):
            raise InvalidInputError(f"clip_every must be a positive number of seconds; got {clip_every!r}")
        self.scorer, self.clip_every = scorer, clip_every
        self.processor = scorer.processor.video_processor
        self.options = complete_options(self.processor, scorer.video_options)

    def encode(self, items: Iterable[Item], is_known: Callable[[Item, str], bool]) -> Iterator[EncodedItem]:
        """Encode videos in order, the next clips being decoded in the meantime.

        Args:
            items: The videos.
            is_known: Tells of a video and the digest of its content whether it is not to be decoded.
        """
        pieces: list[EncodedVideos] = []
        for piece in ReadAhead(self._pieces(items, is_known)):
            encoded: Encoding | str | None = piece.error
            if piece.pixels is not None and piece.error is None:
                pieces.append(self._encode(piece.pixels, piece.indices))
                if piece.is_last:
                    assert piece.seconds is not None  # the last one has them
                    encoded = self._embed(_joined(pieces), piece.seconds)
            if piece.is_last:
                pieces = []
                yield EncodedItem(piece.item, piece.digest, piece.size, encoded)

    def _pieces(self, items: Iterable[Item], is_known: Callable[[Item, str], bool]) -> Iterator[_Piece]:
        for item in items:
            digest, size = None, UNKNOWN_SIZE
            try:
                source, digest, size = read_content(item, self.options["decoding_limits"])
                size = size if item.size == UNKNOWN_SIZE else item.size
                if is_known(item, digest):
                    yield _Piece(item, digest, size, is_last=True)
                else:
                    yield from self._decode(item, source, digest, size)
            except (VideoDecodeError, OSError) as error:
                yield _Piece(item, digest, size, error=str(error), is_last=True)

    def _decode(self, item: Item, source: Any, digest: str, size: int) -> Iterator[_Piece]:
        names = {"backend": "decoding_backend", "limits": "decoding_limits", "square_pixels": "square_pixels"}
        with open_video(source, **{name: self.options[option] for name, option in names.items()}) as reader:
            clips = self.options["num_clips"]
            if self.clip_every is not None:
                clips = max(clips, math.ceil(reader.duration / self.clip_every))
            given = {**self.scorer.video_options, "num_clips": clips}
            indices = self.processor.clip_indices(reader, **given)  # (K, T)
            seconds = clip_seconds(
                indices, video_fps=reader.fps, frame_seconds=reader.frame_seconds, duration=reader.duration
            )
            for first in range(0, len(indices), _CLIPS_AT_ONCE):
                some = indices[first : first + _CLIPS_AT_ONCE]
                unique, places = np.unique(some, return_inverse=True)
                frames = self.processor(
                    [reader.read(unique)], **{**given, "do_sample_frames": False, "input_data_format": "channels_first"}
                )["pixel_values_videos"][0, 0]
                pixels = frames[torch.from_numpy(places.reshape(some.shape))][None]
                is_last = first + _CLIPS_AT_ONCE >= len(indices)
                yield _Piece(item, digest, size, pixels, torch.from_numpy(some)[None], seconds, is_last=is_last)

    def _encode(self, pixels: torch.Tensor, indices: torch.Tensor | None) -> EncodedVideos:
        if pixels.dtype == torch.uint8:
            pixels = self.processor.normalize_clips(pixels.to(self.scorer.model.device))
        encoded = self.scorer.core.encode_videos(pixels, indices)
        return encoded.to("cpu")  # a long video's are many

    @torch.inference_mode()
    def _embed(self, videos: EncodedVideos, seconds: np.ndarray) -> Encoding:
        model: Any = self.scorer.model
        if not model.config.contrastive_size:
            return Encoding(videos, seconds)
        with arithmetic(self.scorer):
            parts = [model.embed_clips(some.to(model.device)) for some in videos.tokens.split(_CLIPS_AT_ONCE)]
        vectors = torch.cat(parts).float().cpu()[videos.clip_places[0]]
        if not vectors.isfinite().all():  # LanceDB would store none, and the video be found by nothing
            raise InvalidInputError(
                f"model: it gives vectors that are no numbers, in {self.scorer.core.dtype or model.dtype}; were its "
                "weights trained in another type?"
            )
        pooling = model.config.contrastive_pooling
        pooled = pool_clips(vectors[None], None, "mean" if pooling == "maxsim" else pooling)[0]
        return Encoding(videos, seconds, vectors.numpy(), pooled.numpy())


def arithmetic(scorer: PairScorer) -> AbstractContextManager[Any]:
    """In which a scorer's model computes what the pair scorer does not."""
    dtype, model = scorer.core.dtype, scorer.model
    is_mixed = dtype is not None and dtype != model.dtype
    return torch.autocast(model.device.type, dtype=dtype if is_mixed else None, enabled=is_mixed)


def _joined(pieces: list[EncodedVideos]) -> EncodedVideos:
    """Clips of one video, one after the other."""
    firsts = np.cumsum([0] + [len(piece.tokens) for piece in pieces]).tolist()
    places = [piece.clip_places + first for piece, first in zip(pieces, firsts, strict=False)]
    return EncodedVideos(torch.cat([piece.tokens for piece in pieces]), torch.cat(places, dim=1))
