"""λ_max(P⁻¹H): with P read from the steps that optimizers take, not from our own table of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn, optim

import landscape as ls
from landscape.errors import UsageError
from landscape.optimizers import make_optimizer
from tests.support.stepped import network, stepped, take_step


def largest(matrix) -> float:
    """The largest eigenvalue of P⁻¹H, which is not symmetric."""
    return float(np.linalg.eigvals(matrix).real.max())


def built(make, steps=6):
    model, data = network()
    optimizer = make(model)
    for _ in range(steps):
        take_step(model, data, optimizer)
    objective = ls.Objective(model, nn.functional.cross_entropy, data, check=False)
    return objective, optimizer, ls.HessianOperator(objective).dense().numpy()


def responses(objective, optimizer) -> np.ndarray:
    """What the update answers to each unit gradient, less what it does by itself: P⁻¹, of an update linear in g."""
    P = objective.layout.size
    rest = ls.optimizer_update(objective, optimizer, gradient=np.zeros(P)).vector
    return np.stack([ls.optimizer_update(objective, optimizer, gradient=e).vector - rest for e in np.eye(P)], axis=1)


def test_of_shampoo_it_is_that_of_its_own_answers_to_gradients():
    """Between two computations of its roots Shampoo is linear in the gradient."""
    objective, optimizer, H = built(
        lambda model: make_optimizer("shampoo", model.parameters(), lr=0.01, preconditioning_compute_steps=5), steps=5
    )
    found = ls.preconditioned_sharpness(objective, optimizer, tol=1e-6)
    assert found.value == pytest.approx(largest(responses(objective, optimizer) @ H), rel=1e-5)


def test_of_soap_it_is_that_of_the_dense_matrix_in_its_basis():
    objective, optimizer, H = built(
        lambda model: make_optimizer("soap", model.parameters(), lr=0.003, precondition_frequency=2, eps=1e-4)
    )
    blocks = []
    for p in objective.module.model.parameters():
        state, group = optimizer.state[p], optimizer.param_groups[0]
        basis = torch.kron(*state["Q"])  # rows of a matrix one after another
        t = group["step"] - 1
        D = (1 - 0.95**t) / (1 - 0.95**t) ** 0.5 * (state["exp_avg_sq"].sqrt() + 1e-4)
        blocks.append(basis @ torch.diag(1 / D.reshape(-1)) @ basis.T)
    inverse = torch.block_diag(*blocks).numpy()
    assert ls.preconditioned_sharpness(objective, optimizer, tol=1e-6).value == pytest.approx(
        largest(inverse @ H), rel=1e-5
    )


@pytest.mark.parametrize("name", ["AdamW", "RMSprop", "Adagrad"])
def test_of_diagonal_ones_it_is_that_of_their_denominators(name):
    objective, _, _, optimizer = stepped(name)
    H = ls.HessianOperator(objective).dense().numpy()
    states = [optimizer.state[p] for p in objective.module.model.parameters()]
    key = {"AdamW": "exp_avg_sq", "RMSprop": "square_avg", "Adagrad": "sum"}[name]
    squares = torch.cat([s[key].reshape(-1) for s in states]).numpy()
    group = optimizer.param_groups[0]
    D = np.sqrt(squares) + group["eps"]
    if name == "AdamW":
        D = (1 - 0.9**6) * (np.sqrt(squares / (1 - 0.999**6)) + group["eps"])
    found = ls.preconditioned_sharpness(objective, optimizer, tol=1e-6)
    assert found.value == pytest.approx(largest(H / D[:, None]), rel=1e-5)
    assert found.bound <= 1e-5 * found.value


def test_decay_in_the_gradient_and_rates_by_group_are_part_of_it():
    """Adam with weight decay in one of two groups, of which one has three times the rate."""

    def make(model):
        first, second = model.parameters()
        groups = [{"params": [first], "weight_decay": 0.5}, {"params": [second], "lr": 0.03}]
        return optim.Adam(groups, lr=0.01)

    objective, optimizer, H = built(make)
    squares = np.concatenate(
        [optimizer.state[p]["exp_avg_sq"].numpy().ravel() for p in objective.module.model.parameters()]
    )
    D = (1 - 0.9**6) * (np.sqrt(squares / (1 - 0.999**6)) + 1e-8)
    bent = H + np.diag(np.repeat([0.5, 0.0], 15))
    expected = largest(np.repeat([1.0, 3.0], 15)[:, None] / D[:, None] * bent)
    assert ls.preconditioned_sharpness(objective, optimizer, tol=1e-6).value == pytest.approx(expected, rel=1e-5)


def test_sgd_with_rates_by_group_is_preconditioned_by_them():
    objective, optimizer, H = built(
        lambda model: optim.SGD([{"params": [p], "lr": r} for p, r in zip(model.parameters(), (0.1, 0.4), strict=True)])
    )
    expected = largest(np.repeat([1.0, 4.0], 15)[:, None] * H)
    assert ls.preconditioned_sharpness(objective, optimizer, tol=1e-6).value == pytest.approx(expected, rel=1e-5)


def test_a_checkpoint_is_read_as_the_living_optimizer_is(tmp_path):
    objective, model, _, optimizer = stepped("AdamW")
    stored = ls.load_checkpoint(ls.save_checkpoint(tmp_path, model, step=6, optimizer=optimizer))
    assert ls.preconditioned_sharpness(objective, stored).value == pytest.approx(
        ls.preconditioned_sharpness(objective, optimizer).value, rel=1e-9
    )


def test_what_has_no_preconditioner_is_refused():
    objective, _, _, muon = stepped("Muon")
    with pytest.raises(UsageError, match="Muon has no preconditioner"):
        ls.preconditioned_sharpness(objective, muon)
    model, data = network()
    fresh = ls.Objective(model, nn.functional.cross_entropy, data, check=False)
    with pytest.raises(UsageError, match="has not made a step"):
        ls.preconditioned_sharpness(fresh, optim.Adam(model.parameters()))
    with pytest.raises(UsageError, match=r"no optimizer moves 2\.weight"):
        ls.preconditioned_sharpness(fresh, optim.Adam(model[0].parameters()))
