"""Mistakes that a CPU forgives, planted in the package: the pretended device sees each of them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.estimators.eigen import top
from landscape.objective import derivatives
from landscape.operators.likelihood import Categorical
from tests.support.on_both_sides import Side
from tests.support.pretended_device import on_pretended_device, refusals


def a_constant_from_numpy(patch):
    """Labels drawn by NumPy that are left where NumPy's numbers are."""

    def draw(self, f, rng, count):
        return torch.from_numpy(rng.integers(0, f.shape[-1], (*f.shape[:-1], count)))

    patch.setattr(Categorical, "draw", draw)
    return lambda side: ls.FisherOperator(side.objective, kind="mc") @ side.another


def a_generator_of_the_cpu(patch):
    """Random numbers asked for on the device, with a generator of the CPU."""

    def _direction(objective, theta, generator):
        return torch.randn(theta.shape, generator=generator, device=theta.device, dtype=theta.dtype)

    patch.setattr(derivatives, "_direction", _direction)
    return lambda side: side.objective


def an_index_on_the_wrong_side(patch):
    """Columns of the device picked by a list of numbers on the CPU, by a function that wants both on one side."""
    usual = top.with_fixed_signs
    patch.setattr(top, "with_fixed_signs", lambda V: usual(V.index_select(1, torch.arange(V.shape[1]))))
    return lambda side: ls.top_eigenpairs(side.hessian, 2)


def numpy_without_cpu(patch):
    """A gradient handed to SciPy from where it was computed."""
    patch.setattr(
        sys.modules["landscape.geometry.basins"]._Flow,
        "gradient",
        lambda self, theta: self.objective.gradient(np.array(theta)).numpy(),
    )
    return lambda side: ls.basins(side.line, [side.line.theta])


FAULTS = {
    "from_numpy": (a_constant_from_numpy, "same device"),
    "generator": (a_generator_of_the_cpu, "'pretended' device type for generator but found 'cpu'"),
    "index": (an_index_on_the_wrong_side, "same device"),
    "numpy()": (numpy_without_cpu, "Use Tensor.cpu()"),
}


@pytest.mark.parametrize("fault", FAULTS)
@on_pretended_device
def test_it_is_seen(device, fault):
    plant, says = FAULTS[fault]
    here, there = Side(torch.device("cpu")), Side(device)
    with pytest.MonkeyPatch.context() as patch:
        call = plant(patch)
        call(here)  # the CPU sees nothing in it
        with pytest.raises(Exception, match=says):
            call(there)
    refusals.clear()
