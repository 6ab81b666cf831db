"""When the frames of a video are shown, in whole ticks of a clock that an mp4 file can have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from datasets_scripts.preparation.errors import UnpreparedError

_LARGEST = 2**31 - 1  # of what an mp4 file holds in 32 bits: ticks a second, and ticks of one frame


@dataclass(frozen=True)
class Timeline:
    """When frames are shown.

    Args:
        clock: Ticks a second.
        start: When the first frame is shown, in ticks.
        ticks: When each frame is shown, in ticks after the first one; increasing.
        end: When the last frame ends, likewise.
        rate: Frames a second as the reader tells it, which is not always what follows from the ticks.
    """

    clock: int
    start: int
    ticks: tuple[int, ...]
    end: int
    rate: float

    @property
    def seconds(self) -> float:
        """How long the video lasts."""
        return self.end / self.clock

    @property
    def lengths(self) -> list[int]:
        """For how many ticks each frame is shown."""
        return [after - before for before, after in pairwise((*self.ticks, self.end))]


def known_times(times: Sequence[int], base: Fraction, end: Fraction, rate: float) -> Timeline:
    """The timeline of frames whose times are known.

    Args:
        times: When each is shown, increasing, in units of ``base``.
        base: Seconds a unit.
        end: When the last one ends, in seconds after the first one begins.
        rate: See :class:`Timeline`.

    Raises:
        UnpreparedError: A frame is shown for longer than mp4 can say.
    """
    clock, ticks = base.denominator, [(time - times[0]) * base.numerator for time in times]
    longest = max([*(after - before for before, after in pairwise(ticks)), int(end * clock) - ticks[-1] + 1])
    # A clock that runs a few times faster has a whole number of ticks for the end.
    finer = (end * clock).denominator
    if clock * finer > _LARGEST or longest * finer > _LARGEST:
        finer = 1
    if clock > _LARGEST or longest > _LARGEST:
        raise UnpreparedError(f"a frame is shown for {longest} ticks of 1/{clock} s, more than an mp4 file can say")
    last = round(end * clock * finer)
    return Timeline(
        clock=clock * finer,
        start=max(times[0], 0) * base.numerator * finer,
        ticks=tuple(tick * finer for tick in ticks),
        end=max(last, ticks[-1] * finer + 1),
        rate=rate,
    )


def steady_times(frames: int, rate: Fraction) -> Timeline:
    """The timeline of frames that follow each other at one rate."""
    step = rate.denominator
    return Timeline(rate.numerator, 0, tuple(range(0, frames * step, step)), frames * step, float(rate))
