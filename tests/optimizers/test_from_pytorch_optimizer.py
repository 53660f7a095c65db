"""The optimizers of pytorch_optimizer as we call them, by their first steps."""

from __future__ import annotations

import itertools

import pytest
import torch

from landscape.optimizers import make_optimizer
from tests.support.stepping import START, A, quadratic, steps

pytestmark = pytest.mark.usefixtures("generator_of_its_own")


@pytest.mark.parametrize("name", ["sam", "asam"])
def test_sam_steps_by_the_gradient_from_up_the_hill(name):
    rho, gradient = 0.3, A @ START
    if name == "sam":
        up = START + rho * gradient / gradient.norm()
    else:  # T²g over the length of Tg, T = diag|θ|
        up = START + rho * START**2 * gradient / (START.abs() * gradient).norm()
    places, losses, _ = steps(name, 1, lr=0.01, rho=rho, momentum=0.0)
    assert torch.allclose(places[0], START - 0.01 * A @ up, rtol=1e-9)
    assert losses[0] == pytest.approx(float(quadratic(START)))


def test_signsgd_and_lion_begin_with_the_sign_of_the_gradient():
    for name in ("signsgd", "lion"):
        assert torch.allclose(steps(name, 1, lr=0.01)[0][0], START - 0.01 * (A @ START).sign(), rtol=1e-12)


def test_adahessian_begins_with_a_newton_step_where_the_hessian_is_diagonal():
    """Rademacher probes give the diagonal of a diagonal matrix exactly."""
    places, _, _ = steps("adahessian", 1, lr=0.1, eps=1e-12)
    assert torch.allclose(places[0], 0.9 * START, rtol=1e-6)


def test_sophia_never_moves_a_parameter_by_more_than_its_clip():
    places, _, _ = steps("sophia", 20, lr=0.1, p=0.5)
    moves = torch.stack([b - a for a, b in itertools.pairwise([START, *places])])
    assert moves.abs().max() <= 0.1 * 0.5 * (1 + 1e-9)
    assert quadratic(places[-1]) < quadratic(START)


def test_muon_moves_a_matrix_by_a_nearly_orthogonal_one():
    matrix, bias = torch.nn.Parameter(torch.zeros(6, 4)), torch.nn.Parameter(torch.zeros(4))
    optimizer = make_optimizer("muon", [matrix, bias], lr=0.1, adam_lr=0.5)
    weights = torch.randn(6, 4)

    def closure():
        matrix.grad, bias.grad = weights.clone(), torch.ones(4)
        return torch.zeros(())

    optimizer.step(closure)
    singular = torch.linalg.svdvals(matrix.detach())
    assert float(singular.max() / singular.min()) < 2.0 < float(torch.linalg.cond(weights))
    assert torch.allclose(bias.detach(), torch.full((4,), -0.5), rtol=1e-4)
