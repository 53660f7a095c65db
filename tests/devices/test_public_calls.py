"""Everything public that computes with tensors gives on the pretended device what it gives on the CPU."""

from __future__ import annotations

import pytest
import torch

from landscape import edge_of_stability, estimators, geometry, operators, sampling
from tests.support.on_both_sides import Side, assert_same
from tests.support.pretended_device import on_pretended_device
from tests.support.public_calls import ESTIMATORS, GEOMETRY, OPERATORS, STABILITY

CALLS = {**ESTIMATORS, **GEOMETRY, **OPERATORS, **STABILITY}
#: Public names that are no calls on tensors: lists, a base class, what a search finds, a word that is read.
_NOT_CALLED = {"BALLS", "measures", "LinearOperator", "CriticalStep", "rounding_of", "check_route"}


def test_no_public_name_is_left_out():
    rooms = (estimators, geometry, operators, sampling, edge_of_stability)
    public = {name for room in rooms for name in room.__all__} - _NOT_CALLED
    assert public == set(CALLS)


#: What takes more than a few seconds where two cores are busy.
_SLOW = {
    "sharpness", "HessianOperator", "DeflatedOperator", "block_diagonal", "learning_coefficient", "direction",
    "generalized_sharpness", "top_eigenpairs", "exact", "trace", "basins", "evaluate_plane", "stability", "spectrum",
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in _SLOW else n for n in CALLS])
@on_pretended_device
def test_it_gives_on_the_device_what_it_gives_on_the_cpu(device, name):
    ours, its = Side(torch.device("cpu")), Side(device)
    assert its.objective.device == device
    assert_same(CALLS[name](ours), CALLS[name](its))
