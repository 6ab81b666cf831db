"""What a server is told when it is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of the command line.

    Args:
        model: A folder, or a repository of the Hub.
        batch_size: The most videos that pass the model together.
        max_wait_ms: How long a decoded video waits for others while the model is free.
        max_requests: Requests at once, from their first byte to their answer.
        max_mb: Size of an upload, in millions of bytes.
        max_seconds: Length of a video.
        max_characters: Length of a text.
        max_texts: How many options or texts.
        timeout: Seconds for an upload, and again for its answer.
        decoders: Threads that decode.
        num_clips: By default the processor's.
        video_dir: Where videos that are named by path lie; by default none may be.
        device: By default the GPU if there is one.
        dtype: By default as saved.
    """

    model: str
    batch_size: int = 8
    max_wait_ms: float = 5.0
    max_requests: int = 64
    max_mb: float = 64.0
    max_seconds: float = 600.0
    max_characters: int = 500
    max_texts: int = 32
    timeout: float = 60.0
    decoders: int = 2
    num_clips: int | None = None
    video_dir: Path | None = None
    device: str | None = None
    dtype: str | None = None
