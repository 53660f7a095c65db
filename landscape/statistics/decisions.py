"""All pairs of groups that are compared in one measure: one decision on each, and intervals that agree with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landscape.checks import check_count, check_share
from landscape.statistics.contrast import aligned, difference_interval
from landscape.statistics.detectable import detectable_effect
from landscape.statistics.effects import effect_size
from landscape.statistics.multiplicity import holm_with_signs
from landscape.statistics.permutation import permutation_test

#: The verdicts: one is larger, which of them the sign of the difference says; that could not be told with these
#: seeds; and no data of this design could have told it.
DIFFERENT, OPEN, CANNOT_TELL = "different", "not distinguishable", "cannot tell"
Pair = tuple[Mapping[int, float], Mapping[int, float]]


@dataclass(frozen=True)
class Decision:
    """What is said of one pair of groups, a and b, among all pairs of its family.

    Attributes
    ----------
    paired : bool
        Whether seeds were paired.
    n, m : int
        Replicates of a and b; with pairs both are their number.
    pairs : int
        Of groups in the family.
    difference : float
        Mean of a less that of b.
    low, high : float
        Its simultaneous interval: all those of the family hold together. On one side of 0 where the verdict is
        ``"different"``, and an end that is 0 then stands for "beyond 0"; else it holds 0.
    single_low, single_high : float
        The interval of this pair alone, by Student's t of the pairs' differences, or by Welch's t.
    effect, effect_low, effect_high : float
        Hedges' g with its simultaneous interval, on the same side as the other.
    p, smallest_p : float
        Of a permutation test of this pair alone, and the smallest that its design can reach.
    p_holm, smallest_p_holm : float
        The same, adjusted over the family. The verdict follows from them alone.
    detectable : float
        The difference that this design finds 4 times in 5, in standard deviations of the pairs' differences, or of a
        group where seeds are not paired (:func:`detectable_effect`); infinite where it finds none.
    verdict : {"different", "not distinguishable", "cannot tell"}
    """

    paired: bool
    n: int
    m: int
    pairs: int
    difference: float
    low: float
    high: float
    single_low: float
    single_high: float
    effect: float
    effect_low: float
    effect_high: float
    p: float
    smallest_p: float
    p_holm: float
    smallest_p_holm: float
    detectable: float
    verdict: str


def decide(pairs: Sequence[Pair], *, groups: int, level: float = 0.95) -> list[Decision]:
    r"""Decide on every pair of groups of a family, at one chance of any false word in all of them.

    A pair differs where its permutation p, adjusted by :func:`holm_with_signs`, is below α = 1 − ``level``. With m
    pairs, intervals are Student's or Welch's t at the level 1 − α/m, and then made to agree with the decision: one
    that was not rejected reaches 0, one that was ends there. So a false word is a false rejection, at most
    α·(m − k)/(m − k/2) for k pairs that truly differ, or an interval of those k that misses, at most α·k/m: together
    never above 1.18 α, whatever depends on what, and measured below α, for pairs that share a group err together. With
    Holm's own factors it would be up to α·(1 + k/m).

    Parameters
    ----------
    pairs : sequence of (mapping, mapping)
        Of groups as ``{seed: value}``, on the scale on which they are compared.
    groups : int
        How many groups the pairs are of.

    Returns
    -------
    list of Decision
        One for each pair. Those with fewer than two replicates have no p and no interval, and do not count.

    References
    ----------
    Strassburger & Bretz (2008), Compatible simultaneous lower confidence bounds for the Holm procedure, Stat. Med.
    27(24), and Guilbaud (2008), Biom. J. 50(5): what intervals must give up to agree with stepwise tests.
    """
    alpha, groups = round(1 - check_share("level", level), 12), check_count("groups", groups, least=2)
    found = [aligned(a, b) for a, b in pairs]
    tests = [permutation_test(x, y, paired=paired) for x, y, paired in found]
    counted = [0 if np.isnan(p) else 1 for p, _ in tests]
    family = max(sum(counted), 1)
    adjusted = holm_with_signs([p for p, _ in tests])
    floors = holm_with_signs([floor if count else np.nan for (_, floor), count in zip(tests, counted, strict=True)])
    decisions = []
    for (x, y, paired), (p, floor), p_holm, lowest in zip(found, tests, adjusted, floors, strict=True):
        reachable = 1.0 if np.isnan(lowest) else float(lowest)
        verdict = DIFFERENT if p_holm < alpha else OPEN if reachable < alpha else CANNOT_TELL
        difference, *single = difference_interval(x, y, paired=paired, level=level)
        both = difference_interval(x, y, paired=paired, level=1 - alpha / family)[1:]
        effect, *ends = effect_size(x, y, paired=paired, level=1 - alpha / family)
        low, high = _agreeing(both, difference, verdict)
        effect_low, effect_high = _agreeing(ends, difference, verdict)
        detectable = detectable_effect(x.size, m=None if paired else y.size, groups=groups, level=level)
        decisions.append(
            Decision(
                paired, x.size, y.size, family, difference, low, high, single[0], single[1], effect, effect_low,
                effect_high, p, floor, float(p_holm), reachable, detectable, verdict,
            )
        )  # fmt: skip
    return decisions


def _agreeing(ends: Sequence[float], difference: float, verdict: str) -> tuple[float, float]:
    """The interval cut at 0 where there is a difference, and widened to 0 where none was found; NaN stays."""
    low, high = ends
    if np.isnan(low) or np.isnan(high):
        return low, high
    if verdict == DIFFERENT:
        return (max(low, 0.0), high) if difference > 0 else (low, min(high, 0.0))
    return min(low, 0.0), max(high, 0.0)
