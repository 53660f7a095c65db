"""Averages of minima: the closed form of a quadratic, buffers, and what a greedy soup takes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.errors import UsageError
from landscape.objective import Objective
from tests.support.landscapes import LeastSquares, draw, of_point
from tests.support.running_statistics import X, held, loss_of, mlp, pair, put, question, trained, with_statistics_of


def test_the_average_on_a_quadratic_is_lower_than_the_mean_loss_by_the_spread_of_the_minima():
    """L(Σwθ) = Σ w L(θ) − ½ Σ wᵢ dᵢᵀHdᵢ, dᵢ = θᵢ − Σwθ."""
    quadratic = LeastSquares()
    thetas = torch.stack([quadratic.minimum + draw(6, seed=seed) for seed in range(4)])
    for weights in (None, [1, 2, 3, 4]):
        found = ls.merge(quadratic.objective, list(thetas), weights=weights)
        share = np.full(4, 0.25) if weights is None else np.array(weights) / 10
        centre = share @ thetas.numpy()
        away = thetas.numpy() - centre
        spread = 0.5 * share @ np.einsum("ij,jk,ik->i", away, quadratic.hessian, away)
        np.testing.assert_allclose(found.at("average"), centre, rtol=1e-12)
        assert found.excess("average") == pytest.approx(-spread, rel=1e-10)
        np.testing.assert_allclose(found.loss[:4], [quadratic.objective.loss(theta) for theta in thetas], rtol=1e-12)
        assert found.loss[4] == pytest.approx(quadratic.objective.loss(centre), rel=1e-12)
        np.testing.assert_array_equal(found.weights[:4], np.eye(4))


def wells(heights):
    """L = (w − place)² + height of the nearest of several places, as one function of one parameter."""
    return lambda w: torch.stack([(w - place).square().sum() + height for place, height in heights]).amin()


def test_a_greedy_soup_takes_from_the_best_on_what_does_not_raise_the_loss_on_held_out_data():
    """By trying: the order is that of the held-out loss, and each stays or goes by the loss of the average so far."""
    heldout = of_point(lambda w: (w - 1.0).square().sum(), [0.0])
    objective = Objective.from_loss(
        heldout.module.model, lambda m, batch: (m.w - 0.0).square().sum(), torch.ones(1), check=False
    )
    places = [3.0, 1.3, 0.85, -2.0, 0.6]
    found = ls.merge(
        objective, {f"w{i}": torch.tensor([w], dtype=torch.float64) for i, w in enumerate(places)}, heldout=heldout
    )
    assert found.names == ("w0", "w1", "w2", "w3", "w4", "average", "greedy soup")
    chosen = [0.85]
    for place in (1.3, 0.6, 3.0, -2.0):
        if (np.mean([*chosen, place]) - 1) ** 2 <= (np.mean(chosen) - 1) ** 2:
            chosen.append(place)
    assert found.at("greedy soup").tolist() == pytest.approx([np.mean(chosen)])
    assert [places[i] for i in np.flatnonzero(found.weights[-1])] == [place for place in places if place in chosen]
    np.testing.assert_allclose(found.metric("held-out loss"), [(w - 1) ** 2 for w in [*places, 0.75, np.mean(chosen)]])
    assert found.metric("held-out loss")[-1] <= found.metric("held-out loss")[:5].min()


def test_a_greedy_soup_is_never_worse_on_its_data_than_the_best_alone():
    heldout = of_point(wells([(-1.0, 0.1), (1.0, 0.0), (3.0, 0.2)]), [0.0])
    for places in itertools.permutations([-1.1, 0.8, 1.1, 3.0]):
        found = ls.merge(heldout, [torch.tensor([w]) for w in places], heldout=heldout)
        assert found.loss[-1] <= found.loss[:4].min() + 1e-12


def test_each_model_has_its_own_statistics_and_the_average_those_of_the_data():
    a, b, at_a, at_b = pair()
    c = trained(mlp, seed=2, lr=0.2)
    found = ls.merge(at_a, {"a": at_a, "b": at_b, "c": question(c)}, metrics=("accuracy",))
    assert found.loss[:3].tolist() == [loss_of(a), loss_of(b), loss_of(c)]
    middle = put(a, (at_a.theta + at_b.theta + question(c).theta) / 3)
    assert found.loss[3] == pytest.approx(loss_of(with_statistics_of(middle, X)), rel=1e-10)
    assert found.batch_statistics == "recompute"
    assert found.metric("accuracy").shape == (4,)
    fixed = ls.merge(at_a, [at_a.theta, at_b.theta], batch_statistics="fixed")
    assert fixed.loss[1] == pytest.approx(loss_of(put(a, at_b.theta)), rel=1e-12)


def test_other_buffers_are_averaged_as_the_parameters_are():
    scales = [torch.full((3,), float(s)).double() for s in (1, 2, 6)]
    models = [held(seed, scale=scale) for seed, scale in enumerate(scales)]
    found = ls.merge(models[0], models)
    theta = torch.stack([m.theta for m in models]).mean(0)
    assert found.loss[3] == pytest.approx(models[0].with_constants({"scale": scales[0] * 3}).loss(theta), rel=1e-12)
    assert found.loss[:3].tolist() == [m.loss() for m in models]


def test_what_does_not_fit_is_refused():
    quadratic = LeastSquares()
    two = [quadratic.minimum, quadratic.minimum + 1]
    for weights in ([1], [1, -1], [0, 0], [1, float("nan")]):
        with pytest.raises(UsageError, match="do not fit 2 minima"):
            ls.merge(quadratic.objective, two, weights=weights)
    with pytest.raises(UsageError, match="at least 2"):
        ls.merge(quadratic.objective, two[:1])
    with pytest.raises(UsageError, match=r"0 and 1: .*θ has shape"):
        ls.merge(quadratic.objective, [two[0], torch.ones(3)])
    found = ls.merge(quadratic.objective, two)
    for ask in (found.at, found.excess):
        with pytest.raises(UsageError, match="'soup'"):
            ask("soup")


def test_progress_counts_the_networks():
    told = []
    quadratic = LeastSquares()
    ls.merge(
        quadratic.objective, [quadratic.minimum, quadratic.minimum + 1], heldout=quadratic.objective,
        progress=lambda done, most: told.append((done, most)),
    )  # fmt: skip
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
