"""Which runs are joined by lines: by seed, by group, both with one of each first, or by name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import landscape as ls
from landscape.analysis.barriers import check_pairs, comparable_pairs
from landscape.analysis.survey import RunFiles
from landscape.errors import UsageError


def runs(*names, problem="mlp-digits", **labels):
    """``adam-s0`` is of Adam, seed 0."""
    found = {}
    for name in names:
        optimizer, seed = name.split("-s")
        config = {"label": labels[optimizer]} if optimizer in labels else {}
        found[RunFiles(name, ())] = SimpleNamespace(
            problem=problem, problem_config={}, num_parameters=10, seed=int(seed), optimizer=optimizer, config=config
        )
    return found


GRID = runs(*(f"{optimizer}-s{seed}" for optimizer in ("adam", "gd", "sgd") for seed in (0, 1)))


def named(pairs):
    return [(a.run, b.run) for a, b in pairs]


def test_groups_share_a_seed_and_seeds_a_group():
    groups = named(comparable_pairs(GRID, "groups"))
    assert len(groups) == 6
    assert all(a[-2:] == b[-2:] and a[:-2] != b[:-2] for a, b in groups)
    seeds = named(comparable_pairs(GRID, "seeds"))
    assert seeds == [("adam-s0", "adam-s1"), ("gd-s0", "gd-s1"), ("sgd-s0", "sgd-s1")]


def test_both_begins_with_one_of_each_pair_of_groups_and_one_of_each_group():
    found = named(comparable_pairs(GRID))
    assert found[:6] == [("adam-s0", "gd-s0"), ("adam-s0", "sgd-s0"), ("gd-s0", "sgd-s0"),
                         ("adam-s0", "adam-s1"), ("gd-s0", "gd-s1"), ("sgd-s0", "sgd-s1")]  # fmt: skip
    assert sorted(found[6:]) == [("adam-s1", "gd-s1"), ("adam-s1", "sgd-s1"), ("gd-s1", "sgd-s1")]
    assert len(set(found)) == 9


def test_a_label_stands_for_the_optimizer():
    assert named(comparable_pairs(runs("adam-s0", "sgd-s1", adam="arm", sgd="arm"), "seeds")) == [("adam-s0", "sgd-s1")]
    assert comparable_pairs(runs("adam-s0", "sgd-s1")) == []


def test_runs_of_another_problem_are_not_joined():
    assert comparable_pairs(runs("adam-s0") | runs("sgd-s0", problem="lenet-digits")) == []


def test_pairs_are_chosen_by_name_in_either_order_each_once():
    assert named(comparable_pairs(GRID, "sgd-s1:adam-s0")) == [("adam-s0", "sgd-s1")]
    found = named(comparable_pairs(GRID, "sgd-s0:sgd-s1, sgd-*:sgd-*,gd-s0:adam-*"))
    assert found == [("sgd-s0", "sgd-s1"), ("adam-s0", "gd-s0"), ("adam-s1", "gd-s0")]
    assert comparable_pairs(runs("adam-s0"), "gd-s0:adam-s0") == []  # a run that could not be measured


def test_names_that_fit_nothing_are_refused_before_anything_is_measured():
    names = [run.run for run in GRID]
    check_pairs(names, "adam-*:gd-*")
    check_pairs(names, "both")
    with pytest.raises(UsageError, match="pairs='adam-s0:lion-s0' fits no two runs; there are adam-s0, adam-s1"):
        check_pairs(names, "adam-s0:gd-s0,adam-s0:lion-s0")


@pytest.mark.parametrize("pairs", ["some", "", "a:b:c", "a:", ":", None, 3])
def test_what_is_neither_a_word_nor_names_is_refused_by_the_plan(pairs):
    with pytest.raises(UsageError, match="pairs="):
        ls.Plan("quick", pairs=pairs)
    assert ls.Plan("quick").pairs == "both"
