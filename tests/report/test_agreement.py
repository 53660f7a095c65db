"""Whether measures of flatness agree: how often chance would make them, and what is left without the logits' scale."""

from __future__ import annotations

import pandas as pd

from landscape.comparison import centre
from landscape.report.agreement import COLUMNS, agreement


def runs(values):
    """Of ``{measure: {group: [value of seed 0, 1, …]}}``."""
    rows = [
        (measure, group, f"{group}-s{seed}", seed, value)
        for measure, of_groups in values.items()
        for group, of_seeds in of_groups.items()
        for seed, value in enumerate(of_seeds)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def orders(values):
    centres = {m: {g: centre(v, "log") for g, v in of.items()} for m, of in values.items()}
    return {m: dict(sorted(of.items(), key=lambda item: item[1].value)) for m, of in centres.items()}


def test_two_measures_that_say_the_same_agree_always_so_their_agreement_says_nothing():
    values = {m: {"a": [1.0, 2.0], "b": [3.0, 5.0], "c": [7.0, 11.0]} for m in ("lambda_max", "trace")}
    assert agreement(orders(values), runs(values)) == [
        "All 2 flatness measures agree on a as the flattest; with the runs given to the groups at random, all would "
        "name one group in 100 % of cases."
    ]


def test_two_measures_that_know_nothing_of_each_other_agree_by_the_share_of_ways_that_make_them():
    """One seed each, two groups: as they are, or exchanged; the second measure has the other order."""
    values = {"lambda_max": {"a": [1.0, 1.0], "b": [2.0, 8.0]}, "trace": {"a": [1.0, 1.0], "b": [8.0, 0.5]}}
    assert "in 50 % of cases" in agreement(orders(values), runs(values))[0]


def test_without_seeds_no_chance_is_stated():
    values = {m: {"a": [1.0, 2.0], "b": [3.0, 5.0]} for m in ("lambda_max", "trace")}
    unknown = runs(values).assign(seed=None)
    assert agreement(orders(values), unknown) == ["All 2 flatness measures agree on a as the flattest."]


def test_where_they_disagree_the_one_that_the_scale_of_the_logits_does_not_move_is_named():
    values = {
        "lambda_max": {"a": [1.0, 1.1], "b": [2.0, 2.1]},
        "sharpness_normalized_worst": {"a": [5.0, 5.1], "b": [3.0, 3.1]},
    }
    first, second = agreement(orders(values), runs(values))
    assert "disagree" in first
    assert second.endswith("with it out, b by logit-normalised worst-case sharpness.")
