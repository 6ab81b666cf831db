"""Inference clips of test videos, decoded once for all runs that are tested on them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from clipbert_hf import ClipBertProcessor
from clipbert_hf.model.encoded_videos_clipbert import EncodedVideos
from clipbert_hf.model.pair_scoring_clipbert import ClipBertPairScorer
from clipbert_hf.training.data.clips import ClipSamples
from clipbert_hf.training.data.splits import Row
from datasets_scripts.moving_shapes.generation import MANIFEST


class InferenceClips:
    """The clips of V videos, of all numbers of inference clips, as :class:`ClipSamples` reads them.

    Args:
        groups: The rows of each video.
        processor: Of the model.
        counts: Numbers of inference clips.
        single_clip: Where one clip lies.
        data: The folder of the videos; clips are kept beside it, by what they are made with.
    """

    def __init__(
        self,
        groups: Sequence[list[Row]],
        processor: ClipBertProcessor,
        counts: Sequence[int],
        *,
        single_clip: str,
        data: Path,
    ) -> None:
        self.processor = processor.video_processor
        videos = [rows[0]["video"] for rows in groups]
        made_with = [self.processor.to_dict(), [*counts], single_clip, videos, (data / MANIFEST).read_text("utf-8")]
        digest = hashlib.sha256(json.dumps(made_with, default=str, sort_keys=True).encode()).hexdigest()
        place = data.parent / "inference_clips" / f"{data.name}-{digest[:16]}.npz"
        if not place.exists():
            _decode(groups, ClipSamples(processor, clips=counts, training=False, single_clip=single_clip), place)
        with np.load(place) as arrays:
            self.pixels = torch.from_numpy(arrays["pixels"])  # (V, K, T, 3, L, L), as they were read
            self.frame_indices = torch.from_numpy(arrays["frame_indices"])  # (V, K, T)

    def encode(self, some: slice, scorer: ClipBertPairScorer) -> EncodedVideos:
        """Run the CNN over some of the videos."""
        return scorer.encode_videos(self.processor.normalize_clips(self.pixels[some]), self.frame_indices[some])


def _decode(groups: Sequence[list[Row]], read: ClipSamples, place: Path) -> None:
    samples = [read(rows, np.random.default_rng()) for rows in groups]  # of which inference draws nothing
    pixels, frame_indices = (torch.cat([sample[name] for sample in samples]) for name in ("pixels", "frame_indices"))
    place.parent.mkdir(parents=True, exist_ok=True)
    # Another run may read the same at this time; what it writes is the same too.
    part = place.with_suffix(f".{os.getpid()}.npz")
    np.savez(part, pixels=pixels.numpy(), frame_indices=frame_indices.numpy())
    part.replace(place)
