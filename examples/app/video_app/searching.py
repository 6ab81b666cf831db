"""A search index: from a text to the videos that show it, and to the parts of them that fit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from PIL import Image

from clipbert_hf import ClipBertError, InvalidInputError, open_video
from clipbert_hf.retrieval.search_results import SearchResult

from .playing import is_below, player

if TYPE_CHECKING:
    from clipbert_hf.retrieval import VideoIndex

_THUMBNAIL = (320, 240)


@dataclass(frozen=True)
class Hit:
    """A video that was found.

    Args:
        path: The video's.
        name: For visitors: its path in the folder of the index; of other videos the name alone.
        score: What hits are ordered by, comparable within one search.
        spans: Start and end of the parts that fit in seconds, best first.
        moment: The middle of the clip that fits best, in seconds.
    """

    path: str
    name: str
    score: float
    spans: tuple[tuple[float, float], ...]
    moment: float

    @property
    def caption(self) -> str:
        """For people, in two lines."""
        start, end = self.spans[0]
        return f"{self.name}\n{start:.1f}–{end:.1f} s · {self.score:.2f}"


class Searcher:
    """An index, searched by one visitor at a time.

    Args:
        index: Opened.
    """

    def __init__(self, index: VideoIndex) -> None:
        self._index, self._lock = index, Lock()
        folder = index.table.settings["folder"]
        # The folder that it was built from; of an index of a list, nothing.
        self.served: tuple[str, ...] = () if folder is None else (folder,)

    def __len__(self) -> int:
        """How many videos it holds."""
        return len(self._index)

    def search(self, text: str, top_k: int) -> list[Hit]:
        """Find videos.

        Args:
            text: What they show.
            top_k: How many.

        Raises:
            InvalidInputError: If the text is blank.
        """
        if not text.strip():
            raise InvalidInputError("text: expected what the videos show, got a blank")
        with self._lock:
            return [self._hit(found) for found in self._index.search(text, top_k=top_k)]

    def play(self, hit: Hit, span: int = 0) -> str:
        """HTML that plays a span of a hit; see :func:`~.playing.player`.

        Args:
            hit: Of :meth:`search`.
            span: Which of its spans.

        Raises:
            InvalidInputError: If there is no such span.
            VideoDecodeError: If the video is not there any more.
        """
        if not 0 <= span < len(hit.spans):
            raise InvalidInputError(f"span must be from 0 to {len(hit.spans) - 1}; got {span}")
        return player(hit.path, *hit.spans[span], self.served)

    def _hit(self, found: SearchResult) -> Hit:
        inside = [os.path.relpath(found.path, folder) for folder in self.served if is_below(found.path, folder)]
        spans = tuple((span.start, span.end) for span in found.spans)
        name = inside[0] if inside else os.path.basename(found.path)
        return Hit(found.path, name, found.score, spans, (found.start + found.end) / 2)


def thumbnail(hit: Hit) -> Image.Image:
    """The frame in the middle of the best clip; grey, where the video cannot be read any more."""
    try:
        with open_video(hit.path) as video:
            frame = video.read([min(int(hit.moment * video.fps), video.frames - 1)])[0]
    except ClipBertError:
        return Image.new("RGB", _THUMBNAIL, "grey")
    picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
    picture.thumbnail(_THUMBNAIL)
    return picture
