"""Tells whether videos and images can be read, by the rules of the reader in ``clipbert_hf.video``.

That package loads torch, which this one does without, so the rules stand here once more: what is an image is told by
its first bytes, and of a video's streams it is the best that counts, unless that is a cover picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from datasets_scripts.annotations.media import FRAME_EXTENSIONS, MediaKind
from datasets_scripts.execution.executor import Executor
from datasets_scripts.execution.threads import Threads

LOOKED_QUICKLY = (
    "looked quickly: at the structure and the first frame of videos, and at all of images and GIFs; --full decodes "
    "every frame"
)
LOOKED_AT_ALL = "looked at every frame"

# The formats that the reader opens. FFmpeg guesses at others too: it takes text for a recording of a terminal.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,ogg,flv,"
    "asf,mxf,nut,dv,yuv4mpegpipe"
)
_IMAGE_STARTS = (b"GIF87a", b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*")
_PORTABLE_PIXMAPS = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")


def find_unreadable(
    paths: Iterable[str],
    kind: MediaKind,
    *,
    full: bool = False,
    executor: Executor | None = None,
    progress: bool = True,
) -> dict[str, str]:
    """Open every file and decode its beginning, or all of it.

    Args:
        paths: Which files; for videos also folders of frames.
        kind: What they hold.
        full: Whether to decode every frame.
        executor: What opens them; by default two threads a core, since much of the time goes into waiting for the disk.
        progress: Whether to show a progress bar.

    Returns:
        What is wrong with each file that cannot be read.
    """
    from tqdm.auto import tqdm

    paths = list(paths)
    read = why_unreadable_image if kind == "image" else partial(why_unreadable_video, full=full)
    results = (executor or Threads(2 * (os.cpu_count() or 1))).run(read, paths)
    bar = tqdm(results, total=len(paths), desc="check", unit="file", disable=not progress)
    return dict(sorted((path, reason) for path, reason in bar if reason is not None))


def why_unreadable_video(path: str, *, full: bool = False) -> str | None:
    """What is wrong with a video: nothing, or that it does not open, decode, or end where it should.

    The first frame is decoded, and the end of the last one, as the index of the file has it, must lie within the file;
    so a torn download is noticed without reading all of it. An image, a GIF among them, is decoded to its end.

    Args:
        path: The file, or a folder of images.
        full: Whether to decode every frame.
    """
    if os.path.isdir(path):
        return _why_unreadable_folder(path, full)
    import av

    try:
        with open(path, "rb") as file:
            if _is_image(file.read(12)):
                return why_unreadable_image(path)
        size = os.path.getsize(path)
        with av.open(
            f"file:{path}", options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
        ) as container:
            stream = container.streams.best("video")
            if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
                found = ", ".join(sorted({other.type for other in container.streams})) or "no streams at all"
                return f"it has no video stream, other than a cover picture if there is one; found: {found}"
            stream.thread_type = "NONE"  # as many files are open as there are threads
            entries = stream.index_entries
            end = max((entry.pos + entry.size for entry in entries), default=0)
            if end > size:
                return f"it is cut off: {size} bytes instead of at least {end}"
            frames = 0
            for frame in container.decode(stream):
                frames += 1
                if full and frame.is_corrupt:
                    return f"frame {frames - 1} is damaged"
                if not full:
                    break
            if not frames:
                return "it has no frame"
    except (av.FFmpegError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def why_unreadable_image(path: str) -> str | None:
    """What is wrong with an image or GIF, all frames of which are decoded; None if nothing is."""
    from PIL import Image, ImageSequence

    try:
        with Image.open(path) as image:
            for frame in ImageSequence.Iterator(image):
                frame.load()
                reason = _why_no_grey_levels(frame)
                if reason is not None:
                    return reason
            if image.format == "GIF" and _is_torn_gif(Path(path).read_bytes()):
                return "it is cut off in the middle of a frame"
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _why_no_grey_levels(image: Any) -> str | None:
    """What keeps the reader from knowing which number is white."""
    if image.mode == "F":
        return "its pixels are floating-point numbers, expected 8 or 16 bits"
    if image.mode.startswith("I"):
        least, most = image.getextrema()
        if not 0 <= least <= most <= 0xFFFF:
            return f"its pixels are {least} to {most}, expected 8 or 16 bits"
    return None


def _why_unreadable_folder(path: str, full: bool) -> str | None:
    names = [name for name in sorted(os.listdir(path)) if os.path.splitext(name)[1].lower() in FRAME_EXTENSIONS]
    names = [name for name in names if not name.startswith(".")]
    if not names:
        return "the folder holds no image"
    for name in names if full else names[:1]:
        reason = why_unreadable_image(os.path.join(path, name))
        if reason is not None:
            return f"{name}: {reason}"
    empty = [name for name in names if not os.path.getsize(os.path.join(path, name))]
    return f"{empty[0]} is empty" if empty else None


def _is_image(head: bytes) -> bool:
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_avif = head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1")
    is_pixmap = head[:2] in _PORTABLE_PIXMAPS and head[2:3].isspace()
    return head.startswith(_IMAGE_STARTS) or is_webp or is_avif or is_pixmap


def _is_torn_gif(content: bytes) -> bool:
    """Whether a GIF ends within one of its blocks. Its last byte may be missing, and anything may follow it."""

    def colours(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    place = 13 + colours(content[10]) if len(content) > 10 else 13
    while place < len(content):
        kind = content[place]
        if kind == 0x21:  # an extension: its label, then pieces
            place += 2
        elif kind == 0x2C:  # a frame: its place and colours, the width of its codes, then pieces
            place += 11 + (colours(content[place + 9]) if place + 9 < len(content) else 0)
        else:  # the end, or what decoders take for it
            return False
        while place < len(content) and content[place]:  # each piece begins with its length, and the last one has none
            place += 1 + content[place]
        place += 1
    return place > len(content)
