"""Metrics beside the loss: counted by hand, held against models with these parameters loaded, of the same network."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.errors import ObjectiveError, UsageError
from tests.support.running_statistics import N, X, Y, drawn, mlp, pair, put, question, trained, with_statistics_of

TEST_X, TEST_Y = drawn(17, 6, seed=9), torch.arange(17) % 3
#: One feature and two classes: the scores are (0, w·x), so class 1 is predicted where w·x > 0.
POINTS, CLASSES = torch.tensor([[-2.0], [-1.0], [1.0], [3.0], [4.0]]).double(), torch.tensor([0, 1, 1, 1, 0])


class Logistic(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.5]).double())

    def forward(self, x):
        return torch.cat([torch.zeros_like(x), self.w * x], dim=1)


def logistic(batches=((POINTS[:3], CLASSES[:3]), (POINTS[3:], CLASSES[3:])), **options):
    return ls.Objective(Logistic(), F.cross_entropy, list(batches), **options)


def share_right(model, x, y):
    with torch.no_grad():
        return float((model.eval()(x).argmax(1) == y).double().mean())


def mean_loss(model, x, y):
    with torch.no_grad():
        return float(F.cross_entropy(model.eval()(x), y))


@pytest.mark.parametrize("chunk", [None, 1, 5])
def test_the_accuracy_of_a_logistic_regression_is_counted_by_hand(chunk):
    """w = −1, −0.25, 0.5, 1.25, 2 on 3 + 2 points: of five right are 2 where w < 0, and 3 where w > 0."""
    line = ls.evaluate_line(logistic(chunk=chunk), np.ones(1), radius=1.5, points=5, metrics=("accuracy",))
    assert line.metrics["accuracy"] == pytest.approx([0.4, 0.4, 0.6, 0.6, 0.6], abs=1e-15)
    by_hand = [np.mean([np.log1p(np.exp(-w * x if y else w * x)) for x, y in zip(POINTS[:, 0], CLASSES, strict=True)])
               for w in (-1, -0.25, 0.5, 1.25, 2)]  # fmt: skip
    assert line.loss == pytest.approx(by_hand, rel=1e-14)


def test_each_point_is_the_model_with_these_parameters_loaded():
    """Test loss, accuracies on both data, and a function of one's own, on a line and a plane, by torch alone."""
    model = trained(mlp).eval()
    objective, test = (ls.Objective(model, F.cross_entropy, data) for data in ((X, Y), (TEST_X, TEST_Y)))
    metrics = {
        "test loss": test,
        "accuracy": ls.accuracy,
        "test accuracy": ("accuracy", test),
        "margin": (lambda outputs, targets: outputs.max(1).values.mean(), test),
    }
    plane = ls.random_plane(objective, seed=4)
    line = ls.evaluate_line(objective, plane[:, 0], points=5, metrics=metrics)
    surface = ls.evaluate_plane(objective, plane, points=3, radius=(1.0, 0.5), metrics=metrics)
    theta = objective.theta
    places = [(line.metrics, line.loss, i, theta + t * plane[:, 0]) for i, t in enumerate(line.t.tolist())]
    places += [(surface.metrics, surface.loss, (j, i), theta + x * plane[:, 0] + y * plane[:, 1])
               for j, y in enumerate(surface.y.tolist()) for i, x in enumerate(surface.x.tolist())]  # fmt: skip
    for found, loss, index, there in places:
        loaded = put(model, there)
        assert loss[index] == pytest.approx(mean_loss(loaded, X, Y), rel=1e-14)
        assert found["test loss"][index] == pytest.approx(mean_loss(loaded, TEST_X, TEST_Y), rel=1e-14)
        assert found["accuracy"][index] == pytest.approx(share_right(loaded, X, Y), abs=1e-15)
        assert found["test accuracy"][index] == pytest.approx(share_right(loaded, TEST_X, TEST_Y), abs=1e-15)
        assert found["margin"][index] == pytest.approx(float(loaded(TEST_X).max(1).values.mean().detach()), rel=1e-14)
    assert list(line.metrics) == list(surface.metrics) == list(metrics)
    assert line.metric_losses == ("test loss",)
    assert len(np.unique(line.metrics["accuracy"])) > 1


def test_the_loss_has_the_same_bits_with_metrics_and_without():
    for make in (lambda m: question(m), lambda m: question(m, dtype=torch.float32, chunk=7)):
        objective = make(trained(mlp))
        d = ls.random_plane(objective)[:, 0]
        plain, beside = (ls.evaluate_line(objective, d, points=5, metrics=m) for m in (None, "accuracy"))
        assert np.array_equal(plain.loss, beside.loss)
        assert plain.metrics == {}


