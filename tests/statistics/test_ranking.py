"""Ranks between groups, within them and setting by setting: the association is found where it is, and only there."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from landscape.statistics import granulated, kendall, rank_over_groups, rank_within_groups


def test_over_groups_tau_is_scipys_and_p_counts_the_orders():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=5), rng.normal(size=5).round(0)
    found = rank_over_groups(x, y)
    assert found.value == pytest.approx(stats.kendalltau(x, y).statistic)
    taus = [abs(stats.kendalltau(x, y[list(order)]).statistic) for order in permutations(range(5))]
    assert found.p == pytest.approx(np.mean([tau >= abs(found.value) - 1e-9 for tau in taus]))
    assert found.smallest_p == 2 / 120


@pytest.mark.parametrize(("groups", "smallest"), [(2, 1.0), (3, 2 / 6), (4, 2 / 24), (7, 2 / 5040)])
def test_few_groups_in_one_order_are_little_evidence(groups, smallest):
    found = rank_over_groups(range(groups), range(groups))
    assert found.smallest_p == pytest.approx(smallest)
    assert np.isnan(found.value) if groups == 2 else (found.value, found.p) == pytest.approx((1.0, smallest))


def study(rng, arms, n, *, between, within):
    """Arms whose centres and whose runs have these correlations between two numbers."""

    def pairs(rho, size):
        x = rng.standard_normal(size)
        return x, rho * x + (1 - rho**2) ** 0.5 * rng.standard_normal(size)

    centres, runs = pairs(between, arms), [pairs(within, n) for _ in range(arms)]
    return centres, [[3 * centres[k][i] + runs[i][k] for k in (0, 1)] for i in range(arms)]


def test_an_association_of_the_groups_is_none_within_them_and_the_other_way_around():
    rng = np.random.default_rng(1)
    _, groups = study(rng, 8, 12, between=1.0, within=0.0)
    assert rank_over_groups(*(np.array([g[k].mean() for g in groups]) for k in (0, 1))).value > 0.8
    assert abs(rank_within_groups(by_seed(groups)).value) < 0.25
    _, groups = study(rng, 8, 12, between=0.0, within=1.0)
    found = rank_within_groups(by_seed(groups))
    assert found.value == pytest.approx(1.0)
    assert (found.groups, found.n) == (8, 96)


def by_seed(groups, *, apart=False):
    return [tuple(dict(enumerate(g[k], 100 * i * apart)) for k in (0, 1)) for i, g in enumerate(groups)]


@pytest.mark.slow
def test_pooled_runs_find_an_association_of_arms_that_there_is_not_and_the_two_questions_apart_do_not():
    """Six arms of ten seeds, centres without any association, runs neither."""
    rng, studies = np.random.default_rng(2), 200
    pooled = over = within = 0
    for _ in range(studies):
        centres, groups = study(rng, 6, 10, between=0.0, within=0.0)
        pooled += kendall(*(np.concatenate([g[k] for g in groups]) for k in (0, 1))).p < 0.05
        over += rank_over_groups(*centres).p < 0.05
        within += rank_within_groups(by_seed(groups)).p < 0.05
    most = stats.binom.ppf(0.999, studies, 0.05)
    assert over <= most
    assert within <= most
    assert pooled > 0.4 * studies


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True])
def test_seeds_that_arms_share_are_one_set_of_replicates_and_not_one_for_each_arm(apart):
    """What a seed does to either number is the same in all arms: six arms of six seeds are six replicates."""
    rng, studies, found = np.random.default_rng(3), 200, 0
    for _ in range(studies):
        common = rng.standard_normal((2, 6))
        groups = [[(0 if apart else 2) * common[k] + rng.standard_normal(6) for k in (0, 1)] for _ in range(6)]
        found += rank_within_groups(by_seed(groups, apart=apart)).p < 0.05
    assert found <= stats.binom.ppf(0.999, studies, 0.05)


def test_only_seeds_that_all_arms_have_are_ranked_where_some_are_shared():
    a = ({0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}, {0: 1.0, 1: 2.0, 2: 3.0, 3: 0.0})
    b = ({0: 1.0, 1: 2.0, 2: 3.0}, {0: 3.0, 1: 2.0, 2: 1.0})
    found = rank_within_groups([a, b])
    assert (found.value, found.n, found.smallest_p) == (pytest.approx(0.0), 6, 2 / 6)


def test_the_granulated_psi_is_worked_by_hand_for_two_settings():
    """Rates order x and y alike at each batch size, batch sizes oppositely but for one rate."""
    settings = [{"lr": lr, "batch": batch} for lr in (1, 2, 3) for batch in (8, 64)]
    x = [1, 2, 3, 4, 5, 6]
    y = [2, 1, 4, 3, 5, 6]
    found = granulated(settings, x, y)
    # batch 8: x 1 3 5, y 2 4 5, τ = 1; batch 64: x 2 4 6, y 1 3 6, τ = 1. Rates: −1, −1, 1.
    assert found == {"lr": pytest.approx(1.0), "batch": pytest.approx(-1 / 3)}


def test_arms_that_differ_in_everything_at_once_have_no_psi():
    assert granulated([{"optimizer": "sgd", "lr": 1}, {"optimizer": "adam", "lr": 2}], [1, 2], [1, 2]) == {}
