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
#: What is made of dense matrices or Newton's method, which need float64.
_IN_FLOAT64 = {"exact", "ExactOperator", "basins"}


@contextlib.contextmanager
def no_float64(device):
    devices.WITHOUT_FLOAT64.add(device.type)
    try:
        with without_float64():
            yield
    finally:
        devices.WITHOUT_FLOAT64.discard(device.type)


@pytest.mark.parametrize("name", sorted(CALLS.keys() - _IN_FLOAT64))
@on_pretended_device
def test_it_is_measured_in_float32(device, name):
    here = Side(torch.device("cpu"), torch.float32)
    with no_float64(device):
        its = CALLS[name](Side(device, torch.float32))
        assert_same(CALLS[name](here), its, rtol=0.2)


@pytest.mark.parametrize("name", sorted(_IN_FLOAT64))
@on_pretended_device
def test_what_needs_float64_is_refused_and_says_so(device, name):
    with no_float64(device), pytest.raises(ls.LandscapeError, match="float64"):
        CALLS[name](Side(device, torch.float32))
