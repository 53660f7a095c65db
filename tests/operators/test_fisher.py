"""The Fisher matrix: exact from the likelihood, sampled without bias, and the empirical one that is neither."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from landscape.errors import ObjectiveError, UsageError
from landscape.operators import FisherOperator, GaussNewtonOperator
from tests.support.jacobians import (
    NETWORKS,
    assert_matrix,
    assert_operator,
    dense_gauss_newton,
    dense_jacobian,
    make_network,
)

KINDS = ("exact", "mc", "empirical")


@pytest.fixture
def seeded():
    """Data of the test's own, from a global generator that is put back."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def fisher(network, /, *, dtype=torch.float64, chunk=None, **options):
    model, loss_fn, batches, likelihood = make_network(network, dtype=dtype)
    objective = ls.Objective(model, loss_fn, batches, chunk=chunk, check=False)
    return FisherOperator(objective, likelihood=likelihood, **options)


def gradients(model, losses):
    """(units, P) one gradient for each loss, by plain autograd."""
    params = [p for p in model.parameters() if p.requires_grad]
    rows = [torch.autograd.grad(loss, params, retain_graph=True) for loss in losses]
    return torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", NETWORKS)
def test_exact_equals_the_closed_form_and_so_the_gauss_newton_matrix(kind, dtype):
    model, _, batches, likelihood = make_network(kind, dtype=dtype)
    F_exact = fisher(kind, dtype=dtype)
    assert F_exact.likelihood == likelihood
    assert_operator(F_exact, dense_gauss_newton(model, batches, likelihood))
    G = GaussNewtonOperator(F_exact.objective)
    v = torch.arange(1, G.dim + 1, dtype=dtype)
    assert_matrix(F_exact @ v, (G @ v).double())


