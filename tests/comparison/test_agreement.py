"""Agreement by chance: closed forms, enumeration by hand, and measures that say the same thing."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from landscape.comparison import agreement
from landscape.comparison.agreement import chance_of_agreement
from landscape.errors import UsageError

GROUPS, SEEDS = ["a", "b", "c"] * 2, [0, 0, 0, 1, 1, 1]  # three arms, two seeds


def by_hand(table, groups, orders):
    """Every order of the runs, those that fill the groups alike included, which weigh all ways equally."""
    labels, agreed = np.array(groups), 0
    for order in orders:
        rows = table[:, list(order)]
        means = np.array([[row[labels == g].mean() for g in sorted(set(groups))] for row in rows])
        agreed += len(set(means.argmin(1))) == 1
    return agreed / len(orders)


@pytest.mark.parametrize("seed", range(3))
def test_the_chance_is_the_share_of_all_orders_of_the_runs(seed):
    table = np.random.default_rng(seed).standard_normal((3, 6))
    values = dict(zip("xyz", table, strict=True))
    assert chance_of_agreement(values, GROUPS) == pytest.approx(by_hand(table, GROUPS, list(permutations(range(6)))))
    within = [(*p, *(3 + i for i in q)) for p in permutations(range(3)) for q in permutations(range(3))]
    found = chance_of_agreement(values, GROUPS, blocks=SEEDS)
    assert found == pytest.approx(by_hand(table, GROUPS, within))


def test_one_measure_and_its_copies_always_agree():
    rng = np.random.default_rng(0)
    one = rng.standard_normal(6)
    assert chance_of_agreement({"x": one}, GROUPS) == 1
    assert chance_of_agreement({"x": one, "y": 3 * one + 1, "z": one / 7}, GROUPS, blocks=SEEDS) == 1


def test_independent_measures_agree_as_often_as_dice():
    """G^(1 − M), on average over runs without any difference."""
    found = [
        chance_of_agreement(dict(enumerate(np.random.default_rng(s).standard_normal((3, 6)))), GROUPS)
        for s in range(200)
    ]
    assert np.mean(found) == pytest.approx(1 / 9, abs=4 * np.std(found) / 200**0.5)


def test_where_there_are_too_many_ways_some_are_drawn(monkeypatch):
    table = np.random.default_rng(1).standard_normal((3, 6))
    whole = chance_of_agreement(dict(enumerate(table)), GROUPS)
    monkeypatch.setattr(agreement, "MOST_WAYS", 60)  # of 90
    drawn = [chance_of_agreement(dict(enumerate(table)), GROUPS, seed=s) for s in range(30)]
    assert np.mean(drawn) == pytest.approx(whole, abs=4 * (whole * (1 - whole) / 1800) ** 0.5)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UsageError, match="two groups"):
        chance_of_agreement({"x": [1.0, 2.0]}, ["a", "a"])
    with pytest.raises(UsageError, match="one value for every run"):
        chance_of_agreement({"x": [1.0]}, ["a", "b"])
    with pytest.raises(UsageError, match="not finite"):
        chance_of_agreement({"x": [1.0, np.nan]}, ["a", "b"])
