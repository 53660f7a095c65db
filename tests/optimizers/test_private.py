"""Private SGD: single gradients are cut, the noise has its size, and training asks for each example's gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.optimizers import make_optimizer
from landscape.problems import Problem
from landscape.training import train
from landscape.training.batch_loss import BatchLoss
from tests.support.stepping import START, LossOf, steps
from tests.support.trainings import small

pytestmark = pytest.mark.usefixtures("generator_of_its_own")

CENTRES = torch.tensor([[1.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, -3.0]], dtype=torch.float64)
EXAMPLES = [lambda x, c=c: 0.5 * ((x - c) ** 2).sum() for c in CENTRES]


def test_each_example_pulls_by_its_gradient_and_by_clip_at_most():
    parameter = torch.nn.Parameter(START.clone())
    optimizer = make_optimizer("private-sgd", [parameter], lr=0.1, clip=5.0, noise_multiplier=0.0)
    loss = optimizer.step(LossOf(parameter, None, EXAMPLES))
    pulls = START - CENTRES
    lengths = pulls.norm(dim=1)
    assert (lengths > 5).tolist() == [False, True, True]
    cut = torch.stack([pulls[0], 5 * pulls[1] / lengths[1], 5 * pulls[2] / lengths[2]])
    assert torch.allclose(parameter.detach(), START - 0.1 * cut.mean(0), rtol=1e-12)
    assert float(loss) == pytest.approx(float((0.5 * pulls.square().sum(1)).mean()))
    assert optimizer.noted == {"share_clipped": pytest.approx(2 / 3)}


def test_without_noise_and_with_a_clip_beyond_all_gradients_it_is_sgd():
    ours, losses, _ = steps("private-sgd", 10, lr=0.05, clip=1e6, noise_multiplier=0.0)
    plain, expected, _ = steps("sgd", 10, lr=0.05)
    assert torch.allclose(torch.stack(ours), torch.stack(plain), rtol=1e-12)
    assert losses == pytest.approx(expected)


def test_the_noise_spreads_the_parameters_of_a_quadratic_as_its_closed_form_says():
    """20,000 parameters of one curvature λ = 2, each a draw: variance (ησC)²/(1 − (1 − ηλ)²) when settled."""
    start = torch.zeros(20_000, dtype=torch.float64)
    places, _, _ = steps(
        "private-sgd", 60, lambda x: (x**2).sum(), lr=0.1, start=start, clip=1e3, noise_multiplier=2e-3
    )
    variance = (0.1 * 2e-3 * 1e3) ** 2 / (1 - (1 - 0.2) ** 2)
    assert float(places[-1].var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / 20_000))
    assert abs(float(places[-1].mean())) < 5 * math.sqrt(variance / 20_000)
    one = float(places[0].var())
    assert one == pytest.approx((0.1 * 2e-3 * 1e3) ** 2, rel=5 * math.sqrt(2 / 20_000))


def test_training_has_the_gradient_of_every_example_of_a_network():
    problem = small()
    model = problem.make_model(0)
    rows = torch.arange(7)
    losses, gradients = BatchLoss(problem, model, [rows]).by_example()
    for i in rows.tolist():
        loss = problem.mean_loss(model, problem.examples(rows[i : i + 1]))
        own = torch.autograd.grad(loss, list(model.parameters()))
        assert float(losses[i]) == pytest.approx(float(loss.detach()), rel=1e-5)
        for mine, found in zip(own, gradients, strict=True):
            assert torch.allclose(found[i], mine, rtol=1e-4, atol=1e-6)
    assert all(p.grad is None for p in model.parameters())


def test_a_run_without_noise_and_clipping_is_that_of_sgd_and_clipping_is_in_the_history(tmp_path):
    how = {"lr": 0.1, "epochs": 2, "batch_size": 16, "save_every": 100}
    plain = train(small(), tmp_path / "sgd", optimizer="sgd", **how)
    options = {"clip": 1e6, "noise_multiplier": 0.0}
    ours = train(small(), tmp_path / "private", optimizer="private-sgd", options=options, **how)
    assert ours.theta().numpy() == pytest.approx(plain.theta().numpy(), abs=1e-5)
    train(small(), tmp_path / "cut", optimizer="private-sgd", options={"clip": 1e-3, "noise_multiplier": 0.0}, **how)
    shares = CheckpointDir(tmp_path / "cut").history()["share_clipped"]
    assert shares.tolist() == [1.0] * len(shares)
    assert np.all(CheckpointDir(tmp_path / "private").history()["share_clipped"] == 0)


def test_examples_that_see_each_other_have_no_gradients_of_their_own(tmp_path):
    base = small()
    problem = Problem(
        build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)),
        loss_fn=base.loss_fn, loss_name="cross_entropy", train=base.train, test=base.test, num_classes=10, name="own",
    )  # fmt: skip
    with pytest.raises(UsageError, match="no example sees another, as through BatchNorm"):
        train(problem, tmp_path, optimizer="private-sgd", epochs=1, batch_size=8)
