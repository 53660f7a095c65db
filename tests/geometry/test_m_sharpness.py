"""m-sharpness: the mean over disjoint batches of each batch's own maximum."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import ObjectiveError, UsageError
from tests.support.landscapes import LeastSquares, built, draw, two_layers

PROBLEM = LeastSquares()  # 13 examples that one w fits: no batch has a slope there
RHO = 0.3


def asked(measure: str, m: int | None, **options):
    options = {"rho": RHO} | options
    return ls.sharpness(PROBLEM.objective, measure=measure, m=m, theta=PROBLEM.minimum, **options)


def test_of_single_examples_each_has_its_own_largest_rise():
    """H of one example is 2xxᵀ, so the mean of ρ²/2·2‖x‖² = ρ²‖x‖², however they are dealt out."""
    found = asked("worst", 1)
    assert found.value == pytest.approx(RHO**2 * float(PROBLEM.x.square().sum(1).mean()), rel=1e-6)
    assert found.samples.shape == (13,)
    assert found.kind == "lower bound"


def test_scaled_by_the_weights_the_same_holds_of_the_adaptive_one():
    found = asked("adaptive_worst", 1)
    scaled = PROBLEM.x * PROBLEM.minimum
    assert found.value == pytest.approx(RHO**2 * float(scaled.square().sum(1).mean()), rel=1e-6)


def test_of_one_batch_it_is_that_of_all_data():
    assert asked("worst", 13).value == pytest.approx(asked("worst", None).value, rel=1e-6)


def test_smaller_batches_have_a_larger_mean():
    """The maximum of a mean is at most the mean of maxima; batches of 12 are made of those of 6, and so on."""
    twelve = PROBLEM.objective.subset(np.arange(12))
    values = [ls.sharpness(twelve, measure="worst", m=m, rho=RHO, theta=PROBLEM.minimum).value for m in (1, 2, 6, 12)]
    assert all(small > 1.01 * large for small, large in pairwise(values))


def test_batches_are_disjoint_and_those_left_out_are_said():
    found = asked("worst", 4)
    assert found.samples.size == 3
    assert found.method == "mean over 3 disjoint batches of 4 examples, 1 left out"
    assert "m = 4" in found.reference
    each = RHO**2 * PROBLEM.x.square().sum(1).numpy()
    assert found.samples.min() <= each.max()
    assert asked("worst", 4, seed=1).value != found.value, "another seed deals otherwise"


def test_of_a_network_each_batch_is_asked_by_itself():
    """By hand, on the batches that the examples are in when they are taken in turn."""
    objective = two_layers()
    found = ls.sharpness(objective, measure="adaptive_worst", m=10, strict=False)
    other = ls.sharpness(objective, measure="adaptive_worst", strict=False)
    assert found.value >= other.value * 0.999
    parts = found.samples
    assert parts.size == 2
    assert found.value == pytest.approx(parts.mean())


def test_its_cost_is_that_of_ascents_on_all_data():
    seen = []
    found = asked("worst", 3, progress=lambda *args: seen.append(args))
    assert found.cost <= 94
    assert found.num_evaluations == int(np.ceil(found.cost))
    assert seen[-1][0] == seen[-1][1]


def test_of_averages_it_is_the_same_number():
    """The mean over batches of mean rises is the mean rise."""
    truth = 0.1**2 / 2 * float(np.trace(PROBLEM.hessian))
    found = asked("average", 4, rho=0.1, num_probes=60)
    assert abs(found.value - truth) <= 4 * found.error
    assert "4 displacements each" in found.method


def test_what_cannot_be_dealt_out_is_refused():
    with pytest.raises(UsageError, match="m=14 is more than the 13 examples"):
        asked("worst", 14)
    with pytest.raises(UsageError, match="m=0 must be a whole number"):
        asked("worst", 0)
    for measure in ("trace", "keskar", "llc"):
        with pytest.raises(UsageError, match="batches of m examples are for worst, average, adaptive_worst"):
            ls.sharpness(PROBLEM.objective, measure=measure, m=2)
    model = built(lambda: nn.Linear(3, 2)).double()
    data = [(draw(4, 3), torch.arange(4) % 2)] * 2
    together = ls.Objective(model, lambda f, y: nn.functional.cross_entropy(f, y), data, interacting=True)
    for measure in ("worst", "average"):
        with pytest.raises(ObjectiveError, match="batches of m examples cannot be made"):
            ls.sharpness(together, measure=measure, m=2)