@pytest.mark.parametrize("kind", ["logistic", "tied", "deep_linear", "bernoulli"])
def test_sampled_matrices_average_to_the_exact_one(kind):
    """40 seeds of 50 labels: the mean of vᵀFv lies within four standard errors, which are small enough to tell."""
    exact = fisher(kind)
    v = torch.randn(exact.dim, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    many = [fisher(kind, kind="mc", seed=s, num_samples=50, route="fresh") for s in range(40)]
    samples = torch.stack([v @ (sampled @ v) for sampled in many])
    sem = float(samples.std() / 40**0.5)
    truth = float(v @ (exact @ v))
    assert 0 < sem <= 0.03 * truth
    assert abs(float(samples.mean()) - truth) <= 4 * sem


@pytest.mark.parametrize("kind", ["logistic", "deep_linear", "bernoulli"])
def test_more_samples_come_nearer_and_are_the_mean_of_independent_ones(kind):
    exact = fisher(kind).dense()
    few = [(fisher(kind, kind="mc", seed=s, num_samples=2).dense() - exact).norm() ** 2 for s in range(12)]
    many = [(fisher(kind, kind="mc", seed=s, num_samples=200).dense() - exact).norm() ** 2 for s in range(12)]
    ratio = float(sum(few) / sum(many))
    assert 30 < ratio < 330  # 100 in expectation


def test_sampled_matrix_is_made_of_gradients_with_sampled_labels():
    """One label for each of 13 examples, held against plain autograd at those labels."""
    model, _, batches, _ = make_network("logistic")
    F_mc = fisher("logistic", kind="mc", seed=3)
    x = torch.cat([b[0] for b in batches])
    labels = torch.cat([drawn[:, 0] for drawn in F_mc._drawn])
    assert len(labels.unique()) > 1
    g = gradients(model, [F.cross_entropy(model(x[i : i + 1]), labels[i : i + 1]) for i in range(13)])
    assert_matrix(F_mc.dense(), g.T @ g / 13)


@pytest.mark.parametrize("likelihood", ["categorical", "gaussian", "bernoulli"])
def test_labels_depend_on_the_seed_and_not_on_the_cut(likelihood):
    kind = {"categorical": "tied", "gaussian": "deep_linear", "bernoulli": "bernoulli"}[likelihood]
    whole, cut = (fisher(kind, kind="mc", seed=7, num_samples=3, chunk=chunk).dense() for chunk in (13, 5))
    assert_matrix(cut, whole)
    other = fisher(kind, kind="mc", seed=8, num_samples=3).dense()
    assert (other - whole).norm() > 1e-3 * whole.norm()


@pytest.mark.parametrize("route", ["fresh", "retained", "linearized"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_the_same_matrix_by_every_route_and_in_blocks_of_vectors(kind, route):
    expected = fisher("mlp", kind=kind).dense()
    operator = fisher("mlp", kind=kind, route=route)
    assert operator.route == route
    V = torch.randn(operator.dim, 18, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert_matrix(operator @ V, expected @ V)
    assert_matrix(torch.stack([operator @ v for v in V.T], dim=1), expected @ V)
    assert operator._columns > 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_symmetric_and_positive_semidefinite(kind):
    for network in ("mlp", "tied", "bernoulli"):
        dense = fisher(network, kind=kind).dense()
        assert_matrix(dense, dense.T)
        values = torch.linalg.eigvalsh(dense)
        assert values[0] >= -1e-12 * values[-1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "deep_linear", "logistic", "bernoulli"])
def test_empirical_is_the_mean_outer_product_of_the_gradients_of_the_examples(kind, dtype):
    model, loss_fn, batches, _ = make_network(kind, dtype=dtype)
    F_emp = FisherOperator(ls.Objective(model, loss_fn, batches, chunk=None, check=False), kind="empirical")
    twin = copy.deepcopy(model).double().eval()
    x, y = (torch.cat([b[i] for b in batches]) for i in (0, 1))
    y = y.double() if y.is_floating_point() else y
    g = gradients(twin, [loss_fn(twin(x[i : i + 1].double()), y[i : i + 1]) for i in range(13)])
    assert_operator(F_emp, g.T @ g / 13)


def test_empirical_is_not_the_fisher_matrix():
    exact, empirical = fisher("mlp").dense(), fisher("mlp", kind="empirical").dense()
    assert (exact - empirical).norm() > 0.1 * exact.norm()


def test_empirical_takes_tokens_under_a_named_likelihood_and_sequences_without():
    model, loss_fn, batches, _ = make_network("tied")
    objective = ls.Objective(model, loss_fn, batches, chunk=None, check=False)
    x, y = (torch.cat([b[i] for b in batches]) for i in (0, 1))
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        logits = model.eval()(x)
        by_token = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
        tokens, sequences = (gradients(model, losses) for losses in (by_token, by_token.view(13, 6).mean(1)))
    named = FisherOperator(objective, kind="empirical", likelihood="categorical")
    assert_operator(named, tokens.T @ tokens / 78)
    plain = FisherOperator(objective, kind="empirical")
    assert plain.likelihood is None
    assert_operator(plain, sequences.T @ sequences / 13)


class Channels(nn.Linear):
    """Logits (N, V, T), as cross_entropy takes them."""

    def forward(self, x):
        return super().forward(x).movedim(-1, 1)


def test_masked_tokens_weigh_nothing_in_every_kind(seeded):
    model, x, y = Channels(3, 4).double(), torch.randn(5, 6, 3).double(), torch.randint(4, (5, 6))
    y[0, 1:] = y[1] = y[4, ::2] = 9
    loss_fn = functools.partial(F.cross_entropy, ignore_index=9)
    pieces = [(x[:2], y[:2]), (x[2:3], y[2:3]), (x[3:], y[3:])]
    objective = ls.Objective(model, loss_fn, pieces, weight=lambda b: float((b[1] != 9).sum()), chunk=None, check=False)
    keep = y != 9
    flat, count = nn.Linear(3, 4).double(), int(keep.sum())
    flat.load_state_dict(model.state_dict())
    expected = dense_gauss_newton(flat, [(x[keep], y[keep])], "categorical")
    assert_matrix(FisherOperator(objective).dense(), expected)
    g = gradients(flat, F.cross_entropy(flat(x[keep]), y[keep], reduction="none"))
    assert_matrix(FisherOperator(objective, kind="empirical").dense(), g.T @ g / count)
    mean = sum(FisherOperator(objective, kind="mc", seed=s, num_samples=50).dense() for s in range(20)) / 20
    assert (mean - expected).norm() <= 0.1 * expected.norm()


class Halved(nn.Module):
    """A loss of torch behind a module that nobody knows."""

    def forward(self, f, y):
        return ((f - y) ** 2).sum(1).mean() / 2


@pytest.mark.parametrize(
    ("loss_fn", "name"),
    [
        (F.cross_entropy, "categorical"),
        (nn.CrossEntropyLoss(), "categorical"),
        (nn.CrossEntropyLoss(label_smoothing=0.1), "categorical"),
        (functools.partial(F.cross_entropy, label_smoothing=0.1), "categorical"),
        (nn.MSELoss(), "gaussian"),
        (F.mse_loss, "gaussian"),
        (nn.BCEWithLogitsLoss(), "bernoulli"),
        (functools.partial(F.binary_cross_entropy_with_logits, reduction="mean"), "bernoulli"),
    ],
)
def test_losses_of_torch_are_recognised(loss_fn, name, seeded):
    y = torch.randint(4, (7,)) if name == "categorical" else torch.rand(7, 4).double()
    objective = ls.Objective(nn.Linear(3, 4).double(), loss_fn, (torch.randn(7, 3).double(), y), check=False)
    seen = FisherOperator(objective)
    assert seen.likelihood == name
    assert_matrix(seen.dense(), GaussNewtonOperator(objective).dense())


def test_half_the_squared_error_is_a_gaussian_of_variance_one_when_it_is_said(seeded):
    x = torch.randn(7, 3).double()
    model = nn.Linear(3, 2, bias=False).double()
    objective = ls.Objective(model, Halved(), (x, torch.randn(7, 2).double()), chunk=3)
    with pytest.raises(UsageError, match="likelihood='categorical', 'gaussian' or 'bernoulli'"):
        FisherOperator(objective)
    expected = torch.kron(torch.eye(2).double(), x.T @ x / 7)
    assert_matrix(FisherOperator(objective, likelihood="gaussian").dense(), expected)


WEIGHTED_BERNOULLI = functools.partial(F.binary_cross_entropy_with_logits, pos_weight=torch.ones(4))


@pytest.mark.parametrize("loss_fn", [nn.CrossEntropyLoss(weight=torch.ones(4)), WEIGHTED_BERNOULLI])
def test_weighted_losses_are_no_likelihoods(loss_fn, seeded):
    y = torch.randint(4, (7,)) if isinstance(loss_fn, nn.Module) else torch.rand(7, 4)
    objective = ls.Objective(nn.Linear(3, 4), loss_fn, (torch.randn(7, 3), y), check=False)
    with pytest.raises(UsageError, match="weights.*GaussNewtonOperator"):
        FisherOperator(objective)


def test_the_wrong_likelihood_is_found_out(seeded):
    x, y = torch.randn(7, 3), torch.randint(4, (7,))
    for loss_fn, name in [(F.cross_entropy, "gaussian"), (F.cross_entropy, "bernoulli"), (Halved(), "categorical")]:
        target = y if loss_fn is F.cross_entropy else torch.randn(7, 4)
        objective = ls.Objective(nn.Linear(3, 4), loss_fn, (x, target), check=False)
        with pytest.raises(ObjectiveError, match=f"not the negative log-likelihood of a {name}"):
            FisherOperator(objective, likelihood=name)
    logs = nn.Sequential(nn.Linear(3, 4), nn.LogSoftmax(1))
    with pytest.raises(ObjectiveError, match="not probabilities or log-probabilities"):
        FisherOperator(ls.Objective(logs, F.nll_loss, (x, y), check=False), likelihood="categorical")


def test_hinge_and_other_losses_have_an_empirical_matrix_only(seeded):
    model, x, y = nn.Linear(3, 4).double(), torch.randn(7, 3).double(), torch.randint(4, (7,))
    objective = ls.Objective(model, F.multi_margin_loss, (x, y), chunk=4, check=False)
    for kind in ("exact", "mc"):
        with pytest.raises(UsageError, match=f"kind='{kind}': no likelihood is known for the loss multi_margin_loss"):
            FisherOperator(objective, kind=kind)
    g = gradients(model, [F.multi_margin_loss(model(x[i : i + 1]), y[i : i + 1]) for i in range(7)])
    assert_matrix(FisherOperator(objective, kind="empirical").dense(), g.T @ g / 7)


def test_rows_that_weigh_differently_in_different_chunks_are_refused_as_examples(seeded):
    x, y = torch.randn(5, 6, 3), torch.randint(4, (5, 6))
    y[:3, 2:] = -100

    def loss_fn(f, t):
        return F.cross_entropy(f.flatten(0, 1), t.flatten())

    pieces = [(x[:3], y[:3]), (x[3:], y[3:])]
    objective = ls.Objective(
        nn.Linear(3, 4), loss_fn, pieces, weight=lambda b: float((b[1] >= 0).sum()), chunk=None, check=False
    )
    with pytest.raises(ObjectiveError, match="likelihood='categorical'"):
        FisherOperator(objective, kind="empirical")
    assert FisherOperator(objective, kind="empirical", likelihood="categorical").likelihood == "categorical"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_certain_predictions_leave_small_matrices_right(dtype):
    """Logits of some hundreds: softmax is 1 to rounding for most examples, and the curvature what is left."""
    model, _, batches, _ = make_network("logistic", dtype=dtype)
    with torch.no_grad():
        model.weight.mul_(30)
    objective = ls.Objective(model, F.cross_entropy, batches, check=False)
    expected = dense_gauss_newton(model, batches, "categorical")
    assert_matrix(FisherOperator(objective).dense(), expected, ulps=3e4)
    assert float((dense_jacobian(model, batches)[0].softmax(1).amax(1) > 0.999).double().mean()) > 0.4


def test_gradients_that_underflow_when_squared_are_kept(seeded):
    """Residuals of 1e-30 in float32: r rᵀ would be zero, but r (rᵀt)/w need not be."""
    x, y = 1e5 * torch.randn(6, 3), torch.full((6, 2), 1e-30)
    model = nn.Linear(3, 2, bias=False)
    nn.init.zeros_(model.weight)
    F_emp = FisherOperator(ls.Objective(model, F.mse_loss, (x, y), check=False), kind="empirical")
    v = 1e20 * torch.ones(6)
    g = torch.stack([-1e-30 * torch.stack([row.double(), row.double()]).flatten() for row in x])
    assert_matrix(F_emp @ v, g.T @ (g @ v.double()) / 6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_of_it_is_the_block_of_the_matrix_with_the_same_labels(kind):
    operator = fisher("mlp", kind=kind, seed=5)
    dense = operator.dense()
    where = operator.objective.layout.slices()["2.weight"]
    part = operator.block("2.weight")
    assert part.kind == kind
    assert_matrix(part.dense(), dense[where, where])


def test_it_moves_to_another_point():
    operator = fisher("mlp")
    theta = 1.5 * operator.theta
    assert_matrix(operator.at(theta).dense(), FisherOperator(operator.objective, theta).dense())


def test_nothing_of_the_model_changes_and_no_random_number_is_drawn():
    model, loss_fn, batches, _ = make_network("cnn")
    model.train()
    before, numbers = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    for kind in KINDS:
        FisherOperator(ls.Objective(model, loss_fn, batches, check=False), kind=kind) @ torch.ones(216)
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(m.training for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_settings_that_are_none_are_refused():
    for options, message in [
        ({"kind": "true"}, "'empirical'"),
        ({"likelihood": "poisson"}, "'bernoulli'"),
        ({"kind": "mc", "seed": None}, "seed=None"),
        ({"kind": "mc", "seed": -1}, "at least 0"),
        ({"kind": "mc", "num_samples": 0}, "num_samples"),
    ]:
        with pytest.raises(UsageError, match=message):
            fisher("logistic") and FisherOperator(fisher("logistic").objective, **options)
    model, loss_fn, batches, _ = make_network("mlp")
    own = ls.Objective.from_loss(model, lambda m, b: loss_fn(m(b[0]), b[1]), batches)
    for kind in KINDS:
        with pytest.raises(ObjectiveError, match=r"Use Objective\(model, loss_fn, data\)"):
            FisherOperator(own, kind=kind)
