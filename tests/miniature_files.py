"""Small real videos, GIFs and images, and annotation files in the published forms."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

import datasets_scripts

CODECS = {".avi": "mpeg4", ".webm": "libvpx"}


@functools.cache
def video_bytes(extension: str) -> bytes:
    """A video of four frames of 64 x 64 pixels."""
    frames = [np.full((64, 64, 3), 60 * number, np.uint8) for number in range(4)]
    buffer = io.BytesIO()
    if extension == ".gif":
        first, *rest = [Image.fromarray(frame) for frame in frames]
        first.save(buffer, "GIF", save_all=True, append_images=rest, duration=100)
    elif extension in (".jpg", ".png"):
        Image.fromarray(frames[2]).save(buffer, "JPEG" if extension == ".jpg" else "PNG")
    else:
        formats = {".mkv": "matroska", ".mov": "mov", ".avi": "avi", ".webm": "webm", ".mp4": "mp4"}
        with av.open(buffer, "w", format=formats[extension]) as container:
            stream = container.add_stream(CODECS.get(extension, "libx264"), rate=4)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            container.mux(stream.encode())
    return buffer.getvalue()


def write_media(folder: Path, *names: str) -> Path:
    """Real files of these names; the extension says the format, and without a known one it is mp4."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        known = path.suffix in (".avi", ".webm", ".mkv", ".mov", ".gif", ".jpg", ".png")
        path.write_bytes(video_bytes(path.suffix if known else ".mp4"))
    return folder


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_jsonl(path: Path, rows: Iterable[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_table(path: Path, rows: Sequence[Sequence[Any]], *, delimiter: str = "\t", end: str = "\r\n") -> Path:
    """As published by TGIF-QA: no quotes, CRLF; the first row is the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(delimiter.join(map(str, row)) + end for row in rows).encode())
    return path


def load_rows(name: str, config: str, **options: Any) -> dict[str, list[dict[str, Any]]]:
    """The rows of all splits as plain data."""
    splits = datasets_scripts.load(name, config, **options)
    return {split: list(rows) for split, rows in splits.items()}