def test_one_pass_over_the_data_gives_the_loss_and_all_metrics_of_its_outputs():
    """Counted where the model is called: 4 points × 2 chunks, and as many for the test data of one chunk."""
    model, calls = trained(mlp), []
    objective = question(model, chunk=N // 2)
    test = ls.Objective(model, F.cross_entropy, (TEST_X, TEST_Y))
    error = lambda outputs, targets: 1 - ls.accuracy(outputs, targets)  # noqa: E731
    metrics = {"a": "accuracy", "e": error, "test": test, "ta": ("accuracy", test), "te": (error, test)}
    ends = question(put(model, 2 * objective.theta)), metrics
    reads = ls.interpolate(objective, ends[0], points=4, metrics=metrics)  # whose checks are made before
    handle = model.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    again = ls.interpolate(objective, ends[0], points=4, metrics=metrics)
    handle.remove()
    whole = [count for count in calls if count >= 17]
    assert whole == [30, 30, 17] * 4
    assert np.array_equal(reads.metric_values, again.metric_values)
    np.testing.assert_allclose(again.metrics["a"] + again.metrics["e"], 1, atol=1e-15)


def test_between_two_models_a_metric_sees_the_statistics_that_the_loss_sees():
    """Ends and points between, by torch on copies with mixed weights and buffers; also by an objective of the other."""
    model_a, model_b, a, b = pair()
    test = ls.Objective(model_a, F.cross_entropy, (TEST_X, TEST_Y))
    foreign = ls.Objective(model_b, F.cross_entropy, (TEST_X, TEST_Y))  # the same data, by the other model
    metrics = {"accuracy": "accuracy", "test loss": test, "again": foreign, "test accuracy": ("accuracy", test)}
    line = ls.interpolate(a, b, points=5, metrics=metrics)
    assert line.batch_statistics == "interpolate"
    for i, t in enumerate(line.t):
        mixed = copy.deepcopy(model_a)
        state_a, state_b = model_a.state_dict(), model_b.state_dict()
        mixed.load_state_dict({n: (1 - t) * v + t * state_b[n] if v.is_floating_point() else v
                               for n, v in state_a.items()})  # fmt: skip
        assert line.metrics["accuracy"][i] == pytest.approx(share_right(mixed, X, Y), abs=1e-15)
        assert line.metrics["test loss"][i] == pytest.approx(mean_loss(mixed, TEST_X, TEST_Y), rel=1e-12)
        assert line.metrics["test accuracy"][i] == pytest.approx(share_right(mixed, TEST_X, TEST_Y), abs=1e-15)
    assert np.array_equal(line.metrics["again"], line.metrics["test loss"])
    assert line.metrics["test loss"][-1] == pytest.approx(foreign.loss(), rel=1e-14)
    fixed = ls.interpolate(a, b, points=5, metrics=metrics, batch_statistics="fixed")
    assert abs(fixed.metrics["test loss"][-1] - line.metrics["test loss"][-1]) > 1e-3


@pytest.mark.parametrize("walk", ["line", "interpolation", "paths"])
def test_recomputed_statistics_are_those_of_the_training_data_also_for_test_data(walk):
    model, other, objective, end = pair()
    test = ls.Objective(model, F.cross_entropy, (TEST_X, TEST_Y))
    metrics = {"test loss": test, "accuracy": "accuracy"}
    options = {"metrics": metrics, "batch_statistics": "recompute"}
    if walk == "paths":
        found = ls.evaluate_paths(objective, {"a": [objective.theta, end.theta, 0.3 * objective.theta]}, points=3,
                                  **options)  # fmt: skip
        assert found.metrics["accuracy"].shape == found.loss.shape
        low, high = found.metrics["accuracy"].min(), found.metrics["accuracy"].max()
        assert 0 <= low < high <= 1
        return
    if walk == "line":
        line = ls.evaluate_line(objective, 0.3 * objective.theta, points=3, radius=1.0, **options)
        thetas = [objective.theta * (1 + 0.3 * t) for t in line.t.tolist()]
    else:
        line = ls.interpolate(objective, end, points=3, **options)
        thetas = [(1 - t) * objective.theta + t * end.theta for t in line.t.tolist()]
    for i, theta in enumerate(thetas):
        there = with_statistics_of(put(model, theta), X)
        assert line.metrics["test loss"][i] == pytest.approx(mean_loss(there, TEST_X, TEST_Y), rel=1e-9)
        assert line.metrics["accuracy"][i] == pytest.approx(share_right(there, X, Y), abs=1e-15)


def test_a_metric_is_called_as_the_loss_is():
    """Outputs and batch of from_outputs, model and batch of from_loss; each is the accuracy of pairs."""
    model, data = trained(mlp), {"x": X, "y": Y}
    logits, loss = (lambda m, b: m(b["x"])), (lambda f, b: F.cross_entropy(f, b["y"]))
    of_outputs = ls.Objective.from_outputs(model, logits, loss, data, chunk=25)
    of_model = ls.Objective.from_loss(model, lambda m, b: loss(logits(m, b), b), data, chunk=25)
    pairs = question(model, chunk=25)
    d = ls.random_plane(pairs)[:, 0]
    expected = ls.evaluate_line(pairs, d, points=3, metrics="accuracy").metrics["accuracy"]
    by_batch = {"accuracy": lambda f, b: ls.accuracy(f, b["y"])}
    by_model = {"accuracy": lambda m, b: float(ls.accuracy(logits(m, b), b["y"]))}
    for objective, metrics in ((of_outputs, by_batch), (of_model, by_model)):
        found = ls.evaluate_line(objective, d, points=3, metrics=metrics).metrics["accuracy"]
        np.testing.assert_allclose(found, expected, atol=1e-15)


def test_what_the_mean_runs_over_weighs_metrics_as_it_weighs_the_loss():
    """Padding counts for nothing, in batches with unlike amounts of it."""
    y = torch.where(torch.arange(N) % 7 < torch.arange(N) // 12, -100, Y)
    model = trained(mlp)
    weight = lambda batch: float((batch[1] >= 0).sum())  # noqa: E731
    objective = ls.Objective(model, F.cross_entropy, (X, y), weight=weight, chunk=11)
    line = ls.evaluate_line(objective, ls.random_plane(objective)[:, 0], points=3, metrics="accuracy")
    assert line.metrics["accuracy"][1] == pytest.approx(share_right(model, X[y >= 0], Y[y >= 0]), abs=1e-15)


def test_accuracy_finds_the_classes_in_dimension_one_or_in_the_last():
    scores = drawn(5, 4, 3)  # three positions, or three classes
    ones = scores.argmax(1)
    assert float(ls.accuracy(scores, ones)) == float(ls.accuracy(scores.transpose(1, 2), ones)) == 1
    ones[0, 0], ones[1, 1] = -100, (ones[1, 1] + 1) % 4
    assert float(ls.accuracy(scores, ones)) == pytest.approx(13 / 14)
    scores[2, 0, 0] = torch.nan
    assert np.isnan(float(ls.accuracy(scores, ones)))
    for outputs, targets in ((drawn(5, 3, 3), torch.zeros(5, 3).long()), (drawn(5, 1), drawn(5, 1)), (drawn(5), Y[:5])):
        with pytest.raises(UsageError, match=r"accuracy needs scores \(N, C, …\).*Write your own"):
            ls.accuracy(outputs, targets)


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (("auc",), "'auc' is not one of 'loss', 'accuracy', 'gradient_norm'; give others as a mapping"),
        ({"loss": ls.accuracy}, "cannot be called 'loss'"),
        ({"t": ls.accuracy}, "cannot be called 't'"),
        ({"": ls.accuracy}, "cannot be called ''"),
        ({"a": "auc"}, "'a' is 'auc', which is none: a function in the place of the loss, 'accuracy', 'gradient_norm'"),
        ({"a": (ls.accuracy, 3)}, "which is none"),
        ({"a": lambda f, y: (f.argmax(1) == y).sum()}, "'a' is not a mean over examples: on the first batch of 12 it"),
        ({"a": (ls.accuracy, logistic())}, r"objective of 'a' has other parameters in θ \(1\)"),
    ],
)
def test_what_is_no_metric_is_refused(metrics, said):
    with pytest.raises(UsageError, match=said):
        ls.evaluate_line(question(trained(mlp)), np.ones(99), points=3, metrics=metrics)


