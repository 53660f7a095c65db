"""Average sharpness to an asked accuracy, from random parts of the data at displacements of their own."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import landscape as ls
from landscape.errors import NotConverged, UsageError
from landscape.geometry.sharpness.deal import Deal
from tests.support.averages import average_rise, perceptron
from tests.support.landscapes import LeastSquares, of_point
from tests.support.networks import make, seeded
from tests.support.roundtrip import written_and_read


def least_squares(count, dim=5, seed=0):
    """½·mean (θᵀx)² at θ = 0: the average rise is ρ²/2 · tr(XᵀX)/N, exactly; rows of very different length."""
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.standard_normal((count, dim)) * rng.gamma(1.0, 1.0, (count, 1)))
    model = seeded(lambda: nn.Linear(dim, 1, bias=False)).double()
    objective = ls.Objective(model, lambda f, t: ((f - t) ** 2).mean() / 2, (x, torch.zeros(count, 1)), check=False)
    return objective, 0.05**2 / 2 * float(x.square().sum() / count)


def asked(objective, tol, **options):
    dim = objective.layout.size
    return ls.sharpness(objective, measure="average", tol=tol, theta=torch.zeros(dim), **options)


@pytest.mark.parametrize("count", [50, 300, 5000])
def test_the_interval_is_as_short_as_asked_and_holds_the_closed_form(count):
    objective, truth = least_squares(count)
    found = asked(objective, 0.2)
    low, high = found.interval()
    assert max(high - found.value, found.value - low) <= 0.2 * found.value
    assert abs(found.value - truth) <= 4 * found.error
    assert found.converged
    assert found.num_evaluations == math.ceil(found.cost - 1e-6)
    assert f"over {math.ceil(count / 64)} groups" in found.method


def test_an_absolute_tolerance_ends_work_near_zero_and_both_together_take_the_looser():
    objective, truth = least_squares(300)
    loose = asked(objective, None, atol=truth / 2)
    tight = asked(objective, None, atol=truth / 6)
    assert loose.cost < tight.cost
    both = asked(objective, 0.5, atol=truth / 20)
    assert both.cost < tight.cost


@pytest.mark.slow
def test_work_does_not_grow_with_the_data():
    """In evaluations of single examples, averaged over seeds; data ten times as large."""
    costs = [
        np.mean([asked(objective, 0.3, seed=s).cost * objective.num_examples for s in range(6)])
        for objective in (least_squares(20_000)[0], least_squares(200_000)[0])
    ]
    assert costs[1] <= 1.3 * costs[0]


class Cosh(nn.Module):
    """``x cosh w``: the rise is the same multiple of x for every example."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x):
        return x * torch.cosh(self.w)


def test_after_whole_passes_the_choice_of_data_adds_no_error(monkeypatch):
    """With one and the same δ everywhere the only noise is which examples are drawn: none once all have been."""
    monkeypatch.setattr(sys.modules[Deal.__module__], "gaussian", lambda *_, **__: torch.ones(1))
    x = torch.linspace(0, 1, 640, dtype=torch.float64)[:, None] ** 4
    objective = ls.Objective(Cosh(), lambda f, t: (f - t).mean(), (x, x), check=False)
    truth = float(x.mean()) * (math.cosh(0.1) - 1)
    point, scale = torch.zeros(1, dtype=torch.float64), torch.full((1,), 0.1, dtype=torch.float64)
    deal = Deal(objective, point, scale, seed=0, tick=lambda cost: None)
    for _ in range(5):
        deal.visit()
    assert abs(deal.estimate().value - truth) > 1e-3 * truth
    for _ in range(20):
        deal.visit()
    assert deal.cost == pytest.approx(1 + 2 * 2.5)
    found = deal.estimate()
    assert found.value == pytest.approx(truth, rel=1e-12)
    assert found.sem <= 1e-12 * truth


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_default_passes_draw_fresh_displacements_for_groups_and_agree_with_plain_torch(seed):
    objective = perceptron("cross-entropy", 100, count=640)
    truth, error = average_rise(objective, torch.full((114,), 0.05), draws=1000)
    found = ls.sharpness(objective, measure="average", seed=seed)
    assert found.samples.shape == (16,)
    assert found.cost == pytest.approx(33)
    assert found.num_evaluations == 33
    assert abs(found.value - truth) <= 4 * math.hypot(found.error, error)


