"""A small GAN as a game: its field, its Jacobian against differences and closed forms, and that it has no Hessian."""

from __future__ import annotations

import cmath

import pytest
import torch
from torch.nn import functional

from landscape.errors import ObjectiveError, UsageError
from landscape.problems import get_problem
from landscape.problems.builtin.gan import COVERED, ENERGY, OWN, REAL, TURNING, Game, of_jacobian
from landscape.training import train


def field(problem, model):
    """The gradient of the training loss by all parameters, flat."""
    loss = problem.mean_loss(model, problem.train)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


@pytest.mark.parametrize(("penalty", "saturating"), [(0.0, False), (0.7, False), (0.7, True)])
def test_the_gradient_of_the_loss_is_the_field_of_the_game(penalty, saturating):
    """By plain autograd: of each player's loss by its own parameters alone."""
    problem = get_problem("gan", {"width": 4, "penalty": penalty, "saturating": saturating, "num_examples": 12})
    model, (noise, real) = problem.make_model(0), problem.train
    D, made, x = model.discriminator, model.generator(noise), real.clone().requires_grad_()
    slopes = torch.autograd.grad(D(x).sum(), x, create_graph=True)[0].square().sum(1).mean()
    of_d = functional.softplus(-D(real)).mean() + functional.softplus(D(made)).mean() + 0.5 * penalty * slopes
    of_g = -functional.softplus(D(made)).mean() if saturating else functional.softplus(-D(made)).mean()
    expected = [
        *torch.autograd.grad(of_g, list(model.generator.parameters()), retain_graph=True),
        *torch.autograd.grad(of_d, list(D.parameters())),
    ]
    assert torch.allclose(field(problem, model), torch.cat([g.flatten() for g in expected]), atol=1e-6)


@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_the_jacobian_is_that_of_differences_of_the_field(penalty):
    problem = get_problem("gan", {"width": 3, "penalty": penalty, "num_examples": 10})
    model = problem.make_model(1).double()
    noise, real = (part.double() for part in problem.train)
    J, count = Game(model, penalty, False).jacobian(noise, real)
    assert count == sum(p.numel() for p in model.generator.parameters())

    def at(move):
        moved, parts = problem.make_model(1).double(), []
        with torch.no_grad():
            for p, part in zip(moved.parameters(), move.split([q.numel() for q in moved.parameters()]), strict=True):
                p.add_(part.view_as(p))
        loss = Game(moved, penalty, False).loss(noise, real)
        parts = torch.autograd.grad(loss, list(moved.parameters()))
        return torch.cat([g.flatten() for g in parts])

    v = torch.randn(len(J), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    differences = (at(1e-5 * v) - at(-1e-5 * v)) / 2e-5
    assert torch.allclose(J @ v, differences, atol=1e-7)
    assert not torch.allclose(J, J.T, atol=1e-3)


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("penalty", [0.0, 0.5, 2.0])
def test_at_its_equilibrium_the_dirac_gan_has_the_eigenvalues_of_the_paper(penalty, saturating):
    problem = get_problem("gan", {"kind": "dirac", "penalty": penalty, "saturating": saturating})
    model = problem.make_model(0)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    J, _ = Game(model, penalty, saturating).jacobian(*problem.train)
    root = cmath.sqrt(penalty**2 / 4 - 1 / 4)
    found = sorted(torch.linalg.eigvals(J).tolist(), key=lambda z: (z.real, z.imag))
    expected = sorted([penalty / 2 - root, penalty / 2 + root], key=lambda z: (z.real, z.imag))
    assert found == pytest.approx(expected, abs=1e-9)


def test_plain_steps_circle_around_the_equilibrium_and_a_penalty_or_a_look_ahead_ends_there(tmp_path):
    """Of the Dirac-GAN: without either, no step size of gradient descent comes nearer (Mescheder et al. 2018)."""

    def length(name, penalty):
        problem = get_problem("gan", {"kind": "dirac", "penalty": penalty})
        last = train(
            problem, tmp_path / f"{name}{penalty}", optimizer=name, lr=0.5, epochs=1500, save_every=1500, seed=0
        )
        return float(torch.cat([p.detach() for p in last.model(problem).parameters()][0:1]).norm()) + float(
            last.model(problem).discriminator.weight.detach().norm()
        )

    assert length("gd", 0.0) > 0.5
    assert length("gd", 1.0) < 1e-4
    assert length("extragradient", 0.0) < 1e-2
    assert length("optimistic", 0.0) < 1e-2


def test_what_is_said_of_a_jacobian_is_its_definition_on_matrices_by_hand():
    turning = of_jacobian(torch.tensor([[0.0, 2.0], [-2.0, 0.0]]).double(), 1)
    assert turning == {REAL: pytest.approx(0, abs=1e-12), TURNING: pytest.approx(1), OWN: 0}
    bowl = of_jacobian(torch.diag(torch.tensor([1.0, 4.0])).double(), 1)
    assert bowl == {REAL: pytest.approx(0.25), TURNING: 0, OWN: pytest.approx(0.25)}
    saddle = of_jacobian(torch.tensor([[-1.0, 3.0], [-3.0, 4.0]]).double(), 1)  # 1.5 ± i √2.75: stable, and no Nash
    assert saddle[REAL] == pytest.approx(1.5 / 5**0.5)
    assert saddle[OWN] == pytest.approx(-0.25)


def test_modes_and_energy_distance_are_those_of_points_that_are_known():
    problem = get_problem("gan", {"num_examples": 200, "spread": 0.05})
    model, (_, real) = problem.make_model(0), problem.test

    class Copies(torch.nn.Module):
        def __init__(self, rows):
            super().__init__()
            self.rows = rows

        def forward(self, noise):
            return self.rows

    model.generator = Copies(real)
    assert problem.measures(model, "test") == {COVERED: 1, ENERGY: pytest.approx(0, abs=1e-6)}
    model.generator = Copies(real[::4].repeat(4, 1))  # examples of one mode alone
    found = problem.measures(model, "test")
    assert found[COVERED] == 0.25
    assert found[ENERGY] > 0.5


def test_it_has_no_hessian_and_whoever_asks_for_one_is_told_why():
    problem = get_problem("gan", {"width": 4})
    with pytest.raises(ObjectiveError, match="the gradient is not that of the loss"):
        problem.objective(problem.make_model(0))


@pytest.mark.parametrize("config", [{"kind": "line"}, {"penalty": -1}, {"spread": 0}, {"modes": 0}])
def test_settings_that_cannot_be_are_refused(config):
    with pytest.raises(UsageError, match=next(iter(config))):
        get_problem("gan", config)
