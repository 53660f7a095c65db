"""Losses and accuracies of a model are those of their definitions, by another route."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape.problems import get_problem
from landscape.problems.metrics import evaluate, evaluate_split
from tests.support.problems import classifier


@pytest.mark.parametrize("at_once", [7, 512])
def test_test_loss_and_accuracy_are_those_of_the_definition(at_once):
    problem = classifier(at_once=at_once)
    model = problem.make_model(1)
    score = evaluate_split(problem, model)
    x, y = problem.test
    logits = x.double().numpy() @ model.weight.detach().double().numpy().T + model.bias.detach().double().numpy()
    log_z = np.log(np.exp(logits).sum(1))
    assert score.loss == pytest.approx(float(np.mean(log_z - logits[np.arange(len(y)), y.numpy()])), rel=1e-6)
    right = logits.argmax(1) == y.numpy()
    assert score.accuracy == pytest.approx(right.mean(), abs=0)
    assert score.accuracy_per_class == pytest.approx([right[y.numpy() == c].mean() for c in range(3)])
    assert evaluate(problem, model)["test_loss"] == score.loss


@pytest.mark.parametrize("whole", [True, False])
def test_one_logit_for_two_classes_has_no_accuracy_by_the_largest_score(whole):
    """The largest of one is always the first: it would say that every example is of class 0."""
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    data = x, ((x[:, 0] > 0).long() if whole else (x[:, :1] > 0).float())

    def loss(output, target):
        return functional.binary_cross_entropy_with_logits(output, target.reshape(-1, 1).to(output))

    problem = classifier(build=lambda: nn.Linear(2, 1), loss_fn=loss, train=data, test=data, num_classes=2)
    found = evaluate(problem, problem.make_model(0))
    assert "test_accuracy" not in found
    assert "train_accuracy" not in found
    assert found["test_loss"] > 0


def test_scores_of_every_token_count_each_token():
    tokens = torch.arange(24).reshape(4, 6) % 5

    class Repeat(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x):  # (N, T) -> (N, C, T): says the token before, which is right but for four of 24
            shifted = torch.cat([x[:, :1], x[:, :-1]], 1)
            return self.scale * functional.one_hot((shifted + 1) % 5, 5).float().transpose(1, 2)

    problem = classifier(build=Repeat, train=(tokens, tokens), test=(tokens, tokens), num_classes=5)
    assert evaluate_split(problem, Repeat()).accuracy == pytest.approx(20 / 24)


def test_metrics_are_those_of_the_whole_data_and_the_model_comes_back_as_it_was():
    problem = get_problem("mlp-digits", {"hidden": [7], "num_train": 700})  # two uneven chunks
    model = problem.make_model(0).train()
    start = [p.detach() + 0.5 for p in model.parameters()]
    metrics = evaluate(problem, model, start=start)
    objective = problem.objective(model, dtype=torch.float64)
    assert metrics["train_loss"] == pytest.approx(objective.loss(), rel=1e-6)
    assert metrics["grad_norm"] == pytest.approx(float(objective.gradient().norm()), rel=1e-5)
    assert metrics["param_norm"] == pytest.approx(float(objective.theta.norm()), rel=1e-12)
    assert metrics["distance"] == pytest.approx(0.5 * objective.layout.size**0.5, rel=1e-6)
    predicted = model(problem.test[0]).argmax(1)
    truth = problem.test[1]
    assert metrics["test_accuracy"] == pytest.approx(float((predicted == truth).double().mean()))
    assert metrics["accuracy_per_class"][3] == pytest.approx(float((predicted[truth == 3] == 3).double().mean()))
    assert model.training
    assert all(p.grad is None for p in model.parameters())
