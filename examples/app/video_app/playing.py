"""A part of a video as a browser plays it: the file itself, where it can; or the part alone, encoded anew."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from urllib.parse import quote

import av
import numpy as np

from clipbert_hf import open_video

# What Chromium, Firefox and Safari all play: the container, and codecs in it.
_ENDINGS = {".mp4": ("mp4", {"h264"}), ".m4v": ("mp4", {"h264"}), ".webm": ("webm", {"vp8", "vp9"})}
_PIXELS = {"yuv420p", "yuvj420p"}
_LONGEST_PART, _MOST_FPS, _TALLEST = 20.0, 12.5, 360
_FRAMES_AT_ONCE = 16


def player(path: str, start: float, end: float, served: Sequence[str]) -> str:
    """HTML that plays a part of a video, once, from its start to its end.

    Args:
        path: The video's, or its URL.
        start: In seconds.
        end: In seconds.
        served: Folders whose files the page may fetch.

    Raises:
        VideoDecodeError: If the video cannot be read any more.
    """
    if any(is_below(path, folder) for folder in served) and plays_in_browsers(path):
        # Relative, so that it is found behind a proxy too; a browser stops at the end of a media fragment.
        source = f"gradio_api/file={quote(os.path.abspath(path))}#t={start:.3f},{end:.3f}"
    else:
        source = "data:video/mp4;base64," + base64.b64encode(encode_part(path, start, end)).decode()
    name = html.escape(os.path.basename(path))
    return (
        f'<figure><video src="{html.escape(source)}" controls autoplay muted playsinline></video>'
        f"<figcaption>{name}, {start:.1f} to {end:.1f} s</figcaption></figure>"
    )


def plays_in_browsers(path: str) -> bool:
    """Whether all current browsers play a file, by its name and by what is in it."""
    container, codecs = _ENDINGS.get(os.path.splitext(path)[1].lower(), (None, set()))
    if container is None:
        return False
    try:
        # Not left to FFmpeg, which would follow a list of other files.
        with av.open(path, format=container) as file:
            context = file.streams.video[0].codec_context
            return context.name in codecs and context.pix_fmt in _PIXELS
    except (av.FFmpegError, OSError, IndexError):
        return False


def encode_part(path: str, start: float, end: float) -> bytes:
    """A part of a video as a small mp4: at most 20 s, 360 px high, without sound.

    Args:
        path: Anything that the reader opens.
        start: In seconds.
        end: In seconds.

    Raises:
        VideoDecodeError: If it cannot be read.
    """
    file = io.BytesIO()
    with open_video(path) as video:
        end = min(end, start + _LONGEST_PART)
        every = max(round(video.fps / _MOST_FPS), 1)
        first = min(int(start * video.fps), video.frames - 1)
        indices = np.arange(first, max(min(int(end * video.fps), video.frames), first + 1), every)
        with av.open(file, "w", format="mp4") as output:
            stream = output.add_stream("libx264", rate=max(round(video.fps / every), 1))
            scale = min(_TALLEST / video.info.height, 1)
            # Twice as many pixels of brightness as of colour, so that sides are even.
            stream.width, stream.height = (
                max(2 * round(side * scale / 2), 2) for side in (video.info.width, video.info.height)
            )
            stream.pix_fmt = "yuv420p"
            for place in range(0, len(indices), _FRAMES_AT_ONCE):
                for picture in video.read(indices[place : place + _FRAMES_AT_ONCE]).permute(0, 2, 3, 1).numpy():
                    output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
            output.mux(stream.encode(None))
    return file.getvalue()


def is_below(path: str, folder: str) -> bool:
    """Whether a file lies in a folder, once all links are followed."""
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ""))
