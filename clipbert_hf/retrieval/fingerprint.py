"""What an index was made with, in few words: vectors of one model say nothing to another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch

from ..model.processing_clipbert import ClipBertProcessor

# Parts of a configuration that change no vector: names, files and versions, and how scores are put together later.
_NAMES = frozenset(
    {"architectures", "auto_map", "custom_pipelines", "dtype", "id2label", "label2id", "transformers_version"}
    | {"_name_or_path", "score_fusion", "score_aggregation", "problem_type", "calibration_temperature"}
)
# Options of a video processor that decide whether a video is read, not what is made of it.
_READING = frozenset({"auto_map", "decoding_backend", "decoding_limits", "processor_class", "video_processor_type"})


def fingerprint(model: Any, processor: ClipBertProcessor, options: Mapping[str, Any]) -> dict[str, str]:
    """A hash of each part on which stored vectors depend.

    Args:
        model: Its weights and its configuration count, not its type.
        processor: How its videos become pixels, and texts tokens.
        options: What of the video processor's is set otherwise.

    Returns:
        ``weights``, ``preprocessing`` and ``tokenizer``.
    """
    config = {name: value for name, value in model.config.to_dict().items() if name not in _NAMES}
    video = {**processor.video_processor.to_dict(), **options}
    video = {name: value for name, value in video.items() if name not in _READING}
    weights = hashlib.sha256(_canonical(config))
    for name, tensor in sorted(model.state_dict().items()):
        weights.update(f"{name} {tuple(tensor.shape)} ".encode())
        weights.update(tensor.detach().float().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    vocabulary = sorted(processor.tokenizer.get_vocab().items())
    return {
        "weights": weights.hexdigest(),
        "preprocessing": hashlib.sha256(_canonical(video)).hexdigest(),
        "tokenizer": hashlib.sha256(_canonical([vocabulary, processor.max_text_length])).hexdigest(),
    }


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()
