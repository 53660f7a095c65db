"""What is not finite agrees with nothing: second derivatives of roots at zero, and products that overflow."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from landscape import hvp
from landscape.hvp import agreement, blocks, planner
from tests.support.networks import make
from tests.support.products import seeded_vector

MU = 2.0


def least_squares(*, pull):
    """½ mean of (x·θ − y)² and ``pull(θ, θ₀)`` with θ at θ₀; X, and the objective."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 4, dtype=torch.float64, generator=generator)
    y = torch.randn(20, 1, dtype=torch.float64, generator=generator)
    with torch.random.fork_rng():
        model = nn.Linear(4, 1, bias=False).double()
    start = model.weight.detach().clone()

    def loss(model, batch):
        return F.mse_loss(model(batch[0]), batch[1]) / 2 + pull(model.weight, start)

    return x, ls.Objective.from_loss(model, loss, (x, y), check=False, chunk=8)


def squared_norm(weight, start):
    return MU / 2 * torch.norm(weight - start) ** 2


def distance_to_start(weight, start):
    return ((weight - start) ** 2).sum().sqrt()


def nuclear(weight, start):
    """Singular values that are equal: of the unit matrix."""
    return torch.linalg.svdvals(torch.eye(2, dtype=weight.dtype) + (weight - start).reshape(2, 2))[0]


@pytest.fixture
def recording_is_free(monkeypatch):
    monkeypatch.setattr(planner, "RECORDING_SECONDS", 0.0)
    monkeypatch.setattr(planner, "COMPILING_SECONDS", math.inf)


@pytest.mark.parametrize(
    ("pull", "route"),
    [
        *product([distance_to_start, nuclear], ["auto", "linearized", "forward", "linearized/blocks-4"]),
        *product([squared_norm], ["linearized", "forward", "linearized/blocks-4"]),  # "auto" measures it by differences
    ],
)
@pytest.mark.usefixtures("recording_is_free")
def test_a_second_derivative_that_is_not_finite_is_refused_with_its_cause_and_the_way_out(pull, route):
    _, objective = least_squares(pull=pull)
    assert math.isfinite(objective.loss()), "the example must be one"
    with pytest.raises(ls.ObjectiveError, match=r"norm\(\) or sqrt\(\).*equal singular values.*route='differences'"):
        ls.HessianOperator(objective, route=route)


@pytest.mark.parametrize("route", ["auto", "differences"])
def test_a_squared_norm_at_zero_has_its_hessian_by_differences(route):
    """(1/N) XᵀX + μI, in closed form; torch gives NaN."""
    x, objective = least_squares(pull=squared_norm)
    exact = x.T @ x / len(x) + MU * torch.eye(4, dtype=torch.float64)
    H = ls.HessianOperator(objective, route=route)
    assert H.route == "differences"
    assert (H.dense() - exact).norm() <= 1e-6 * exact.norm()
    single = ls.HessianOperator(objective.with_dtype(torch.float32), route=route).dense().double()
    assert (single - exact).norm() <= 1e-6 * exact.norm(), "gradients are taken in float64 all the same"


@pytest.mark.parametrize("pull", [squared_norm, distance_to_start])
def test_away_from_zero_the_same_loss_is_measured(pull):
    x, objective = least_squares(pull=pull)
    theta = objective.theta + 1.0
    step = torch.ones(4, dtype=torch.float64)
    norm = (torch.eye(4, dtype=torch.float64) - torch.outer(step, step) / 4) / 2  # of ‖θ − θ₀‖ at distance 2
    exact = x.T @ x / len(x) + (norm if pull is distance_to_start else MU * torch.eye(4, dtype=torch.float64))
    for route in ("fresh", "linearized", "forward"):
        seen = ls.HessianOperator(objective, theta, route=route).dense()
        assert (seen - exact).norm() <= 1e-12 * exact.norm()


@pytest.mark.usefixtures("recording_is_free")
def test_a_root_that_is_zero_in_a_later_chunk_is_found_before_a_recording_is_taken(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 3, dtype=torch.float64, generator=generator)
    x[5] = 0.0
    with torch.random.fork_rng():
        model = nn.Linear(3, 2, bias=False).double()
    objective = ls.Objective(
        model,
        lambda output, y: output.norm(dim=1).mean() + (output**2).mean(),
        (x, torch.zeros(8)),
        chunk=4,
        check=False,
    )
    laid = iter([3.0, 1.0])  # of double backward and of the recording, which is then the fastest
    monkeypatch.setattr(planner, "seconds", lambda call, device, limit=0, first=None: next(laid))
    H = ls.HessianOperator(objective)
    assert H.route == "differences"
    rows = x[[i for i in range(8) if i != 5]]  # the row of zeros gives zero whatever θ is
    units = rows @ model.weight.detach().T
    units = units / units.norm(dim=1, keepdim=True)
    lengths = (rows @ model.weight.detach().T).norm(dim=1)
    exact = torch.zeros(6, 6, dtype=torch.float64)
    for row, unit, length in zip(rows, units, lengths, strict=True):
        bent = (torch.eye(2, dtype=torch.float64) - torch.outer(unit, unit)) / length / 8
        exact += torch.kron(bent + torch.eye(2, dtype=torch.float64) / 8, torch.outer(row, row))
    assert (H.dense() - exact).norm() <= 1e-6 * exact.norm()


