"""What the steps of a training ask for is counted where it is evaluated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from landscape.checkpoints import CheckpointDir
from landscape.problems import Problem, get_problem
from landscape.training import train


def parabola() -> Problem:
    """½·3·x² of every example, from 2: the condition of Armijo holds for η ≤ 2(1 − c)/3."""

    class Point(nn.Module):
        def __init__(self):
            super().__init__()
            self.x = nn.Parameter(torch.tensor([2.0]))

        def forward(self, rows):
            return self.x.expand(len(rows), 1)

    data = torch.zeros(8, 1), torch.zeros(8, 1)
    return Problem(build=Point, loss_fn=lambda x, _: 1.5 * x.square().mean(), train=data)


def test_a_line_search_asks_for_one_loss_more_than_it_halves(tmp_path):
    """From 4 with c = 0.1 the first step below 0.6 is 0.5, the fourth; later ones begin at twice the last: two."""
    options = {"c": 0.1, "grow": 2.0}
    train(parabola(), tmp_path, optimizer="line-search", lr=4.0, options=options, epochs=3, seed=0)
    history = CheckpointDir(tmp_path).history()
    assert history["step_size"].tolist() == [0.5, 0.5, 0.5]
    assert history["losses"].tolist() == [4, 2, 2]
    assert history["gradients"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "losses", "gradients"),
    [("sgd", 0, 1), ("barzilai-borwein", 0, 1), ("random-search", 2, 0), ("spsa", 2, 0), ("sam", 0, 2)],
)
def test_every_step_of_an_optimizer_counts_what_its_algorithm_says(tmp_path, name, losses, gradients):
    train(get_problem("quadratic"), tmp_path, optimizer=name, lr=1e-3, epochs=2, batch_size=128, seed=0)
    history = CheckpointDir(tmp_path).history()
    assert np.unique(history["gradients"]).tolist() == [gradients]
    assert np.unique(history["losses"]).tolist() == [losses]


def test_minibatches_count_by_their_share_of_the_data(tmp_path):
    train(get_problem("quadratic"), tmp_path, optimizer="spsa", lr=1e-4, epochs=2, batch_size=16, seed=0)
    history = CheckpointDir(tmp_path).history()
    assert history["losses"].tolist() == [2 / 8] * 16


def test_the_gradients_of_clients_are_one_pass_over_the_batch_together(tmp_path):
    problem = get_problem("mlp-digits", {"hidden": [4], "num_train": 64})
    options = {"clients": 4, "period": 2}
    train(problem, tmp_path, optimizer="local-sgd", lr=0.1, options=options, batch_size=8, epochs=1, seed=0)
    history = CheckpointDir(tmp_path).history()
    assert history["gradients"].sum() == pytest.approx(1.0)
    assert len(history["gradients"]) > 1
    assert not history["losses"].any()


def test_the_loss_that_was_counted_is_that_of_an_independent_count(tmp_path):
    """Every evaluation of the model goes through its forward pass, which is counted from outside."""
    calls = []
    problem = parabola()
    build = problem.build

    def watched():
        model = build()
        model.register_forward_hook(lambda module, inputs, output: calls.append(module.training))
        return model

    object.__setattr__(problem, "build", watched)
    train(problem, tmp_path, optimizer="lbfgs", lr=1.0, epochs=4, seed=0)
    history = CheckpointDir(tmp_path).history()
    assert sum(calls) == history["losses"].sum() + history["gradients"].sum()
