"""Polyak's step sizes, against their formulas and the minimum of convex functions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from landscape.optimizers import make_optimizer
from tests.support.stepping import START, A, LossOf, quadratic, steps

pytestmark = pytest.mark.usefixtures("generator_of_its_own")


def test_the_polyak_step_halves_the_distance_to_the_minimum_of_a_ball_and_with_c_one_half_removes_it():
    def ball(theta):
        return 3.0 * theta @ theta

    halved, losses, optimizer = steps("polyak-sgd", 2, ball, lr=1.0)
    assert torch.allclose(halved[0], START / 2, rtol=1e-12)
    assert torch.allclose(halved[1], START / 4, rtol=1e-12)
    assert losses == pytest.approx([3 * float(START @ START), 3 * float(START @ START) / 4])
    assert optimizer.step_size == pytest.approx(1 / 12)
    assert steps("polyak-sgd", 1, ball, lr=1.0, c=0.5)[0][0].norm() < 1e-12


def test_the_polyak_step_counts_from_the_lowest_loss_there_is():
    def lifted(theta):
        return 3.0 * theta @ theta + 7.0

    assert torch.allclose(steps("polyak-sgd", 1, lifted, lr=1.0, lowest=7.0)[0][0], START / 2, rtol=1e-12)


def test_polyak_steps_never_lead_away_from_the_minimum_of_a_convex_function():
    distances = [float(place.norm()) for place in steps("polyak-sgd", 30, lr=1.0)[0]]
    assert all(later <= sooner for sooner, later in itertools.pairwise([float(START.norm()), *distances]))


def test_the_bounded_polyak_step_is_no_longer_than_lr_and_otherwise_the_same():
    _, _, long = steps("polyak-sgd-max", 1, lr=100.0)
    _, _, short = steps("polyak-sgd-max", 1, lr=0.01)
    gradient = A @ START
    assert long.step_size == pytest.approx(float(0.5 * START @ gradient) / (0.5 * float(gradient @ gradient)))
    assert short.step_size == 0.01


def test_polyak_adam_follows_its_formula_summed_from_the_definitions():
    """Averages as explicit sums over the whole past, with a data-dependent loss so that every term counts."""
    scales = [1.0, 0.5, 2.0, 1.5]
    parameter = torch.nn.Parameter(START.clone())
    optimizer = make_optimizer("polyak-adam", [parameter], lr=0.3, betas=(0.6, 0.8), eps=1e-3, lowest=0.1)
    seen = []
    for t, scale in enumerate(scales, start=1):
        place = parameter.detach().clone().numpy()
        closure = LossOf(parameter, lambda theta, scale=scale: scale * quadratic(theta) + 0.2)
        optimizer.step(closure)
        f, g = scale * float(0.5 * place @ A.numpy() @ place) + 0.2, scale * A.numpy() @ place
        seen.append((f, g, place))
        w = [0.4 * 0.6 ** (t - 1 - j) for j in range(t)]
        u = [0.2 * 0.8 ** (t - 1 - j) for j in range(t)]
        d = sum(wj * gj for wj, (_, gj, _) in zip(w, seen, strict=True))
        D = 1e-3 + np.sqrt(sum(uj * gj**2 for uj, (_, gj, _) in zip(u, seen, strict=True)) / (1 - 0.8**t))
        # The model of the loss that the past suggests, at the present place.
        model = sum(wj * (fj + gj @ (place - xj)) for wj, (fj, gj, xj) in zip(w, seen, strict=True))
        tau = min(0.3 / (1 - 0.6**t), max(model - (1 - 0.6**t) * 0.1, 0) / (d @ (d / D)))
        np.testing.assert_allclose(parameter.detach().numpy(), place - tau * d / D, rtol=1e-10)