def test_an_overflow_is_told_from_a_root():
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches, check=False)
    with pytest.raises(ls.ObjectiveError, match="the loss is nan there"):
        ls.HessianOperator(objective, objective.theta * math.inf)


def test_nothing_is_near_what_is_not_finite():
    finite = torch.ones(3)
    for value in (math.nan, math.inf, -math.inf):
        odd = torch.tensor([1.0, value, 1.0])
        assert agreement.distance(finite, odd) == agreement.distance(odd, finite) == math.inf
        assert agreement.distance(odd, odd) == math.inf
    assert agreement.distance(finite, finite) == agreement.distance(0 * finite, 0 * finite) == 0.0
    assert agreement.distance(finite, 0 * finite) == math.inf or agreement.distance(finite, 0 * finite) == 1.0


def test_a_route_whose_product_is_not_finite_is_refused():
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches, check=False)
    theta, v = objective.theta, seeded_vector(68, 0)
    reference = objective.hvp(v)
    for value in (math.nan, math.inf):
        out = reference.clone()
        out[3] = value
        assert "not finite" in agreement.refusal(objective.parts(), theta, v, reference, out)


def test_float64_that_is_not_finite_excuses_no_route():
    """A loss that only float32 evaluates: the float64 product is NaN, and no measure of what is near."""

    def loss(output, target):
        return F.cross_entropy(output, target) * (math.nan if output.dtype == torch.float64 else 1.0)

    model, _, batches = make("mlp")
    objective = ls.Objective(model.float(), loss, batches, check=False, dtype=torch.float32)
    theta, v = objective.theta, seeded_vector(68, 0, torch.float32)
    reference = objective.hvp(v)
    off = reference * (1 + 3 * agreement.AGREEMENT[torch.float32])
    assert agreement.refusal(objective.parts(), theta, v, reference, off)


def test_a_block_that_is_not_finite_is_not_taken(monkeypatch):
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches, chunk=20, check=False)
    H = ls.HessianOperator(objective, route="linearized")
    monkeypatch.setattr(blocks, "BLOCKING_SECONDS", 0.0)
    laid = iter([1.0, 2.0])  # alone, and in a block of four: half as long a vector
    monkeypatch.setattr(blocks, "seconds", lambda call, device: next(laid))
    monkeypatch.setattr(type(H._product), "together", lambda self, V: V * math.nan)
    said = blocks.consider_blocks(H._product, objective.parts(), H.theta, memory=2**30, expected=100)
    assert said.startswith("one after another")
    assert H._product.block_size is None


def on_the_brink(seed=0):
    """ReLU units whose inputs are zero but for rounding, on one example each, among many that are far from it."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4800, 300, generator=generator)
    with torch.random.fork_rng():
        model = nn.Sequential(nn.Linear(300, 24), nn.ReLU(), nn.Linear(24, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * parameter.shape[-1] ** -0.5)
        exact = (x[:24].double() * model[0].weight.double()).sum(1)
        model[0].bias.copy_(-exact)
    return ls.Objective(model, F.cross_entropy, (x, torch.arange(4800) % 3), check=False)


def test_where_rounding_decides_float64_says_whether_a_route_may_be_taken():
    """A ReLU that rounding switches on moves float32 products by more than is agreed; a route may not be blamed."""
    objective = on_the_brink()
    theta, v = objective.theta, seeded_vector(objective.layout.size, 0, torch.float32)
    parts = objective.parts()
    reference = hvp.Fresh(parts, theta)(v)
    double = objective.with_dtype(torch.float64)
    truth = hvp.Fresh(double.parts(), theta.double())(v.double())
    own = float((reference.double() - truth).norm() / truth.norm())
    assert 2 * agreement.AGREEMENT[torch.float32] < own < agreement.MOST_APART, "the example must be one"
    assert agreement.refusal(parts, theta, v, reference, truth.float()) == ""
    beyond = (truth + 2.5 * (reference.double() - truth)).float()
    assert "from float64" in agreement.refusal(parts, theta, v, reference, beyond)
    far = reference + 0.1 * reference.norm() * v / v.norm()
    assert "differs from double backward" in agreement.refusal(parts, theta, v, reference, far)


def test_a_smooth_model_keeps_to_what_is_agreed():
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model.float(), loss_fn, batches, check=False, dtype=torch.float32)
    theta, v = objective.theta, seeded_vector(objective.layout.size, 0, torch.float32)
    reference = hvp.Fresh(objective.parts(), theta)(v)
    off = reference * (1 + 3 * agreement.AGREEMENT[torch.float32])
    assert "from float64" in agreement.refusal(objective.parts(), theta, v, reference, off)
    assert agreement.refusal(objective.parts(), theta, v, reference, reference * (1 + 1e-6)) == ""
