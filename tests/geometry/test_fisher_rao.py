"""The Fisher-Rao norm against the outputs and slopes of homogeneous networks, and against the matrix itself."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

import landscape as ls
from tests.support.landscapes import DOUBLE, LeastSquares, built, draw, network

LABELS = torch.arange(30) % 4


def homogeneous(hidden: int, dtype: torch.dtype = DOUBLE) -> nn.Sequential:
    """A ReLU network without biases: multiplying all weights by a multiplies its outputs by a^(hidden + 1)."""
    widths = [5, *[7] * hidden, 4]

    def build() -> nn.Sequential:
        layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(widths)]
        return nn.Sequential(*[part for layer in layers[:-1] for part in (layer, nn.ReLU())], layers[-1])

    return built(build).to(dtype)


@pytest.mark.parametrize("hidden", [0, 1, 3])
def test_by_the_labels_of_the_data_it_is_the_mean_squared_slope_along_the_outputs(hidden):
    """(L + 1)² E⟨∂ℓ/∂f, f⟩², Liang et al. 2019, theorem 3.1."""
    model, x = homogeneous(hidden), 2 * draw(30, 5)
    found = ls.sharpness(
        ls.Objective(model, functional.cross_entropy, (x, LABELS)), measure="fisher_rao", labels="data"
    )
    with torch.no_grad():
        f = model(x)
        slopes = f.softmax(1) - functional.one_hot(LABELS, 4)
        truth = float((hidden + 1) ** 2 * (slopes * f).sum(1).square().mean())
    assert found.value == pytest.approx(truth, rel=1e-10)
    assert "empirical Fisher" in found.method


@pytest.mark.parametrize("hidden", [0, 2])
def test_by_the_labels_of_the_model_it_is_the_variance_of_the_outputs_under_them(hidden):
    """Labels drawn from softmax: E_y⟨∂ℓ/∂f, f⟩² = Var_y f_y, no matter which labels the data have."""
    model, x = homogeneous(hidden), 2 * draw(30, 5)
    found = ls.sharpness(ls.Objective(model, functional.cross_entropy, (x, LABELS)), measure="fisher_rao")
    with torch.no_grad():
        f = model(x)
        p = f.softmax(1)
        variance = (p * f.square()).sum(1) - (p * f).sum(1).square()
    assert found.value == pytest.approx(float((hidden + 1) ** 2 * variance.mean()), rel=1e-10)
    assert "Gauss-Newton" in found.method


def test_of_a_linear_model_with_squared_error_it_is_that_of_the_hessian():
    problem = LeastSquares()
    w = problem.minimum.numpy()
    found = ls.sharpness(problem.objective, measure="fisher_rao", theta=problem.minimum)
    assert found.value == pytest.approx(float(w @ problem.hessian @ w), rel=1e-12)


@pytest.mark.parametrize("labels", ["model", "data"])
def test_with_biases_it_is_the_quadratic_form_of_the_matrix(labels):
    objective = network(nn.Tanh)
    F = ls.GaussNewtonOperator(objective) if labels == "model" else ls.FisherOperator(objective, kind="empirical")
    theta = objective.theta
    found = ls.sharpness(objective, measure="fisher_rao", labels=labels)
    assert found.value == pytest.approx(float(theta @ F.dense() @ theta), rel=1e-9)
    assert (found.kind, found.converged, found.num_evaluations) == ("exact", True, 1)
    single = ls.sharpness(network(nn.Tanh, dtype=torch.float32), measure="fisher_rao", labels=labels)
    assert single.value == pytest.approx(found.value, rel=1e-5)


def test_chunks_add_up():
    objective = network(nn.Tanh)
    whole = ls.sharpness(objective, measure="fisher_rao").value
    assert ls.sharpness(objective.rechunked(7), measure="fisher_rao").value == pytest.approx(whole, rel=1e-12)
