"""Arms in sets: only those of one set are compared, and no two arms twice."""

from __future__ import annotations

import pytest

from landscape.comparison import contrasts
from landscape.errors import UsageError
from landscape.store import load_results
from landscape.study import Arm, Study
from tests.support.synthetic_results import make_results

ARMS = tuple(Arm(name, {"optimizer": name}) for name in ("sgd", "adam", "momentum", "lion"))
SETS = {"adaptive": ["sgd", "adam", "lion"], "with a memory": ["sgd", "momentum"]}


def study(**changes):
    return Study(**{"name": "s", "question": "?", "problem": "two-well", "arms": ARMS, "seeds": (0, 1)} | changes)


def test_only_arms_of_one_set_are_compared(tmp_path):
    names = tuple(arm.label for arm in ARMS)
    found = load_results(make_results(tmp_path, optimizers=names, seeds=(0, 1, 2), vectors=False, steps=(1,)))
    frame = contrasts(found, within=SETS)
    pairs = {(row.stratum, *sorted((row.a, row.b))) for row in frame.itertuples()}
    assert pairs == {
        ("adaptive", "adam", "sgd"), ("adaptive", "adam", "lion"), ("adaptive", "lion", "sgd"),
        ("with a memory", "momentum", "sgd"),
    }  # fmt: skip
    alone = contrasts(found, within={"with a memory": SETS["with a memory"]})
    one = frame[(frame["stratum"] == "with a memory") & (frame["measure"] == "lambda_max")]
    assert one["p_holm"].to_list() == alone[alone["measure"] == "lambda_max"]["p_holm"].to_list()
    with pytest.raises(UsageError, match="no two groups are in one set"):
        contrasts(found, within={"alone": ["sgd"]})


def test_a_study_has_its_sets_as_strata_and_keeps_them_in_small_and_on_disk():
    whole = study(within=SETS)
    assert {name: [arm.label for arm in arms] for name, arms in whole.strata().items()} == SETS
    assert Study.from_json(whole.to_json()) == whole
    small = whole.quick()
    assert [arm.label for arm in small.arms] == ["sgd", "adam", "lion"]
    assert small.within == {"adaptive": ["sgd", "adam", "lion"], "with a memory": ["sgd"]}


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ({"some": ["sgd", "adam"]}, "does not hold of lion, momentum"),
        ({**SETS, "more": ["muon"]}, "does not hold of muon"),
        ({**SETS, "again": ["adam", "lion"]}, "adam and lion are compared in 'adaptive' and in 'again'"),
    ],
)
def test_sets_that_leave_an_arm_out_or_compare_two_arms_twice_are_refused(sets, said):
    with pytest.raises(UsageError, match=said):
        study(within=sets)


def test_a_measure_or_a_loss_that_is_none_is_refused():
    with pytest.raises(UsageError, match="'flatness' is not one of"):
        study(only=("flatness",))
    with pytest.raises(UsageError, match="a training loss of costs=-1"):
        study(costs=(-1.0,))
