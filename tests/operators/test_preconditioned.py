"""D^{-1/2} H D^{-1/2}, and the D of adaptive optimizers: held against the steps that torch's optimizers take."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn, optim

import landscape as ls
from landscape.errors import UsageError
from landscape.operators import GaussNewtonOperator, MatrixOperator, PreconditionedOperator, preconditioner
from landscape.params import ParamLayout
from tests.support.jacobians import assert_matrix, dense_gauss_newton, make_network


def spread(dim: int, seed: int, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A random symmetric matrix and a positive diagonal over four orders of magnitude."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((dim, dim))
    return torch.from_numpy(scale * (a + a.T)), torch.from_numpy(10.0 ** rng.uniform(-2, 2, dim))


@given(st.integers(1, 8), st.sampled_from([1e-14, 1.0, 1e14]), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_it_equals_the_dense_product_and_has_the_eigenvalues_of_the_quotient(dim, scale, seed):
    h, d = spread(dim, seed, scale)
    A = PreconditionedOperator(MatrixOperator(h), d)
    assert_matrix(A.dense(), h / torch.outer(d, d).sqrt())
    quotient = torch.linalg.eigvals(h / d[:, None]).real.sort().values
    assert_matrix(torch.linalg.eigvalsh(A.dense()), quotient, ulps=1e5)
    V = torch.from_numpy(np.random.default_rng(seed).standard_normal((dim, 3)))
    assert_matrix(A @ V, (h / torch.outer(d, d).sqrt()) @ V, ulps=1e4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_diagonals_as_small_as_an_epsilon_squared_are_not_lost(dtype):
    h = torch.diag(torch.tensor([2.0, 3.0], dtype=dtype))
    A = PreconditionedOperator(MatrixOperator(h), np.array([1e-40, 1e40]))
    assert_matrix(
        torch.stack([A @ np.array([1e-30, 0]), A @ np.array([0, 1e30])]),
        torch.diag(torch.tensor([2e10, 3e-10])).double(),
    )


def test_scales_that_are_none_are_refused():
    H = MatrixOperator(torch.eye(3))
    for bad, message in [
        (torch.ones(2), r"\(2,\).*expected \(3,\)"),
        (torch.ones(3, 3), r"expected \(3,\)"),
        (torch.tensor([1.0, 0.0, 1.0]), "number 1: 0"),
        (torch.tensor([1.0, 1.0, -2.0]), "number 2: -2"),
        (torch.tensor([float("nan"), 1.0, 1.0]), "number 0: nan"),
        (np.array([1.0, np.inf, 1.0]), "number 1: inf"),
        (np.array([1.0, 1e-90, 1.0]), "range of torch.float32"),
        (torch.ones(3, dtype=torch.complex64), "real"),
    ]:
        with pytest.raises(UsageError, match=message):
            PreconditionedOperator(H, bad)


def test_blocks_take_their_part_of_the_scale():
    model, loss_fn, batches, likelihood = make_network("mlp")
    G = GaussNewtonOperator(ls.Objective(model, loss_fn, batches, check=False))
    d = torch.linspace(1, 9, G.dim, dtype=torch.float64)
    A = PreconditionedOperator(G, d)
    dense = dense_gauss_newton(model, batches, likelihood) / torch.outer(d, d).sqrt()
    slices = G.objective.layout.slices()
    for name, block in A.blocks().items():
        assert_matrix(block.dense(), dense[slices[name], slices[name]])
    ends = [
        *range(slices["0.bias"].start, slices["0.bias"].stop),
        *range(slices["2.bias"].start, slices["2.bias"].stop),
    ]
    assert_matrix(A.block("*.bias").dense(), dense[ends][:, ends])
    with pytest.raises(UsageError, match="MatrixOperator knows no parameter names"):
        PreconditionedOperator(MatrixOperator(np.eye(2)), np.ones(2)).blocks()


OPTIMIZERS = {
    "Adam": lambda p: optim.Adam(p, lr=0.01, betas=(0.8, 0.95), eps=1e-3),
    "Adam amsgrad": lambda p: optim.Adam(p, lr=0.01, betas=(0.8, 0.5), amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, alpha=0.9),
    "RMSprop centered": lambda p: optim.RMSprop(p, lr=0.01, alpha=0.9, centered=True, eps=1e-2),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.01, eps=1e-3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_last_step_of_the_optimizer_was_momentum_over_the_preconditioner(name):
    """Δθ = −η D⁻¹ m with Adam's own m, −η D⁻¹ g for the others: torch's own arithmetic is the truth."""
    model, loss_fn, batches, _ = make_network("mlp")
    optimizer = OPTIMIZERS[name](list(model.parameters()))
    layout = ParamLayout.of(model)
    for t in range(6):
        optimizer.zero_grad()
        x, y = batches[t % 2]
        loss_fn(model(x), y).backward()
        before = torch.cat([p.detach().clone().reshape(-1) for p in model.parameters()])
        optimizer.step()
    moved = torch.cat([p.detach().reshape(-1) for p in model.parameters()]) - before
    group = optimizer.param_groups[0]
    if name.startswith("Adam"):
        moment = torch.cat([optimizer.state[p]["exp_avg"].reshape(-1) for p in model.parameters()])
        decay = group["weight_decay"] if name == "AdamW" else 0.0
    else:
        moment, decay = torch.cat([p.grad.reshape(-1) for p in model.parameters()]), 0.0
    D = preconditioner(optimizer.state_dict(), layout, optimizer=name.split()[0], names=list(layout.names))
    assert_matrix(moved, -0.01 * moment / D - 0.01 * decay * before, ulps=1e4)


def trained(optimizer_of=None):
    """A model after one step of Adam with two groups, and the optimizer's state."""
    model, loss_fn, batches, _ = make_network("mlp")
    named = dict(model.named_parameters())
    groups = [
        {"params": [(n, p) for n, p in named.items() if "weight" in n], "eps": 1e-2},
        {"params": [(n, p) for n, p in named.items() if "bias" in n], "betas": (0.5, 0.9)},
    ]
    optimizer = optim.Adam(groups, lr=0.01) if optimizer_of is None else optimizer_of(model)
    x, y = batches[0]
    loss_fn(model(x), y).backward()
    optimizer.step()
    return model, optimizer.state_dict()


