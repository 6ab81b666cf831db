"""Small videos and models of which tests make indexes, and what their rows have in common."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from clipbert_hf import ClipBertConfig, ClipBertForVideoTextRetrieval, ClipBertProcessor
from clipbert_hf.retrieval.index_table import IndexTable
from clipbert_hf.retrieval.video_index import VideoIndex

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "circle", "moves", "?", "##s"]
SIZES = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    **{"backbone": "resnet18", "backbone_stride_in_1x1": False, "cls_token_id": 2, "sep_token_id": 3},
    "backbone_kwargs": {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]},
}


def save_model(folder: Path, seed: int = 0, words: list[str] = WORDS[5:], **options) -> Path:
    folder.mkdir()
    words = [*WORDS[:5], *words]
    (folder / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(seed)
    model = ClipBertForVideoTextRetrieval(ClipBertConfig(vocab_size=len(words), **{**SIZES, **options})).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and ("encoder" in name or "visual" in name) and parameter.ndim == 2:
                parameter.mul_(10)  # vectors and scores that differ
    model.save_pretrained(folder)
    sizes = {"size": {"longest_edge": 64}, "num_clips": 2, "image_std": (100.0,) * 3}
    ClipBertProcessor.from_pretrained_parts(text=folder / "vocab.txt", **sizes).save_pretrained(folder)
    return folder


def write_video(path: Path, seed: int, seconds: float = 2) -> Path:
    """Scenes of half a second, each of one colour."""
    generator = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(int(10 * seconds)):
            if number % 5 == 0:
                colour = generator.integers(0, 256, 3, dtype=np.uint8)
            frame = np.broadcast_to(colour, (48, 64, 3)).copy()
            frame[:: 2 + seed % 3] = 255 - colour
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode(None))
    return path


def build(folder, uri, model, **options) -> VideoIndex:
    with pytest.warns(UserWarning, match=r"1 videos could not be read.*torn\.mp4"):
        return VideoIndex.build(folder, uri, model=model, device="cpu", clip_every=1, **options)


def rows_of(uri) -> dict[str, dict]:
    table = IndexTable.find(uri)
    rows = table.read([name for name in table.schema.names if name != "modified"]).to_pylist()
    return {os.path.basename(row.pop("path")): row for row in rows}


def same_rows(some: dict, others: dict) -> bool:
    """Equal but for the last bits of vectors, which depend on threads, and folders in messages."""
    assert some.keys() == others.keys()
    for name, row in some.items():
        for column in ("vector", "clip_vectors"):
            if row[column] is not None:
                np.testing.assert_allclose(row[column], others[name][column], atol=1e-5)
        for column in ("content_hash", "size", "clip_seconds", "token_shape", "clip_places", "distinct_clips"):
            assert row[column] == others[name][column], (name, column)
        assert (row["error"] is None) == (others[name]["error"] is None)
    return True
