"""Scores of texts and videos by an exported model, with the calls and the scores of ``ClipBertPairScorer``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from ..errors import InvalidInputError
from ..model.encoded_videos_clipbert import EncodedVideos, find_distinct_clips
from ..model.inputs_clipbert import check_visual_inputs
from ..model.pair_scoring_clipbert import ClipBertPairsOutput, named_or_all_pairs
from .runtimes import Runner, open_graph

DESCRIPTION = "clipbert_export.json"


class ExportedPairScorer:
    """Scores pairs with the files of ``python -m clipbert_hf.export``.

    Args:
        folder: What the command wrote. Files of the format torch can hold code: open only what you trust.
        clips_at_once: How many clips pass the vision part together.
        pairs_at_once: How many pairs of a text and a video pass the pair scorer together.

    Raises:
        InvalidInputError: If the folder holds no exported model.

    Example:
        >>> scorer = ExportedPairScorer("exported")  # doctest: +SKIP
        >>> processor = ClipBertProcessor.from_pretrained("exported")  # doctest: +SKIP
        >>> videos = scorer.encode_videos(processor(videos=["bikes.mp4"])["pixel_values_videos"])  # doctest: +SKIP
        >>> scorer.score_pairs(**processor(text=["a bike", "a car"]), videos=videos).scores.shape  # doctest: +SKIP
        torch.Size([2, 1])
    """

    def __init__(self, folder: str | os.PathLike[str], *, clips_at_once: int = 8, pairs_at_once: int = 16) -> None:
        self.folder = Path(folder)
        try:
            self.description: dict[str, Any] = json.loads((self.folder / DESCRIPTION).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidInputError(
                f"{folder} must hold a model that clipbert_hf.export wrote, with its {DESCRIPTION}: {error}"
            ) from error
        self.clips_at_once, self.pairs_at_once = clips_at_once, pairs_at_once
        self._runners: dict[str, Runner] = {}

    def _runner(self, part: str) -> Runner:
        if part not in self.description["parts"]:
            raise InvalidInputError(f"{self.folder} holds {', '.join(self.description['parts'])}, not {part}")
        if part not in self._runners:
            path = self.folder / self.description["parts"][part]["file"]
            self._runners[part] = open_graph(path, self.description["format"])
        return self._runners[part]

    def encode_videos(
        self, pixel_values_videos: torch.Tensor, frame_indices: torch.Tensor | None = None
    ) -> EncodedVideos:
        """Run the vision part, once for any number of texts.

        Args:
            pixel_values_videos: (B, K, T, 3, H, W), of the size that the part was exported for.
            frame_indices: (B, K, T); clips of the same frames are then computed once.

        Raises:
            InvalidInputError: If a shape is wrong, or the vision part was not exported.
        """
        check_visual_inputs(pixel_values_videos, None)
        run = self._runner("vision")
        expected = tuple(self.description["parts"]["vision"]["inputs"]["pixel_values"]["axes"])[2:]
        if tuple(pixel_values_videos.shape[3:]) != expected:
            raise InvalidInputError(
                f"pixel_values_videos must have frames of {expected}, for which {self.folder} was exported; got "
                f"{tuple(pixel_values_videos.shape[3:])}"
            )
        distinct = find_distinct_clips(pixel_values_videos.shape[:3], frame_indices)
        clips = pixel_values_videos.flatten(0, 2)[distinct.frames][distinct.clips]  # (clips, T, 3, H, W)
        tokens = [run({"pixel_values": some.contiguous()})["visual_tokens"] for some in clips.split(self.clips_at_once)]
        return EncodedVideos(torch.cat(tokens), distinct.clip_places)

    def score_pairs(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        videos: EncodedVideos,
        pairs: torch.Tensor | None = None,
    ) -> ClipBertPairsOutput:
        """Score texts against videos; see ``ClipBertPairScorer.score_pairs``.

        Args:
            input_ids: (N, M).
            attention_mask: (N, M).
            videos: Of :meth:`encode_videos`, or of ``ClipBertPairScorer`` in fp32.
            pairs: (P, 2); None: every text with every video.

        Raises:
            InvalidInputError: If a shape or an index is wrong, or the pair scorer was not exported.
        """
        run, every_pair = self._runner("pairs"), pairs is None
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        pairs = named_or_all_pairs(pairs, texts=len(input_ids), videos=len(videos))
        if not len(pairs):
            raise InvalidInputError("there must be at least one pair of a text and a video; got none")
        blocks = []
        for block in pairs.split(self.pairs_at_once):
            # Only what the block needs is embedded and copied.
            texts, rows = block[:, 0].unique(return_inverse=True)
            some, columns = block[:, 1].unique(return_inverse=True)
            blocks.append(
                run(
                    {
                        "input_ids": input_ids[texts],
                        "attention_mask": attention_mask[texts],
                        "visual_tokens": videos.tokens[videos.clip_places[some]],
                        "pairs": torch.stack([rows, columns], dim=1),
                    }
                )
            )
        outputs = {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}
        if every_pair:
            shape = (len(input_ids), len(videos))
            outputs = {name: each.unflatten(0, shape) for name, each in outputs.items()}
        return ClipBertPairsOutput(**outputs)
