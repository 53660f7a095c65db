"""Models and losses may write into their batch, as one that a loader has just made: the data stay as they are."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from landscape.problems.metrics import evaluate

DRAW = torch.Generator().manual_seed(0)
X, Y = torch.randn(20, 4, generator=DRAW), torch.randint(3, (20,), generator=DRAW)


class Centred(torch.nn.Module):
    """Shifts its inputs in place, each time anew."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))

    def forward(self, x):
        x -= 0.5
        return self.inner(x)


def merged(outputs, targets):
    targets[targets == 2] = 1
    return F.cross_entropy(outputs, targets)


def make_model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Centred()


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("chunk", ["auto", 7])
def test_curvature_is_that_of_the_data_as_they_are_and_they_stay_so(check, chunk):
    model, x, y = make_model(), X.clone(), Y.clone()
    objective = ls.Objective(model, merged, (x, y), check=check, chunk=chunk)
    pure = ls.Objective(model.inner, F.cross_entropy, (X - 0.5, Y.clamp(max=1)))
    assert objective.loss() == pytest.approx(pure.loss(), rel=1e-6)
    for route in ("auto", "fresh", "linearized"):
        found, truth = (ls.HessianOperator(one, route=route).dense() for one in (objective, pure))
        assert float((found - truth).norm()) <= 1e-5 * float(truth.norm()), route
    assert ls.GaussNewtonOperator(objective).dense() == pytest.approx(ls.GaussNewtonOperator(pure).dense(), abs=1e-6)
    assert torch.equal(x, X)
    assert torch.equal(y, Y)


def test_metrics_leave_the_data_as_they_are():
    problem = ls.Problem(build=make_model, loss_fn=merged, train=(X.clone(), Y.clone()), test=(X.clone(), Y.clone()))
    model = problem.make_model(0)
    once, again = evaluate(problem, model), evaluate(problem, model)
    assert once == again
    assert once["train_loss"] == pytest.approx(problem.objective(model).loss(), rel=1e-6)
    assert all(torch.equal(x, X) and torch.equal(y, Y) for x, y in (problem.train, problem.test))


@pytest.mark.parametrize("kind", [list, lambda pair: dict(zip(("x", "y"), pair, strict=True))], ids=["list", "dict"])
def test_a_loss_may_take_items_out_of_its_batch(kind):
    def loss(model, batch):
        targets = batch.pop("y") if isinstance(batch, dict) else batch.pop()
        (inputs,) = batch.values() if isinstance(batch, dict) else batch
        return F.cross_entropy(model(inputs), targets)

    model = make_model().inner
    objective = ls.Objective.from_loss(model, loss, [kind((X, Y))])
    assert objective.loss() == pytest.approx(float(F.cross_entropy(model(X), Y).detach()), rel=1e-6)


class Remembers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.state = torch.nn.Linear(4, 3), 0.0

    def forward(self, x):
        self.state = (self.state + self.linear(x).tanh()).detach() if len(x) > 12 else self.state
        return self.linear(x).tanh() + self.state


def test_a_state_that_is_kept_from_call_to_call_is_named():
    with torch.random.fork_rng(devices=[]):
        model = Remembers()
    with pytest.raises(ls.ObjectiveError, match="two evaluations .* differ.*a hidden state"):
        ls.Objective.from_loss(model, lambda m, b: F.cross_entropy(m(b[0]), b[1]), [(X, Y)], interacting=True)


def test_a_loss_that_is_no_tensor_any_more_is_told_so():
    with pytest.raises(ls.ObjectiveError, match=r"gave a float. Return it as a tensor, without .item\(\)"):
        ls.Objective.from_loss(
            make_model().inner, lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]).item(), (X, Y)
        )
