"""Relative flatness against its definition on the dense Hessian, in blocks of rows of a layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import NotConverged, ObjectiveError, UsageError
from tests.support.landscapes import DOUBLE, LeastSquares, built, draw, network, of_point

TANH = network(nn.Tanh)


def by_definition(objective: ls.Objective, name: str) -> float:
    """Σ ⟨w_s, w_s'⟩ tr H_{s,s'}, from all of H."""
    H = ls.HessianOperator(objective).dense().double()
    place = objective.layout.slices()[name]
    W = objective.layout.unflatten(objective.theta)[name].double()
    W = W.reshape(len(W), -1)
    block = H[place, place].reshape(*W.shape, *W.shape)
    traces = torch.einsum("sata->st", block)
    return float(sum(W[s] @ W[t] * traces[s, t] for s in range(len(W)) for t in range(len(W))))


@pytest.mark.parametrize("layer", ["0.weight", "2.weight", "4.weight"])
@pytest.mark.parametrize(("dtype", "rel"), [(DOUBLE, 1e-9), (torch.float32, 1e-5)])
def test_all_directions_of_a_layer_give_the_definition(layer, dtype, rel):
    found = ls.sharpness(network(nn.Tanh, dtype=dtype), measure="relative_flatness", layer=layer, num_probes=200)
    truth = by_definition(TANH, layer)
    assert found.value == pytest.approx(truth, rel=rel)
    assert found.kind == "exact"
    assert found.error < 1e-4 * abs(truth)
    assert layer in found.method


def test_as_many_products_as_the_rank_of_the_layer_times_its_columns_are_enough():
    """3 outputs of 8 neurons: 24 products, and 16 where one row repeats another."""
    found = ls.sharpness(TANH, measure="relative_flatness")
    assert (found.num_evaluations, found.kind) == (24, "exact")
    named = TANH.layout.unflatten(TANH.theta)
    named["4.weight"] = named["4.weight"][[0, 1, 1]]
    found = ls.sharpness(TANH, measure="relative_flatness", theta=TANH.layout.flatten(named))
    assert (found.num_evaluations, found.kind) == (16, "exact")


def test_the_last_matrix_is_meant_where_none_is_named_and_all_is_the_sum():
    exact = {name: by_definition(TANH, name) for name in ("0.weight", "2.weight", "4.weight")}
    assert ls.sharpness(TANH, measure="relative_flatness").value == pytest.approx(exact["4.weight"], rel=1e-9)
    both = ls.sharpness(TANH, measure="relative_flatness", layer="[02].weight", num_probes=500)
    assert both.value == pytest.approx(exact["0.weight"] + exact["2.weight"], rel=1e-9)
    whole = ls.sharpness(TANH, measure="relative_flatness", layer="all", num_probes=500)
    assert whole.value == pytest.approx(sum(exact.values()), rel=1e-9)


@pytest.mark.parametrize("layer", ["2.weight", "all"])
def test_probes_are_unbiased_and_their_error_is_right(layer):
    """60 seeds of 11 probes: the mean of value − truth over its error, and how far these spread."""
    names = ("0.weight", "2.weight", "4.weight") if layer == "all" else (layer,)
    truth = sum(by_definition(TANH, name) for name in names)
    found = [ls.sharpness(TANH, measure="relative_flatness", layer=layer, num_probes=11, seed=s) for s in range(60)]
    apart = np.array([(one.value - truth) / one.error for one in found])
    values = np.array([one.value for one in found])
    assert abs(values.mean() - truth) < 4 * values.std(ddof=1) / 60**0.5
    assert 0.6 < np.sqrt(np.mean(apart**2)) < 1.6
    assert {one.num_evaluations for one in found} == {11}


def test_a_tolerance_is_kept_or_said_not_to_be():
    truth = by_definition(TANH, "2.weight")
    found = ls.sharpness(TANH, measure="relative_flatness", layer="2.weight", num_probes=8, tol=0.3)
    low, high = found.interval()
    assert max(high - found.value, found.value - low) <= 0.3 * found.value
    assert abs(found.value - truth) < 4 * found.error
    with pytest.raises(NotConverged, match="max_matvecs=10 was reached"):
        ls.sharpness(TANH, measure="relative_flatness", layer="2.weight", num_probes=8, tol=0.001, max_losses=10)


def test_of_least_squares_with_one_output_it_is_ridge_regression():
    """Petzka et al., section 1: ‖w‖² tr H."""
    problem = LeastSquares()
    found = ls.sharpness(problem.objective, measure="relative_flatness", theta=problem.minimum)
    assert found.value == pytest.approx(float(problem.minimum @ problem.minimum) * np.trace(problem.hessian), rel=1e-10)


def test_filters_are_the_rows_of_a_convolution():
    model = built(lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(27, 3))).double()
    data = draw(9, 2, 4, 4, seed=3), torch.arange(9) % 3
    objective = ls.Objective(model, nn.functional.cross_entropy, data)
    found = ls.sharpness(objective, measure="relative_flatness", layer="0.weight", num_probes=24)
    assert found.value == pytest.approx(by_definition(objective, "0.weight"), rel=1e-9)


def test_where_the_weights_are_zero_it_is_zero():
    found = ls.sharpness(TANH, measure="relative_flatness", theta=torch.zeros(TANH.layout.size))
    assert (found.value, found.error, found.num_evaluations) == (0.0, 0.0, 0)


def test_what_has_no_rows_is_refused_with_what_there_is():
    with pytest.raises(UsageError, match=r"layer='fc' is no matrix of θ; there are 0\.weight, 2\.weight, 4\.weight"):
        ls.sharpness(TANH, measure="relative_flatness", layer="fc")
    with pytest.raises(UsageError, match="layer=3 must be the name of a tensor"):
        ls.sharpness(TANH, measure="relative_flatness", layer=3)
    with pytest.raises(UsageError, match="θ has none: it consists of w"):
        ls.sharpness(of_point(lambda w: w @ w, [1.0, 2.0]), measure="relative_flatness")
    turned = built(lambda: nn.Sequential(nn.ConvTranspose1d(2, 2, 2), nn.Flatten(), nn.Linear(8, 1))).double()
    objective = ls.Objective(turned, nn.functional.mse_loss, (draw(6, 2, 3), draw(6, 1)))
    with pytest.raises(UsageError, match=r"there are 2\.weight"):
        ls.sharpness(objective, measure="relative_flatness", layer="0.weight")


def test_fisher_rao_of_a_loss_without_outputs_is_refused():
    with pytest.raises(ObjectiveError, match="does not say where the model ends"):
        ls.sharpness(of_point(lambda w: w @ w, [1.0, 2.0]), measure="fisher_rao")
