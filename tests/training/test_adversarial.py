"""Training against an adversary: the steps of a loop written out, what they count, and what stays plain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.problems import Problem, get_problem
from landscape.training import train
from landscape.training.order import BatchOrder


def line() -> Problem:
    """Two classes by a linear score of three numbers: its worst inputs are known in closed form."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(24, 3, generator=generator)
    return Problem(build=lambda: nn.Linear(3, 2), loss_fn=functional.cross_entropy, train=(x, (x[:, 0] > 0).long()))


def test_a_run_is_gradient_descent_on_the_loss_at_the_worst_inputs(tmp_path):
    """For a linear score those are x − r·y·sign(w), without any gradient by x."""
    problem, r = line(), 0.4
    options = {"radius": r, "steps": 1}
    last = train(
        problem, tmp_path, optimizer="sgd", lr=0.5, epochs=3, batch_size=8, adversary="linf", adversary_options=options
    )
    model, order = problem.make_model(0), BatchOrder(24, 8, epochs=3, seed=0)
    for _ in range(order.total_steps):
        rows = order.next()[0]
        x, y = (part[rows] for part in problem.train)
        w = (model.weight[1] - model.weight[0]).detach()
        worst = x - r * (2.0 * y[:, None] - 1) * w.sign()
        loss = functional.cross_entropy(model(worst), y)
        grads = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for p, g in zip(model.parameters(), grads, strict=True):
                p -= 0.5 * g
    for p, q in zip(last.model(problem).parameters(), model.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-5)


def test_each_step_of_ascent_counts_as_a_gradient_and_metrics_are_of_the_plain_loss(tmp_path):
    problem = get_problem("mlp-digits", {"hidden": [6], "num_train": 60})
    options = {"radius": 0.5, "steps": 4}
    last = train(problem, tmp_path, optimizer="sam", epochs=2, batch_size=20, adversary="l2", adversary_options=options)
    history = CheckpointDir(tmp_path).history()
    assert history["gradients"] == pytest.approx(np.full(6, (1 + 4) * 2 * 20 / 60))  # SAM takes two gradients
    plain = problem.mean_loss(last.model(problem).eval(), problem.train)
    assert last.metrics["train_loss"] == pytest.approx(plain.item(), rel=1e-5)
    assert last.config["adversary"] == "l2"
    assert last.config["adversary_options"] == options


def test_a_training_against_an_adversary_ends_more_robust_than_a_plain_one(tmp_path):
    problem = get_problem("mlp-digits", {"hidden": [20], "attack": 0.2})
    found = {}
    for name in (None, "linf"):
        last = train(problem, tmp_path / str(name), lr=0.3, epochs=15, adversary=name)
        found[name] = next(iter(problem.measures(last.model(problem).eval(), "test").values()))
    assert found["linf"] > found[None] + 0.05


def test_a_run_without_one_says_so_and_tokens_cannot_be_moved(tmp_path):
    last = train(get_problem("quadratic"), tmp_path / "plain", epochs=1)
    assert (last.config["adversary"], last.config["adversary_options"]) == (None, None)
    tokens = get_problem("char-transformer-small", {"characters": 2000, "context": 8})
    with pytest.raises(UsageError, match="an adversary moves inputs"):
        train(tokens, tmp_path / "tokens", epochs=1, adversary="linf")
