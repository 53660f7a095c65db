"""Which checkpoints along a training are measured: its ends, few between them, and those that can be read."""

from __future__ import annotations

import numpy as np
import pytest

import landscape as ls
from landscape.analysis.plan import Plan
from landscape.analysis.presets import SPREAD
from landscape.analysis.survey import survey

STEPS = (0, 7, *range(10, 410, 10), 398, 399)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root, problem = tmp_path_factory.mktemp("saved"), ls.get_problem("mlp-digits", {"hidden": [2], "num_train": 30})
    model = problem.make_model(0)
    for step in STEPS:
        ls.save_checkpoint(root / "run", model, step=step)
    return root


def chosen(root, **fields):
    """Steps that are measured; those along the training; those that are none of the last."""
    (files,) = survey(root, Plan("quick", **fields)).runs
    steps = [int(file[-11:-3]) for file in files.files]
    return steps, list(files.along), list(files.around)


def test_of_a_long_training_eight_are_chosen_with_both_ends_closer_at_the_beginning(saved):
    steps, along, around = chosen(saved, along=True, last=3)
    assert len(along) == SPREAD["quick"] == 8
    assert along[0] == 0
    assert along[-1] == 400
    assert np.all(np.diff(np.diff(along)) >= 0)
    # Each is the nearest to a target at steps like squares.
    targets = 400 * (np.arange(8) / 7) ** 2
    np.testing.assert_allclose(along, targets, atol=5)
    assert steps == sorted({*along, 398, 399, 400})
    assert around == along[:-1]


def test_a_plan_without_them_has_the_last_alone_and_quick_is_such_a_plan(saved):
    assert not Plan("quick").along
    assert Plan("standard").along
    assert Plan("thorough").along
    assert chosen(saved, last=2) == ([399, 400], [], [])


@pytest.mark.parametrize(("every", "expected"), [(1, sorted(STEPS)), (20, [0, 20, 220, 400]), (1000, [0, 400])])
def test_every_so_many_are_counted_back_from_the_last_and_the_first_is_among_them(saved, every, expected):
    steps, along, _ = chosen(saved, every=every, last=1)
    assert along == steps == expected


def test_all_the_last_are_every_checkpoint_and_none_of_them_is_on_the_way_alone(saved):
    assert chosen(saved, last="all") == (sorted(STEPS), chosen(saved, along=True, last=1)[1], [])
    assert chosen(saved, last="all", along=False) == (sorted(STEPS), [], [])


def test_one_that_cannot_be_read_gives_way_to_its_neighbour_and_is_named(tmp_path):
    problem = ls.get_problem("mlp-digits", {"hidden": [2], "num_train": 30})
    for step in (0, 10, 20, 30, 40):
        ls.save_checkpoint(tmp_path / "run", problem.make_model(0), step=step)
    for step in (0, 20):
        (tmp_path / "run" / f"step_{step:08}.h5").write_bytes(b"cut off")
    found = survey(tmp_path, Plan("quick", every=2, last=1))
    (files,) = found.runs
    assert list(files.along) == [10, 40]
    assert sorted(bad["file"] for bad in found.left_out) == ["run/step_00000000.h5", "run/step_00000020.h5"]


def test_a_run_of_one_checkpoint_begins_where_it_ends(tmp_path):
    ls.save_checkpoint(tmp_path / "run", ls.get_problem("mlp-digits").make_model(0), step=5)
    assert chosen(tmp_path, along=True) == ([5], [5], [])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"every": 0}, "every=0 must be a whole number of at least 1"),
        ({"every": 2, "along": False}, "every=2 chooses checkpoints along the training, which along=False leaves out"),
        ({"last": "none"}, "last='none' must be a whole number of at least 1, or 'all'"),
        ({"last": 0}, "last=0 must be a whole number of at least 1, or 'all'"),
        ({"along": 8}, "along=8 must be True or False"),
    ],
)
def test_choices_that_mean_nothing_are_refused(fields, said):
    with pytest.raises(ls.UsageError, match=said):
        Plan("quick", **fields)


def test_who_says_which_wants_them(saved):
    assert Plan("quick", every=3).along
    assert Plan("quick", last="all").along
    assert not Plan("standard", along=False).along
    assert Plan(**Plan("quick", every=3, last="all").fields()) == Plan("quick", every=3, last="all")