def test_groups_have_their_own_constants_and_theta_its_own_order():
    """After one step v/(1 − β₂) = g², so that D = (1 − β₁)(|g| + ε) for each group's β₁ and ε."""
    model, state = trained()
    expected = torch.cat(
        [
            ((0.1 if "weight" in n else 0.5) * (p.grad.abs() + (1e-2 if "weight" in n else 1e-8))).reshape(-1)
            for n, p in model.named_parameters()
        ]
    )
    if "param_names" in state["param_groups"][0]:
        assert_matrix(preconditioner(state, ParamLayout.of(model), optimizer="adam"), expected)
    order = ["0.weight", "2.weight", "0.bias", "2.bias"]
    for group in state["param_groups"]:
        group.pop("param_names", None)
    assert_matrix(preconditioner(state, ParamLayout.of(model), optimizer="adam", names=order), expected)
    biases = preconditioner(state, ParamLayout.of(model, "*.bias"), optimizer="adam", names=order)
    assert_matrix(biases, torch.cat([expected[24:32], expected[64:]]))


def test_a_saved_checkpoint_gives_the_same_preconditioner(tmp_path):
    model, loss_fn, batches, _ = make_network("mlp")
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    loss_fn(model(batches[0][0]), batches[0][1]).backward()
    optimizer.step()
    path = ls.save_checkpoint(tmp_path, model, step=1, optimizer=optimizer)
    layout = ParamLayout.of(model)
    seen = preconditioner(ls.load_checkpoint(path).optimizer_state(), layout)
    expected = preconditioner(optimizer.state_dict(), layout, optimizer="AdamW", names=list(layout.names))
    assert torch.equal(seen, expected)


