"""Which videos fit a text: scoring pairs of texts and videos, from files to ranks."""

from .pair_scorer import PairScorer

__all__ = ["PairScorer"]