def test_groups_of_uneven_weight_add_up_to_the_loss_of_all():
    """Tokens that count: the mean over one whole pass with one and the same δ is that of the objective itself."""
    model, loss_fn, batches = make("mlp", sizes=(60, 60, 30))

    def weight(batch):
        return float((batch[1] > 0).sum())

    def masked(output, target):
        return functional.cross_entropy(output, torch.where(target > 0, target, -100))

    objective = ls.Objective(model, masked, batches, weight=weight, check=False)
    theta = objective.theta
    deal = Deal(objective, theta, torch.zeros_like(theta), seed=0, tick=lambda cost: None)
    deal._base = [0.0] * deal.size  # so that a rise is the loss itself
    for _ in range(deal.size):
        deal.visit()
    assert deal.size == 3
    assert deal.estimate().value == pytest.approx(objective.loss(), rel=1e-12)


def test_batches_that_cannot_be_cut_are_passed_over_whole():
    problem = least_squares(200)[0]
    x, y = problem.batches.joined
    cut = [(x[i : i + 50], y[i : i + 50]) for i in range(0, 200, 50)]
    kept = ls.Objective(
        problem.module.model, lambda f, t: ((f - t) ** 2).mean() / 2, cut, interacting=True, check=False
    )
    found = asked(kept, 0.2)
    truth = 0.05**2 / 2 * float(x.square().sum() / 200)
    assert found.cost == pytest.approx(1 + 2 * len(found.samples))
    assert "batches" in found.method
    assert abs(found.value - truth) <= 4 * found.error


@pytest.mark.slow
def test_of_normalised_logits_the_same_can_be_asked():
    objective = perceptron("cross-entropy", 100, count=640)
    options = {"measure": "adaptive_average", "normalize_logits": True}
    many = ls.sharpness(objective, num_probes=30, **options)
    found = ls.sharpness(objective, tol=0.2, **options)
    assert found.converged
    assert abs(found.value - many.value) <= 4 * math.hypot(found.error, many.error)


def test_where_the_limit_ends_the_work_it_is_said():
    objective, _ = least_squares(500)
    with pytest.raises(NotConverged, match="losses over the data were made while the 95 % interval is wider") as caught:
        asked(objective, 0.01, max_losses=4)
    assert caught.value.partial.cost <= 4
    assert not caught.value.partial.converged
    assert not asked(objective, 0.01, max_losses=4, strict=False).converged


def test_nan_among_the_draws_is_not_called_converged():
    objective = of_point(lambda w: torch.log(w[0]) + w[1] ** 2, [0.01, 1.0])
    found = ls.sharpness(objective, measure="average", rho=3.0, tol=0.1, strict=False)
    assert math.isnan(found.value)
    assert not found.converged


def test_the_same_seed_gives_the_same_and_the_record_is_stored(tmp_path):
    objective, _ = least_squares(500)
    one, two, other = (asked(objective, 0.4, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(one.samples, two.samples)
    assert one.value != other.value
    again = written_and_read(one, tmp_path)
    assert (again.cost, again.method, again.interval()) == (one.cost, one.method, one.interval())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"measure": "worst", "tol": 0.1}, "measure='worst' does not use tol=0.1"),
        ({"measure": "average", "max_losses": 5.0}, "max_losses= limits tol="),
        ({"measure": "average", "tol": 5}, "tol=5 must lie between 0 and 1"),
        ({"measure": "average", "atol": -1.0}, "atol=-1.0 must be a number of at least 0"),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        ls.sharpness(LeastSquares().objective, **options)


def test_a_lower_bound_has_no_interval():
    with pytest.raises(UsageError, match="is a lower bound: it has no interval"):
        ls.sharpness(LeastSquares().objective, measure="worst").interval()
