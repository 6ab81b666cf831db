"""A progress bar over pairs of a text and a video."""

from __future__ import annotations

from collections.abc import Callable

from tqdm.auto import tqdm


class PairProgress:
    """Shows pairs done, pairs a second and the time left, while their clips are counted.

    Args:
        pairs: Of texts and videos, in all.
        shown: Whether to show it.
    """

    def __init__(self, pairs: int, *, shown: bool) -> None:
        self._bar = tqdm(total=pairs, unit="pair", unit_scale=True, desc="scoring", disable=not shown, leave=False)

    def __enter__(self) -> PairProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def of_block(self, pairs: int, pairs_with_clips: int) -> Callable[[int], None]:
        """A function to be told of pairs of a text and a clip, for a block of pairs that has so many of these."""
        done = shown = 0

        def count(more: int) -> None:
            nonlocal done, shown
            done += more
            now = pairs * done // pairs_with_clips
            self._bar.update(now - shown)
            shown = now

        return count
