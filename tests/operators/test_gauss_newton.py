"""The Gauss-Newton matrix is JᵀBJ with the shares of the objective, whatever the route, the chunks and the model."""

from __future__ import annotations

import copy
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from landscape.errors import ObjectiveError, UsageError
from landscape.operators import GaussNewtonOperator
from tests.support.jacobians import (
    NETWORKS,
    assert_matrix,
    assert_operator,
    dense_gauss_newton,
    make_network,
    outputs_of,
)
from tests.support.networks import dense_hessian
from tests.support.products import Cube

ROUTES = ("fresh", "retained", "linearized")


@pytest.fixture
def seeded():
    """Data of the test's own, from a global generator that is put back."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def operator(kind, *, dtype=torch.float64, **options):
    model, loss_fn, batches, _ = make_network(kind, dtype=dtype)
    return GaussNewtonOperator(ls.Objective(model, loss_fn, batches, chunk=None, check=False), **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", NETWORKS)
def test_it_equals_the_dense_matrix_made_of_jacobian_and_closed_form_curvature(kind, dtype):
    model, loss_fn, batches, likelihood = make_network(kind, dtype=dtype)
    G = GaussNewtonOperator(ls.Objective(model, loss_fn, batches, chunk=None, check=False))
    expected = dense_gauss_newton(model, batches, likelihood)
    assert G.dtype == dtype
    assert_operator(G, expected)


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", ["mlp", "cnn", "tied"])
def test_every_route_is_taken_and_gives_the_same_matrix(kind, route):
    model, loss_fn, batches, likelihood = make_network(kind)
    objective = ls.Objective(model, loss_fn, batches, chunk=5, check=False)  # chunks of 5, 5 and 3
    G = GaussNewtonOperator(objective, route=route)
    assert G.route == route
    assert G._mode == ("linearized" if route == "linearized" else "jvp")
    assert_operator(G, dense_gauss_newton(model, batches, likelihood))


def test_memory_decides_between_kept_and_fresh_graphs():
    assert operator("mlp").route == "retained"
    assert operator("mlp", memory=10).route == "fresh"
    assert operator("mlp", memory=10, route="linearized").route == "fresh"
    with pytest.raises(UsageError, match="'fresh'"):
        operator("mlp", route="best")


def test_a_product_runs_the_model_as_often_as_its_route_says():
    """On three chunks: tangents and outputs anew, tangents alone, or nothing of the model at all."""
    model, loss_fn, batches, _ = make_network("mlp")
    objective = ls.Objective(model, loss_fn, batches, chunk=None, check=False)
    calls = []
    for route in ROUTES:
        G = GaussNewtonOperator(objective, route=route)
        with model.register_forward_hook(lambda *_: calls.append(1)):
            calls.clear()
            G @ torch.ones(G.dim)
            assert len(calls) == {"fresh": 6, "retained": 3, "linearized": 0}[route]


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", ["mlp", "cnn", "tied", "frozen"])
def test_a_block_of_vectors_equals_its_columns_one_by_one(kind, route):
    G = operator(kind, route=route)
    V = torch.randn(G.dim, 19, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    columns = torch.stack([G @ V[:, i] for i in range(19)], dim=1)
    assert_matrix(G @ V, columns)
    assert (G._columns == 1) == (kind == "cnn")  # the block product was not silently given up


@pytest.mark.parametrize("kind", NETWORKS)
def test_it_is_symmetric_and_positive_semidefinite(kind):
    G = operator(kind)
    x, y = torch.randn(G.dim, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64).unbind(1)
    assert abs(x @ (G @ y) - y @ (G @ x)) <= 1e-13 * x.norm() * (G @ y).norm()
    values = torch.linalg.eigvalsh(G.dense())
    assert values[0] >= -1e-13 * values[-1]
    assert values[-1] > 0


def test_it_is_the_hessian_where_the_model_is_linear_in_its_parameters():
    model, loss_fn, batches, _ = make_network("logistic")
    objective = ls.Objective(model, loss_fn, batches)
    H = dense_hessian(model, loss_fn, batches)
    assert_matrix(GaussNewtonOperator(objective).dense(), H)
    assert_matrix(GaussNewtonOperator(objective).dense(), ls.HessianOperator(objective).dense())


def test_elsewhere_it_is_not_the_hessian():
    for kind in ("mlp", "deep_linear"):
        model, loss_fn, batches, _ = make_network(kind)
        H = dense_hessian(model, loss_fn, batches)
        assert (operator(kind).dense() - H).norm() > 0.05 * H.norm()


def test_it_is_the_hessian_where_the_model_fits_its_data():
    model, loss_fn, batches, _ = make_network("deep_linear")
    fitted = [(x, model(x).detach()) for x, _ in batches]
    G = GaussNewtonOperator(ls.Objective(model, loss_fn, fitted, check=False))
    assert_matrix(G.dense(), dense_hessian(model, loss_fn, fitted))


def test_it_is_taken_at_the_theta_that_is_given():
    model, loss_fn, batches, likelihood = make_network("mlp")
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for p in moved.parameters():
            p.mul_(1.5)
    objective = ls.Objective(model, loss_fn, batches)
    G = GaussNewtonOperator(objective, 1.5 * objective.theta)
    assert_matrix(G.dense(), dense_gauss_newton(moved, batches, likelihood))


def test_weights_of_chunks_are_those_of_the_objective(seeded):
    """Token losses with masked tokens: chunks weigh what they count, not how many examples they have."""
    model = nn.Linear(3, 4).double()
    x, y = torch.randn(5, 6, 3).double(), torch.randint(4, (5, 6))
    y[0, 1:] = y[1] = y[4, ::2] = -100

    def loss_fn(f, t):
        return F.cross_entropy(f.flatten(0, 1), t.flatten())

    def count(batch):
        return float((batch[1] >= 0).sum())

    whole = GaussNewtonOperator(ls.Objective(model, loss_fn, (x, y), weight=count, chunk=None, check=False)).dense()
    pieces = [(x[:2], y[:2]), (x[2:3], y[2:3]), (x[3:], y[3:])]
    cut = GaussNewtonOperator(ls.Objective(model, loss_fn, pieces, weight=count, chunk=None, check=False)).dense()
    assert_matrix(cut, whole)
    counted = [(x[y >= 0], y[y >= 0])]
    assert_matrix(whole, dense_gauss_newton(model, counted, "categorical"))


class TwoHeads(nn.Module):
    """Returns a nest of tensors, one of them of whole numbers."""

    def __init__(self):
        super().__init__()
        self.body, self.mean, self.spread = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x):
        h = torch.tanh(self.body(x))
        return OrderedDict(both=(self.mean(h), self.spread(h)), labels=h.argmax(1))


def gaussian_nll(out, y):
    mean, spread = out["both"]
    assert out["labels"].dtype == torch.long
    return ((y - mean) ** 2 * torch.exp(-spread) + spread).sum(1).mean()


@pytest.mark.parametrize("route", ROUTES)
def test_outputs_may_be_a_nest_of_tensors(seeded, route):
    model = TwoHeads().double()
    x, y = torch.randn(7, 3).double(), torch.randn(7, 2).double()
    theta, outputs = outputs_of(model, x)

    def joined(vector):
        return torch.stack(outputs(vector)["both"])

    J = torch.autograd.functional.jacobian(joined, theta).flatten(0, -2)
    B = torch.autograd.functional.hessian(
        lambda f: gaussian_nll({"both": tuple(f), "labels": torch.zeros(1).long()}, y), joined(theta).detach()
    ).reshape(len(J), len(J))
    G = GaussNewtonOperator(ls.Objective(model, gaussian_nll, (x, y), chunk=3, check=False), route=route)
    assert_matrix(G.dense(), J.T @ B @ J)
    V = torch.randn(G.dim, 3).double()
    assert_matrix(G @ V, J.T @ B @ J @ V)


class Cubic(nn.Module):
    def __init__(self, known):
        super().__init__()
        self.fc, self.known = nn.Linear(3, 4), known

    def forward(self, x):
        h = self.fc(x)
        return h**3 if self.known else Cube.apply(h)


@pytest.mark.parametrize("route", ["fresh", "retained"])
def test_an_operation_without_forward_mode_is_pushed_through_by_double_backward(seeded, route):
    x, y = torch.randn(9, 3).double(), torch.randint(4, (9,))
    known, custom = Cubic(True).double(), Cubic(False).double()
    custom.load_state_dict(known.state_dict())
    seen = GaussNewtonOperator(ls.Objective(custom, F.cross_entropy, (x, y), chunk=4, check=False), route=route)
    assert seen._mode == "double"
    assert_matrix(seen.dense(), dense_gauss_newton(known, [(x, y)], "categorical"))


def test_forward_mode_that_looks_through_no_grad_is_not_believed(seeded):
    """J of reverse mode leaves the detached path out; a J of forward mode would not, and JᵀBJ would be lopsided."""

    class Peeks(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, x):
            with torch.no_grad():
                constant = self.b(x) ** 2
            return self.a(x) + constant * self.b(x)

    model, x, y = Peeks().double(), torch.randn(6, 3).double(), torch.randint(4, (6,))
    G = GaussNewtonOperator(ls.Objective(model, F.cross_entropy, (x, y), check=False)).dense()
    assert_matrix(G, G.T)
    assert_matrix(G, dense_gauss_newton(model, [(x, y)], "categorical"))


def test_nothing_of_the_model_changes_and_no_random_number_is_drawn():
    for kind in ("cnn", "tied"):
        model, loss_fn, batches, _ = make_network(kind)
        model.train()
        before, flags = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
        state = torch.get_rng_state()
        G = GaussNewtonOperator(ls.Objective(model, loss_fn, batches, check=False))
        out = G @ torch.ones(G.dim)
        assert not out.requires_grad
        assert torch.equal(torch.get_rng_state(), state)
        assert [m.training for m in model.modules()] == flags
        assert all(p.grad is None and p.requires_grad for p in model.parameters())
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_what_changes_in_the_model_later_does_not_reach_the_operator():
    model, loss_fn, batches, _ = make_network("cnn")
    for route in ROUTES:
        G = GaussNewtonOperator(ls.Objective(model, loss_fn, batches, check=False), route=route)
        before = G @ torch.ones(G.dim)
        with torch.no_grad():
            for tensor in (*model.parameters(), model.bn.running_mean):
                tensor.add_(0.1)
        assert_matrix(G @ torch.ones(G.dim), before)


def test_products_are_the_same_under_no_grad_and_inference_mode():
    G = operator("mlp")
    expected = G @ torch.ones(G.dim)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            seen = G @ torch.ones(G.dim)
        assert_matrix(seen, expected)


def test_an_objective_that_hides_where_the_model_ends_is_refused():
    model, loss_fn, batches, _ = make_network("mlp")
    objective = ls.Objective.from_loss(model, lambda m, b: loss_fn(m(b[0]), b[1]), batches)
    with pytest.raises(ObjectiveError, match=r"Use Objective\(model, loss_fn, data\)"):
        GaussNewtonOperator(objective)


def test_a_loss_without_curvature_in_the_outputs_is_refused_and_says_why(seeded):
    model = nn.Sequential(nn.Linear(3, 4), nn.LogSoftmax(1))
    with pytest.raises(ObjectiveError, match="return logits and use cross_entropy"):
        GaussNewtonOperator(ls.Objective(model, F.nll_loss, (torch.randn(5, 3), torch.randint(4, (5,))), check=False))


def test_outputs_without_numbers_are_refused(seeded):
    class Strange(nn.Linear):
        def forward(self, x):
            return {"label": super().forward(x).argmax(1), "text": "none"}

    objective = ls.Objective(
        Strange(3, 4), lambda f, t: torch.tensor(0.0), (torch.randn(5, 3), torch.ones(5)), check=False
    )
    with pytest.raises(ObjectiveError, match=r"returned Tensor, str; .*tuple, list or dict"):
        GaussNewtonOperator(objective)


def test_it_stands_in_the_estimators_as_the_hessian_does():
    G = operator("mlp")
    eigs = ls.top_eigenpairs(G, 2)
    exact = torch.linalg.eigvalsh(G.dense()).flip(0)[:2].numpy()
    assert abs(eigs.values - exact).max() <= eigs.residuals.max() + 1e-12
