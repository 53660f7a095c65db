"""What people hand over by mistake is refused in words that name it."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from landscape.problems.metrics import evaluate

DRAW = torch.Generator().manual_seed(0)
X, NUMBERS = torch.randn(20, 4, generator=DRAW), torch.randn(20, generator=DRAW)
CLASSES = torch.randint(3, (20,), generator=DRAW)


def make_model(outputs=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, outputs))


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_outputs_that_spread_against_targets_are_named():
    """(N, 1) against (N,): torch takes every output with every target."""
    with pytest.raises(ls.ObjectiveError, match=r"not a mean.*outputs \(12, 1\) spread against targets \(12,\)"):
        ls.Objective(make_model(1), F.mse_loss, (X, NUMBERS))


def test_nothing_is_said_to_spread_where_shapes_agree():
    with pytest.raises(ls.ObjectiveError, match=r"Likely causes: reduction='sum'"):
        ls.Objective(make_model(1), torch.nn.MSELoss(reduction="sum"), (X, NUMBERS[:, None]))


def test_classes_of_a_short_integer_type_are_to_be_long():
    """As category codes of pandas are."""
    with pytest.raises(ls.ObjectiveError, match=r"hold integers \(int32\).*classes as y.long\(\)"):
        ls.Objective(make_model(), F.cross_entropy, (X, CLASSES.int()))


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda loss: {"loss": loss}, r"gave a dict. Return the loss alone"),
        (lambda loss: (loss, None), r"gave a tuple. Return the loss alone"),
        (lambda loss: loss.expand(3), r"gave shape \(3,\). Likely reduction='none'"),
    ],
)
def test_a_loss_that_brings_more_along_is_told_to_come_alone(wrap, said):
    with pytest.raises(ls.ObjectiveError, match=said):
        ls.Objective.from_loss(make_model(), lambda m, b: wrap(F.cross_entropy(m(b[0]), b[1])), (X, CLASSES))


def test_inputs_with_time_first_are_shown_the_way():
    with pytest.raises(ls.UsageError, match="6 inputs and 20 targets.*a list of batches with weight="):
        ls.Problem(build=make_model, loss_fn=F.cross_entropy, train=(torch.randn(6, 20, 4, generator=DRAW), CLASSES))


Pair = namedtuple("Pair", "x y")


def test_a_named_tuple_of_two_keeps_its_names():
    """It is no (inputs, targets), whose halves are cut as plain tuples."""
    problem = ls.Problem(
        build=make_model, loss=lambda model, batch: F.cross_entropy(model(batch.x), batch.y), at_once=7,
        train=[Pair(X[:12], CLASSES[:12]), Pair(X[12:], CLASSES[12:])], test=Pair(X, CLASSES),
    )  # fmt: skip
    model = problem.make_model(0)
    truth = float(F.cross_entropy(model(X), CLASSES).detach())
    measured = evaluate(problem, model)
    assert (measured["train_loss"], measured["test_loss"]) == pytest.approx((truth, truth), rel=1e-6)
    assert torch.equal(problem.examples(torch.tensor([13, 2])).x, X[[13, 2]])
    assert float(problem.mean_loss(model, problem.examples(torch.arange(20))).detach()) == pytest.approx(truth)