def test_states_that_are_none_are_refused_with_a_reason():
    model, state = trained()
    layout, names = ParamLayout.of(model), ["0.weight", "2.weight", "0.bias", "2.bias"]
    nameless = {
        **state,
        "param_groups": [{k: v for k, v in g.items() if k != "param_names"} for g in state["param_groups"]],
    }
    stepless = {**state, "state": {k: v for k, v in state["state"].items() if k != 2}}
    with torch.random.fork_rng():
        other = ParamLayout.of(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)))
    still = {**state, "state": {k: {**v, "exp_avg_sq": 0 * v["exp_avg_sq"]} for k, v in state["state"].items()}}
    for group in still["param_groups"]:
        assert group["eps"] > 0
    frozen = {**still, "param_groups": [{**g, "eps": 0.0} for g in state["param_groups"]]}
    for given_state, layout_, options, message in [
        (state, layout, {"names": names}, "does not name its optimizer.*RMSprop"),
        (state, layout, {"optimizer": "SGD", "names": names}, "'SGD' has no preconditioner"),
        (nameless, layout, {"optimizer": "Adam"}, "numbers its parameters; pass names="),
        (nameless, layout, {"optimizer": "Adam", "names": names[:2]}, "2 entries, fewer"),
        (nameless, layout, {"optimizer": "Adam", "names": ["a", "b", "c", "d"]}, "has no parameter '0.weight'"),
        (stepless, layout, {"optimizer": "Adam", "names": names}, "no state for '0.bias'.*step"),
        (state, layout, {"optimizer": "RMSprop", "names": names}, "no 'square_avg'; it has step"),
        (state, other, {"optimizer": "Adam", "names": names}, r"shape \(8, 3\), the parameter \(8, 4\)"),
        (frozen, layout, {"optimizer": "Adam", "names": names}, "not positive in 24 of 24"),
        ({"state": {}}, layout, {"optimizer": "Adam"}, "this one has no param_groups"),
    ]:
        with pytest.raises(UsageError, match=message):
            preconditioner(given_state, layout_, **options)


START = 1e-12  # so small that gradients leave the second moments as they are, also after a growth of 1e4


def growth(optimizer, theta, h, steps=3000):
    """‖θ‖ against its start after descent on ½θᵀhθ; 1e4 where it came so far."""
    for _ in range(steps):
        theta.grad = h @ theta.detach()
        optimizer.step()
        if float(theta.detach().norm()) > 1e4 * START:
            return 1e4
    return float(theta.detach().norm()) / START


def frozen_state(kind, theta, d, lr):
    """torch's optimizer far along a run: its second moments are large beside new gradients, so that D stands still."""
    group = {"AdamW": {"weight_decay": 0.5}}.get(kind, {})
    if kind in ("Adam", "AdamW"):
        optimizer = getattr(optim, kind)([theta], lr=lr, betas=(0.9, 1 - 1e-12), eps=1e-12, **group)
        own = {"step": torch.tensor(1e12, dtype=torch.float64), "exp_avg": torch.zeros_like(theta), "exp_avg_sq": d**2}
    elif kind == "RMSprop":
        optimizer = optim.RMSprop([theta], lr=lr, alpha=1 - 1e-12, eps=1e-12, momentum=0.7)
        own = {"step": torch.tensor(5.0), "square_avg": d**2, "momentum_buffer": torch.zeros_like(theta)}
    else:
        optimizer = optim.Adagrad([theta], lr=lr, eps=1e-12)
        own = {"step": torch.tensor(5.0), "sum": d**2}
    optimizer.state[theta] = own
    return optimizer


THRESHOLDS = {
    "Adam": lambda lr: (2 + 2 * 0.9) / ((1 - 0.9) * lr),  # 38/η
    "AdamW": lambda lr: (2 + 2 * 0.9) / ((1 - 0.9) * lr) - (1 + 0.9) * 0.5 / (1 - 0.9),
    "RMSprop": lambda lr: (2 + 2 * 0.7) / lr,
    "Adagrad": lambda lr: 2 / lr,
}


@pytest.mark.parametrize("kind", THRESHOLDS)
def test_torch_diverges_exactly_beyond_the_threshold_of_the_preconditioned_hessian(kind):
    """A quadratic whose λ_max(D⁻¹H) stands 1 % below and 1 % above what the docstring says."""
    lr = 0.02
    for factor, diverges in [(0.99, False), (1.01, True)]:
        a, d = spread(6, 1)
        h = a @ a.T + torch.eye(6).double()
        theta = nn.Parameter(START * torch.ones(6, dtype=torch.float64) / 6**0.5)
        optimizer = frozen_state(kind, theta, d, lr)
        layout = ParamLayout(names=("w",), shapes=(theta.shape,), slots={"w": "w"}, frozen=())
        D = preconditioner(optimizer.state_dict(), layout, optimizer=kind, names=["w"])
        top = ls.top_eigenpairs(PreconditionedOperator(MatrixOperator(h), D), 1, tol=1e-9).values[0]
        h = h * (factor * THRESHOLDS[kind](lr) / float(top))
        assert growth(optimizer, theta, h) == 1e4 if diverges else growth(optimizer, theta, h) < 1e-3
