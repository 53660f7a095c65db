"""Simulated studies judged as real ones are: false differences, intervals that miss, and what a design finds.

Arms are lognormal, as curvature is over seeds, and judged by their logarithms, or normal with unlike spreads and sizes.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from landscape.statistics import DIFFERENT, detectable_effect, std_interval
from tests.support.simulated import decided, most_false

pytestmark = pytest.mark.campaign

SEEDS = (3, 5, 10, 20)
STUDIES = {3: 1000, 5: 1000, 10: 1500, 20: 600}
FAR = 8.0  # standard deviations: a difference that every rule finds where the design can tell at all


@pytest.fixture
def told(request, record_property):
    """Kept with the outcome of the test, and printed."""

    def tell(name, text):
        record_property(name, text)
        print(f"\n{request.node.name}: {name}: {text}", flush=True)

    return tell


@pytest.fixture(autouse=True)
def without_effects(monkeypatch):
    """Effect sizes take most of the time and no part in the decision; tests/statistics measures their intervals."""
    monkeypatch.setattr("landscape.statistics.decisions.effect_size", lambda *_, **__: (np.nan,) * 3)


def drawn(rng, sizes, spreads, shifts, *, paired):
    """Lognormal arms by seed, and the logarithm of their true medians; pairs share half of their variance."""
    common = rng.standard_normal(max(sizes))
    arms = []
    for i, (n, spread, shift) in enumerate(zip(sizes, spreads, shifts, strict=True)):
        own = rng.standard_normal(n)
        noise = 0.5**0.5 * (own + common[:n]) if paired else own
        values = np.exp(spread * (noise + shift))
        arms.append(dict(enumerate(np.log(values).tolist(), 0 if paired else 1000 * i)))
    return arms, [spread * shift for spread, shift in zip(spreads, shifts, strict=True)]


def judged(rng, studies, *design, **how):
    """How many studies have a false difference or wrong sign, how many an interval that misses; single coverage."""
    alarms = missed = 0
    single = []
    for _ in range(studies):
        arms, truth = drawn(rng, *design, **how)
        rows, deltas = decided(arms), [a - b for a, b in combinations(truth, 2)]
        false = [row.verdict == DIFFERENT and row.difference * d <= 0 for row, d in zip(rows, deltas, strict=True)]
        inside = [row.low <= d <= row.high for row, d in zip(rows, deltas, strict=True)]
        alarms += any(false)
        missed += any(false) or not all(inside)
        single.append(np.mean([row.single_low <= d <= row.single_high for row, d in zip(rows, deltas, strict=True)]))
    return alarms, missed, float(np.mean(single))


def hold(told, studies, alarms, missed, single):
    told("false differences, families with an interval that misses, single intervals that cover",
         f"{alarms / studies:.1%}, {missed / studies:.1%}, {single:.1%}")  # fmt: skip
    assert alarms <= most_false(studies, 0.05)
    assert missed <= most_false(studies, 0.05)


@pytest.mark.parametrize("shifted", [0, 1])
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("count", "spread"), [(3, 0.3), (3, 1.0), (6, 1.5)])
@pytest.mark.parametrize("n", SEEDS)
def test_families_of_arms_alike_or_one_of_them_far_off(n, spread, paired, count, shifted, told):
    """Far off is where a stepwise test spends most: it has rejected what is false, and the rest is up to chance."""
    rng, studies = np.random.default_rng(n), STUDIES[n]
    design = [n] * count, [spread] * count, [FAR * shifted] + [0.0] * (count - 1)
    hold(told, studies, *judged(rng, studies, *design, paired=paired))


@pytest.mark.parametrize("shifted", [0, 1])
@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("sizes", [(3, 10), (5, 10), (10, 20), (5, 20), (20, 5)])
def test_families_of_unequal_sizes_and_spreads(sizes, count, shifted, told):
    """The smaller arm spreads five times as far as the others, or the larger does."""
    rng, studies = np.random.default_rng(sum(sizes)), 600
    design = [sizes[0]] + [sizes[1]] * (count - 1), [1.5] + [0.3] * (count - 1), [FAR * shifted] + [0.0] * (count - 1)
    hold(told, studies, *judged(rng, studies, *design, paired=False))


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize(
    ("n", "paired"), [(6, True), (10, True), (12, True), (20, True), (5, False), (6, False), (10, False), (20, False)]
)
def test_the_detectable_effect_is_found_four_times_in_five(n, paired, count, told):
    shift = detectable_effect(n, m=None if paired else n, groups=count)
    if np.isinf(shift):
        told("power", "this design cannot tell")
        return
    rng, studies, found = np.random.default_rng(100 + n), STUDIES.get(n, 1000), []
    for _ in range(studies):
        # Of pairs the differences have standard deviation 1, without them the arms.
        arms, _ = drawn(rng, [n] * count, [1.0] * count, [shift] + [0.0] * (count - 1), paired=paired)
        rows = decided(arms)[: count - 1]
        found.append(np.mean([row.verdict == DIFFERENT for row in rows]))
    told("effect, power", f"{shift:.2f}, {100 * np.mean(found):.1f} %")
    assert abs(np.mean(found) - 0.8) <= 0.03


@pytest.mark.parametrize("n", [5, 10, 20])
@pytest.mark.parametrize("spread", [0.3, 0.7, 1.0, 1.5])
def test_the_interval_of_a_spread_covers_on_logarithms_where_that_of_the_values_falls_short(spread, n, told):
    rng, studies = np.random.default_rng(n), 4000
    logs = spread * rng.standard_normal((studies, n))
    truth = ((np.exp(spread**2) - 1) * np.exp(spread**2)) ** 0.5
    on_logs = sum(low <= spread <= high for _, low, high in map(std_interval, logs))
    linear = sum(low <= truth <= high for _, low, high in map(std_interval, np.exp(logs)))
    told("on logarithms, linear", f"{100 * on_logs / studies:.1f} %, {100 * linear / studies:.1f} %")
    assert studies - on_logs <= most_false(studies, 0.05)
