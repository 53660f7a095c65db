"""The scale of the logits: what multiplying the last layer by 3 does to each measure of sharpness."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import ObjectiveError, UsageError
from landscape.geometry import sharpness
from landscape.objective import Objective, logit_normalized
from landscape.problems import get_problem
from landscape.store.catalogue import MEASURES
from tests.support.landscapes import DOUBLE, LeastSquares, two_layers

#: What multiplying the last layer by 3 did: before, after, as measured on the network below, whose training loss went
#: from 0.0052 to 1.1e-6 by it. ε of Keskar's is 1e-3, the other radii are the published ones.
MEASURED = {
    "lambda_max": (0.852, 0.00099),
    "trace": (5.34, 0.0041),
    "sharpness_worst": (0.00124, 3.6e-6),
    "sharpness_average": (0.0121, 0.000134),
    "sharpness_adaptive_worst": (0.0708, 0.139),  # a large ball: there the loss grows as the logits do
    "sharpness_adaptive_average": (0.00740, 0.00112),
    "sharpness_keskar": (0.0330, 0.000121),
    "sharpness_normalized_worst": (0.0392, 0.0392),
    "sharpness_normalized_average": (0.00654, 0.00654),
}
#: As the catalogue calls them → measure, and whether the logits are normalised.
ASKED = {
    "lambda_max": ("lambda_max", False),
    "trace": ("trace", False),
    "sharpness_worst": ("worst", False),
    "sharpness_average": ("average", False),
    "sharpness_adaptive_worst": ("adaptive_worst", False),
    "sharpness_adaptive_average": ("adaptive_average", False),
    "sharpness_keskar": ("keskar", False),
    "sharpness_normalized_worst": ("adaptive_worst", True),
    "sharpness_normalized_average": ("adaptive_average", True),
}

#: Of these, and of all others by their names in ``ls.sharpness``, what they claim is tried in test_measures.py.
ELSEWHERE = {"sharpness_relative_flatness", "sharpness_fisher_rao", "sharpness_flatness_radius",
             "sharpness_flatness_radius_magnitude"}  # fmt: skip


def measured(objective: Objective, key: str, theta: torch.Tensor | None = None) -> float:
    measure, normalize = ASKED[key]
    return sharpness(objective, measure=measure, normalize_logits=normalize, theta=theta, strict=False).value


def scaled(objective: Objective, factors: dict[str, float]) -> torch.Tensor:
    """θ with some of its tensors multiplied."""
    named = objective.layout.unflatten(objective.theta)
    assert factors.keys() <= named.keys()
    return objective.layout.flatten({name: t * factors.get(name, 1.0) for name, t in named.items()})


@pytest.fixture(scope="module")
def trained() -> Objective:
    """A ReLU network on 300 digits after 150 steps of full-batch Adam, in double precision: training loss 0.0052."""
    problem = get_problem("mlp-digits", {"hidden": [16], "activation": "relu", "num_train": 300})
    model = problem.make_model(0).double()
    x, y = problem.train[0].double(), problem.train[1]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return Objective(model, nn.functional.cross_entropy, (x, y), dtype=DOUBLE)


def test_the_catalogue_has_no_measure_of_flatness_that_is_not_asked_here():
    assert set(ASKED) | ELSEWHERE == {key for key, measure in MEASURES.items() if measure.is_flatness}


@pytest.mark.parametrize("key", ASKED)
def test_three_times_the_last_layer_moves_a_measure_unless_it_says_that_it_is_invariant_to_logits(trained, key):
    """Every prediction stays: the logits are three times as large."""
    tripled = scaled(trained, {"fc2.weight": 3.0, "fc2.bias": 3.0})
    before, after = measured(trained, key), measured(trained, key, tripled)
    if MEASURES[key].is_invariant_to_logits:
        assert after == pytest.approx(before, rel=1e-6)
    else:
        assert abs(math.log(after / before)) > math.log(1.5)
    assert (before, after) == pytest.approx(MEASURED[key], rel=0.05)


@pytest.mark.parametrize("key", ASKED)
def test_rescaled_layers_move_a_measure_unless_it_says_that_it_is_invariant_to_layers(trained, key):
    """fc1 times 10 and the weights of fc2 by 10 are the same function."""
    equal = scaled(trained, {"fc1.weight": 10.0, "fc1.bias": 10.0, "fc2.weight": 0.1})
    assert trained.loss(equal) == pytest.approx(trained.loss(), rel=1e-10)
    before, after = measured(trained, key), measured(trained, key, equal)
    if MEASURES[key].is_invariant_to_layers:
        assert after == pytest.approx(before, rel=1e-6)
    else:
        assert abs(math.log(after / before)) > math.log(1.5)


@pytest.mark.parametrize("measure", ["lambda_max", "worst"])
def test_normalised_logits_alone_do_not_make_a_plain_measure_invariant(trained, measure):
    """Its Hessian or ball stays in the units of the last layer, whose weights are three times as large."""
    tripled = scaled(trained, {"fc2.weight": 3.0, "fc2.bias": 3.0})
    one, other = (
        sharpness(trained, measure=measure, normalize_logits=True, theta=theta, strict=False).value
        for theta in (None, tripled)
    )
    assert abs(other / one - 1) > 0.01


@pytest.mark.parametrize("measure", ["lambda_max", "trace", "average", "adaptive_worst", "keskar"])
def test_asking_for_normalised_logits_is_asking_the_objective_of_normalised_logits(measure):
    objective = two_layers()
    asked = sharpness(objective, measure=measure, normalize_logits=True)
    by_hand = sharpness(logit_normalized(objective), measure=measure)
    assert np.array_equal(asked.samples, by_hand.samples)
    assert (asked.measure, by_hand.measure) == (f"{measure} of normalised logits", measure)


def test_a_loss_without_logits_is_refused():
    with pytest.raises(ObjectiveError, match="no loss of logits"):
        sharpness(LeastSquares(dim=4).objective, normalize_logits=True)
    with pytest.raises(UsageError, match="normalize_logits=1 must be True or False"):
        sharpness(two_layers(), normalize_logits=1)
