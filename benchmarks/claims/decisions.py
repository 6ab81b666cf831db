"""From intervals to one sentence: reproduced, not reproduced, or not decidable here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.claims.bootstrap import Estimate

Verdict = Literal["reproduced", "not reproduced", "not decidable here"]
_UNDECIDED: Verdict = "not decidable here"
# Half the width of an interval, in points, within which "undecided" says something.
_ENOUGH = 3
_NORMAL_95 = 1.96


@dataclass(frozen=True)
class Comparison:
    """A sum of figures that a claim says is above zero.

    Args:
        text: What is compared, such as "4 random against 8 uniform clips".
        terms: (setting, metric, weight); for a difference the weights are 1 and -1.
        margin: How far below zero it may be, in points: not 0 where the claim is "at least as good".
    """

    text: str
    terms: tuple[tuple[str, str, float], ...]
    margin: float = 0.0


@dataclass(frozen=True)
class Claim:
    """What the paper says, as comparisons that must all hold.

    Args:
        text: A sentence.
        comparisons: Decided before any of it was measured.
    """

    text: str
    comparisons: tuple[Comparison, ...]


def difference(text: str, better: str, worse: str, metric: str, *, margin: float = 0.0) -> Comparison:
    """That a setting is better than another, or at least as good up to a margin."""
    return Comparison(text, ((better, metric, 1.0), (worse, metric, -1.0)), margin)


def decide(found: Estimate, margin: float = 0.0) -> Verdict:
    """What an interval says of a comparison.

    Example:
        >>> decide(Estimate(2.0, 0.5, 3.5, 0.0)), decide(Estimate(-2.0, -3.5, -0.5, 0.0))
        ('reproduced', 'not reproduced')
        >>> decide(Estimate(0.2, -0.5, 0.9, 0.0)), decide(Estimate(0.2, -0.5, 0.9, 0.0), margin=1.0)
        ('not decidable here', 'reproduced')
    """
    if found.low > -margin:
        return "reproduced"
    return "not reproduced" if found.high < 0 else _UNDECIDED


def decide_all(found: Sequence[tuple[Comparison, Estimate]]) -> Verdict:
    """Of a claim: reproduced if all hold, not reproduced as soon as one is contradicted."""
    verdicts = {decide(estimate, comparison.margin) for comparison, estimate in found}
    if "not reproduced" in verdicts:
        return "not reproduced"
    return "reproduced" if verdicts == {"reproduced"} else _UNDECIDED


def sentence(found: Sequence[tuple[Comparison, Estimate]]) -> str:
    """The verdict with its reason, in one sentence."""
    verdict = decide_all(found)
    because = {
        "reproduced": "every interval is on the side of the claim",
        "not reproduced": "an interval is wholly on the other side",
        "not decidable here": "overlapping intervals",
    }[verdict]
    return f"**{verdict.capitalize()}** ({because}): {'; '.join(_described(*each) for each in found)}."


def _seeds_it_takes(found: Estimate) -> str:
    """Of an interval that is too wide, how many seeds would narrow it as far as these tell; videos need more still."""
    if found.half_width <= _ENOUGH:
        return ""
    seeds = math.ceil((_NORMAL_95 * found.deviation / _ENOUGH) ** 2)
    return f"; seeds differ by ± {found.deviation:.1f}, so ± {_ENOUGH} takes at least {seeds} of them"


def _described(comparison: Comparison, found: Estimate) -> str:
    allowed = f", where {comparison.margin:g} below is allowed" if comparison.margin else ""
    verdict = decide(found, comparison.margin)
    doubt = f" (undecided within ± {found.half_width:.1f}{_seeds_it_takes(found)})" if verdict == _UNDECIDED else ""
    return f"{comparison.text} {found.mean:+.1f} points [{found.low:+.1f}, {found.high:+.1f}]{allowed}{doubt}"
