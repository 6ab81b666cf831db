"""Which videos fit a text: scoring pairs of texts and videos, from files to ranks, and searching a collection."""

from typing import TYPE_CHECKING, Any

from .pair_scorer import PairScorer

if TYPE_CHECKING:
    from .video_index import VideoIndex

__all__ = ["PairScorer", "VideoIndex"]


def __getattr__(name: str) -> Any:
    if name == "VideoIndex":
        from .video_index import VideoIndex  # needs an extra, and time

        return VideoIndex
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
