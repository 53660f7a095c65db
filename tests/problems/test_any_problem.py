"""A problem takes whatever an objective takes: any batches, any loss, weights; and its scores are counted right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from landscape.errors import UsageError
from landscape.operators import FisherOperator, GaussNewtonOperator
from landscape.problems import Problem
from landscape.problems.metrics import evaluate, evaluate_split
from landscape.training import train


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(count: int, classes: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


X, Y = normal(40, 4), labels(40, 3)


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def pairs(**changes) -> Problem:
    given = {"build": build, "loss_fn": functional.cross_entropy, "train": (X[:28], Y[:28]), "test": (X[28:], Y[28:])}
    return Problem(**{**given, **changes})


def mappings(**changes) -> Problem:
    given = {
        "build": build, "train": {"x": X[:28], "y": Y[:28]}, "test": {"x": X[28:], "y": Y[28:]},
        "outputs": lambda model, batch: model(batch["x"]), "targets": lambda batch: batch["y"],
        "loss": lambda logits, batch: functional.cross_entropy(logits, batch["y"]),
    }  # fmt: skip
    return Problem(**{**given, **changes})


@pytest.mark.parametrize(
    "other",
    [
        mappings(),
        mappings(at_once=5),
        pairs(train=DataLoader(TensorDataset(X[:28], Y[:28]), batch_size=8, shuffle=True)),
        pairs(train=[(X[:10], Y[:10]), (X[10:28], Y[10:28])], at_once=4),
    ],
    ids=["dicts", "dicts in pieces", "shuffling loader", "uneven batches"],
)
def test_the_same_data_in_another_shape_are_the_same_problem(other):
    model = pairs().make_model(0)
    expected, found = evaluate(pairs(), model), evaluate(other, other.make_model(0))
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == pytest.approx(expected[name], rel=1e-12), name
    objective, twin = pairs().objective(model), other.objective(other.make_model(0))
    assert float((objective.gradient() - twin.gradient()).norm()) <= 1e-13 * float(objective.gradient().norm())


def test_a_loader_that_shuffles_is_read_once_and_alike_in_every_process():
    def problem() -> Problem:
        return pairs(train=DataLoader(TensorDataset(X[:28], Y[:28]), batch_size=8, shuffle=True))

    one, other = problem(), problem()
    digests = {p.objective(p.make_model(0), check=False).digest() for p in (one, one, other)}
    assert len(digests) == 1


def test_a_mean_over_tokens_weighs_pieces_by_the_tokens_that_count():
    """Truth: the sum over all tokens divided by their number."""
    tokens, targets = labels(12 * 6, 7).reshape(12, 6), labels(12 * 6, 7, seed=3).reshape(12, 6)
    targets[::3, 2:] = -100
    problem = Problem(
        build=lambda: nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7)).double(),
        outputs=lambda model, batch: model(batch[0]),
        loss=lambda logits, batch: functional.cross_entropy(logits.flatten(0, 1), batch[1].flatten()),
        targets=lambda batch: batch[1], weight=lambda batch: int((batch[1] != -100).sum()),
        train=[(tokens[:5], targets[:5]), (tokens[5:], targets[5:])], test=(tokens, targets), at_once=2,
    )  # fmt: skip
    model = problem.make_model(0)
    logits = model(tokens).detach()
    counted = targets != -100
    logs = logits.log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    truth = float(-logs[counted].mean())
    score = evaluate_split(problem, model, "train")
    assert score.loss == pytest.approx(truth, rel=1e-12)
    assert problem.objective(model).loss() == pytest.approx(truth, rel=1e-12)
    assert score.accuracy == pytest.approx(float((logits.argmax(-1) == targets)[counted].double().mean()))
    assert score.confusion.sum() == int(counted.sum())


def test_the_confusion_counts_each_example_once_by_true_and_predicted_class():
    problem = pairs(at_once=5)
    model = problem.make_model(3)
    predicted = model(X[28:]).argmax(1)
    by_hand = np.zeros((3, 3), int)
    for true, found in zip(Y[28:].tolist(), predicted.tolist(), strict=True):
        by_hand[true, found] += 1
    score = evaluate_split(problem, model)
    assert np.array_equal(score.confusion, by_hand)
    assert score.accuracy == by_hand.trace() / 12
    assert score.accuracy_per_class == [
        by_hand[c, c] / by_hand[c].sum() if by_hand[c].sum() else None for c in range(3)
    ]


def test_one_logit_of_two_classes_is_known_by_its_loss():
    y = (X[:, :1] > 0).double()
    problem = pairs(build=lambda: nn.Linear(4, 1).double(), loss_fn=nn.BCEWithLogitsLoss(), train=(X, y), test=None)
    model = problem.make_model(0)
    right = (model(X) > 0) == (y > 0)
    assert evaluate_split(problem, model, "train").accuracy == float(right.double().mean())


def test_its_own_measures_stand_beside_and_go_before_what_was_counted():
    def measures(model, split):
        return {"margin": torch.tensor(2.5), "confusion": [[3, 1], [0, 4]], "on test": float(split == "test")}

    found = evaluate_split(pairs(measures=measures), pairs().make_model(0))
    assert found.measures == {"margin": 2.5, "on test": 1.0}
    assert found.accuracy == 7 / 8
    assert found.accuracy_per_class == [0.75, 1.0]


@pytest.mark.parametrize(
    ("measures", "said"),
    [
        (lambda model, split: {"list": [1, 2]}, "'list' as a list; each must be one number"),
        (lambda model, split: {"confusion": np.ones((2, 3))}, r"confusion of shape \(2, 3\)"),
    ],
)
def test_measures_that_are_none_are_refused(measures, said):
    with pytest.raises(UsageError, match=said):
        evaluate_split(pairs(measures=measures), pairs().make_model(0))


def test_gauss_newton_and_fisher_know_outputs_and_likelihood_of_the_problem():
    problem = mappings(likelihood="categorical")
    objective = problem.objective(problem.make_model(0))
    dense = GaussNewtonOperator(pairs().objective(pairs().make_model(0))).dense()
    assert torch.allclose(FisherOperator(objective).dense(), dense, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss_fn": None}, "this one has none"),
        ({"loss": lambda model, batch: 0}, "this one has loss_fn and loss"),
        ({"outputs": lambda model, batch: 0}, "outputs.model, batch. with loss.outputs, batch."),
        ({"targets": lambda batch: 0}, "targets.batch. are what outputs are scores of"),
    ],
)
def test_a_problem_has_one_loss(changes, said):
    with pytest.raises(UsageError, match=said):
        pairs(**changes)


def test_training_draws_batches_from_mappings_as_from_pairs(tmp_path):
    runs = []
    for name, problem in (("pairs", pairs()), ("dicts", mappings())):
        train(problem, tmp_path / name, optimizer="sgd", lr=0.1, batch_size=6, epochs=2, seed=0, save_every=100)
        runs.append(sorted((tmp_path / name).glob("step_*.h5"))[-1])
    from landscape.checkpoints import load_checkpoint

    one, other = (load_checkpoint(file) for file in runs)
    assert one.params_sha256 == other.params_sha256


def test_batches_that_stay_whole_are_left_to_a_training_of_one_s_own(tmp_path):
    problem = mappings(train=[{"x": X[:9], "y": Y[:9]}, {"x": X[9:28], "y": Y[9:28]}], interacting=True)
    with pytest.raises(UsageError, match="a loop of your own that saves with landscape.save_checkpoint"):
        train(problem, tmp_path, optimizer="sgd", lr=0.1, batch_size=4, epochs=1, seed=0)


def test_a_loss_of_derivatives_is_measured_on_both_splits():
    """∂(wx)/∂x = w, so (w − 1)² everywhere."""

    def loss(model, batch):
        x = batch.requires_grad_()
        slope = torch.autograd.grad(model(x).sum(), x, create_graph=True)[0]
        return ((slope - 1) ** 2).mean()

    problem = Problem(build=lambda: nn.Linear(1, 1).double(), loss=loss, train=[normal(8, 1)], test=[normal(5, 1)])
    model = problem.make_model(0)
    expected = (float(model.weight.detach()) - 1) ** 2
    metrics = evaluate(problem, model)
    assert metrics["train_loss"] == pytest.approx(expected, rel=1e-12)
    assert metrics["test_loss"] == pytest.approx(expected, rel=1e-12)
    assert metrics["grad_norm"] == pytest.approx(2 * expected**0.5, rel=1e-12)
