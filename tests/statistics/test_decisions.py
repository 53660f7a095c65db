"""One decision on each pair of a family: by Holm over both signs, with intervals that never say otherwise."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy import stats

from landscape.statistics import (
    CANNOT_TELL,
    DIFFERENT,
    OPEN,
    contrast,
    decide,
    detectable_effect,
    holm,
    holm_with_signs,
    smallest_p,
)
from tests.support.simulated import arms_of, decided, most_false


def test_holm_with_signs_is_holm_over_all_one_sided_hypotheses():
    rng = np.random.default_rng(0)
    for m in (1, 2, 3, 6, 15):
        p = rng.random(m) ** 3
        one_sided = holm([*p / 2, *(1 - p / 2)]).reshape(2, m)
        assert holm_with_signs(p) == pytest.approx(one_sided.min(axis=0))
        assert (holm(p) <= holm_with_signs(p) + 1e-15).all()
        assert (holm_with_signs(p) <= np.minimum(1, m * p) + 1e-15).all()
    found = holm_with_signs([0.02, np.nan, 0.03])
    assert found[[0, 2]] == pytest.approx([0.04, 0.045])
    assert np.isnan(found[1])


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("n", [3, 6, 10])
@pytest.mark.parametrize("count", [2, 4])
def test_an_interval_holds_zero_where_no_difference_was_found_and_never_where_one_was(n, count, paired):
    rng = np.random.default_rng(n + count)
    verdicts = set()
    for _ in range(40):
        shift = rng.choice([0.0, 1.0, 2.0, 8.0])
        for row in decided(arms_of(rng, n, count, paired=paired, shift=shift)):
            verdicts.add(row.verdict)
            if row.verdict == DIFFERENT:
                assert row.p_holm < 0.05
                assert row.low >= 0 if row.difference > 0 else row.high <= 0
                assert row.effect_low >= 0 if row.difference > 0 else row.effect_high <= 0
            else:
                assert row.p_holm >= 0.05
                assert row.low <= 0 <= row.high
                assert row.effect_low <= 0 <= row.effect_high
            assert row.low <= row.difference <= row.high
    floor = count * (count - 1) / 2 * smallest_p(n, None if paired else n)
    assert verdicts == {CANNOT_TELL} if floor >= 0.05 else {DIFFERENT, OPEN} <= verdicts


def test_where_nothing_has_to_give_way_intervals_are_students_at_the_level_divided_by_the_pairs():
    """Three arms that differ by far: bounds of Bonferroni, and of each pair alone those of scipy."""
    rng = np.random.default_rng(1)
    arms = [dict(enumerate(rng.normal(20 * i, 1, 8))) for i in range(3)]
    for (a, b), row in zip(combinations(arms, 2), decided(arms), strict=True):
        x, y = np.array(list(a.values())), np.array(list(b.values()))
        together = stats.ttest_rel(x, y).confidence_interval(1 - 0.05 / 3)
        alone = stats.ttest_rel(x, y).confidence_interval(0.95)
        assert (row.low, row.high) == pytest.approx((together.low, together.high))
        assert (row.single_low, row.single_high) == pytest.approx((alone.low, alone.high))
        assert (row.pairs, row.verdict) == (3, DIFFERENT)


def test_a_family_of_one_pair_is_that_pair_alone():
    rng = np.random.default_rng(2)
    a, b = (dict(enumerate(rng.normal(shift, 1, 9))) for shift in (3, 0))
    (row,), alone = decide([(a, b)], groups=2), contrast(a, b)
    assert (row.low, row.high, row.p_holm) == (alone.low, alone.high, alone.p)
    assert (row.effect, row.effect_low) == (alone.effect, alone.effect_low)


@pytest.mark.parametrize(
    ("n", "count", "floor"),
    [(3, 2, 0.25), (5, 2, 0.0625), (5, 6, 0.9375), (10, 6, 15 * 2 / 1024), (10, 8, 28 * 2 / 1024)],
)
def test_a_design_that_could_not_have_told_any_difference_says_so_whatever_the_data(n, count, floor):
    """The smallest p of n pairs is 2/2ⁿ; all pairs of groups that far apart are adjusted by their number."""
    arms = [{seed: 100.0 * i + seed for seed in range(n)} for i in range(count)]
    for row in decided(arms):
        assert row.smallest_p_holm == pytest.approx(floor) == pytest.approx(row.p_holm)
        assert row.verdict == (CANNOT_TELL if floor >= 0.05 else DIFFERENT)
        assert (row.detectable == float("inf")) is (floor >= 0.05)


def test_a_single_run_is_not_counted_and_tells_nothing():
    rng = np.random.default_rng(3)
    arms = [dict(enumerate(rng.normal(9 * i, 1, 10))) for i in range(2)] + [{0: 5.0}]
    rows = decided(arms)
    assert [row.verdict for row in rows] == [DIFFERENT, CANNOT_TELL, CANNOT_TELL]
    assert [row.pairs for row in rows] == [1, 1, 1]
    assert np.isnan([rows[1].p_holm, rows[1].low, rows[1].effect]).all()


# --- what a design finds ----------------------------------------------------------------------------------------------


def test_the_detectable_effect_of_64_against_64_is_a_half_as_in_cohens_table():
    """Of two groups of that size the permutation test is the t test."""
    assert detectable_effect(64, m=64) == pytest.approx(0.5, abs=0.02)
    assert detectable_effect(26, m=26) == pytest.approx(0.8, abs=0.03)
    assert detectable_effect(34) == pytest.approx(0.5, abs=0.02)
    assert detectable_effect(1) == float("inf")


def test_more_arms_need_larger_effects_and_more_seeds_smaller_ones():
    over_arms = [detectable_effect(10, groups=groups) for groups in (2, 3, 4, 6)]
    assert all(few < many for few, many in pairwise(over_arms))
    over_seeds = [detectable_effect(n, groups=3) for n in (7, 8, 10, 12, 13, 20)]
    assert all(few > many for few, many in pairwise(over_seeds))
    assert detectable_effect(10, groups=8) == float("inf")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "count", "paired"), [(10, 6, True), (10, 3, True), (20, 3, True), (6, 3, False), (10, 3, False)]
)
def test_a_difference_as_large_as_the_detectable_one_is_found_as_often_as_promised(n, count, paired):
    """By the rule itself, on other draws; the t test of one pair promises ten seeds and six arms 1.00."""
    shift = detectable_effect(n, m=None if paired else n, groups=count)
    rng, studies, found = np.random.default_rng(7), 700, []
    for _ in range(studies):
        rows = decided(arms_of(rng, n, count, paired=paired, shift=shift))[: count - 1]
        found.append(np.mean([row.verdict == DIFFERENT for row in rows]))
    error = np.std(found) / studies**0.5
    assert abs(np.mean(found) - 0.8) <= 0.015 + 3 * error  # a point and a half: the error of the simulation within


# --- levels and coverage, in small; in full in tests/campaigns/test_decisions.py --------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("n", "count"), [(10, 3), (6, 3)])
def test_in_few_families_is_there_any_false_difference_or_an_interval_that_misses(n, count, paired):
    """One arm is far from the others, which are equal: the case in which a stepwise test spends most."""
    rng, studies = np.random.default_rng(8), 500
    truth = [6.0] + [0.0] * (count - 1)
    missed = alarms = 0
    for _ in range(studies):
        rows = decided(arms_of(rng, n, count, paired=paired, shift=truth[0]))
        true = [truth[i] - truth[j] for i, j in combinations(range(count), 2)]
        alarms += any(row.verdict == DIFFERENT for row, delta in zip(rows, true, strict=True) if delta == 0)
        missed += not all(covers(row, delta) for row, delta in zip(rows, true, strict=True))
    assert alarms <= most_false(studies, 0.05)
    assert missed <= most_false(studies, 0.05)


def covers(row, delta):
    """An end at 0 of a difference that was found stands for beyond 0."""
    return not (row.verdict == DIFFERENT and delta == 0) and row.low <= delta <= row.high
