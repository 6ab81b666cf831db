"""From intervals to one sentence: reproduced, not reproduced, or not decidable here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.claims.bootstrap import Estimate

Verdict = Literal["reproduced", "not reproduced", "not decidable here"]


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
    return "not reproduced" if found.high < 0 else "not decidable here"


def decide_all(found: Sequence[tuple[Comparison, Estimate]]) -> Verdict:
    """Of a claim: reproduced if all hold, not reproduced as soon as one is contradicted."""
    verdicts = {decide(estimate, comparison.margin) for comparison, estimate in found}
    if "not reproduced" in verdicts:
        return "not reproduced"
    return "reproduced" if verdicts == {"reproduced"} else "not decidable here"


def sentence(found: Sequence[tuple[Comparison, Estimate]]) -> str:
    """The verdict with its reason, in one sentence."""
    verdict = decide_all(found)
    because = {
        "reproduced": "every interval is on the side of the claim",
        "not reproduced": "an interval is wholly on the other side",
        "not decidable here": "overlapping intervals",
    }[verdict]
    return f"**{verdict.capitalize()}** ({because}): {'; '.join(_described(*each) for each in found)}."


def _described(comparison: Comparison, found: Estimate) -> str:
    allowed = f", where {comparison.margin:g} below is allowed" if comparison.margin else ""
    verdict = decide(found, comparison.margin)
    doubt = f" (undecided within ± {found.half_width:.1f})" if verdict == "not decidable here" else ""
    return f"{comparison.text} {found.mean:+.1f} points [{found.low:+.1f}, {found.high:+.1f}]{allowed}{doubt}"
