"""On a device without float64, as Apple's GPUs are: what is measured in float32 there, and what is refused or said."""

from __future__ import annotations

import contextlib

import pytest
import torch

import landscape as ls
from landscape import device as devices
from tests.support.on_both_sides import Side, assert_same
from tests.support.pretended_device import on_pretended_device, without_float64
from tests.support.public_calls import ESTIMATORS, GEOMETRY, OPERATORS, STABILITY

CALLS = {**ESTIMATORS, **GEOMETRY, **OPERATORS, **STABILITY}


@contextlib.contextmanager
def no_float64(device):
    devices.WITHOUT_FLOAT64.add(device.type)
    try:
        with without_float64():
            yield
    finally:
        devices.WITHOUT_FLOAT64.discard(device.type)


#: One of each kind; the others are the slow ones.
_FEW = {"top_eigenpairs", "diagonal", "evaluate_line", "FisherOperator", "examine_step", "exact", "merge"}


@pytest.mark.parametrize("name", [n if n in _FEW else pytest.param(n, marks=pytest.mark.slow) for n in sorted(CALLS)])
@on_pretended_device
def test_it_is_measured_in_float32(device, name):
    here = Side(torch.device("cpu"), torch.float32)
    with no_float64(device):
        its = CALLS[name](Side(device, torch.float32))
        assert_same(CALLS[name](here), its, rtol=0.2)


@on_pretended_device
def test_a_question_in_float64_is_refused_there_and_asked_on_the_cpu(device):
    side = Side(device, torch.float32)
    with no_float64(device):
        with pytest.raises(ls.ObjectiveError, match="has no float64; take dtype=torch.float32, or device='cpu'"):
            ls.Objective(side.model, torch.nn.functional.cross_entropy, side.data, dtype=torch.float64)
        double = side.objective.with_dtype(torch.float64)
    assert double.device == torch.device("cpu")
    assert abs(double.loss() - side.objective.loss()) <= 1e-6
