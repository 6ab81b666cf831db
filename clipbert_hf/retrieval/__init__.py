"""Which videos fit a text: scoring pairs of texts and videos, from files to ranks, and searching a collection."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .pair_scorer import PairScorer

if TYPE_CHECKING:
    from .video_index import VideoIndex

__all__ = ["PairScorer", "VideoIndex"]


def __getattr__(name: str) -> Any:
    if name == "VideoIndex":
        if find_spec("lancedb") is None:
            raise ImportError('VideoIndex needs lancedb: pip install "clipbert_hf[search]"')
        from .video_index import VideoIndex  # not before it is asked for, since few need what it imports

        return VideoIndex
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