def test_a_metric_of_many_numbers_says_so():
    with pytest.raises(ObjectiveError, match=r"'a' must give one number.*tensor of shape \(12, 3\)"):
        ls.evaluate_line(question(trained(mlp)), np.ones(99), points=3, metrics={"a": lambda f, y: f})


def test_one_of_all_the_data_together_is_had_from_a_batch_that_nothing_cuts():
    """The median over examples is no mean over them."""
    model = trained(mlp)
    median = lambda outputs, targets: outputs[:, 0].median()  # noqa: E731
    with pytest.raises(UsageError, match="interacting=True"):
        ls.interpolate(question(model), question(put(model, torch.ones(99).double())), metrics={"m": median})
    whole = ls.Objective(model, F.cross_entropy, (X, Y), interacting=True)
    line = ls.evaluate_line(question(model), np.ones(99), points=3, metrics={"m": (median, whole)})
    assert line.metrics["m"][1] == pytest.approx(float(model.eval()(X)[:, 0].median().detach()), rel=1e-14)


def test_a_loss_that_differentiates_has_metrics_too():
    """Evaluated once more with gradients, it counts each chunk once."""

    def loss(model, batch):
        x = batch[0].requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return slope.square().mean()

    objective = ls.Objective.from_loss(trained(mlp), loss, (X, Y), chunk=20)
    mean = {"mean": lambda model, batch: model(batch[0]).mean()}
    line = ls.evaluate_line(objective, np.ones(99), points=3, metrics=mean)
    model = put(objective.module.model, objective.theta).eval()
    assert line.metrics["mean"][1] == pytest.approx(float(model(X).mean().detach()), rel=1e-12)
