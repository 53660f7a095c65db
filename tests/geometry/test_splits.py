"""Training and test data from the same points; the norm of the gradient and weight decay in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import landscape as ls
from landscape.errors import UsageError
from tests.support.landscapes import DOUBLE, Quadratic, draw, network
from tests.support.running_statistics import X, Y, drawn, mlp, trained

TEST = drawn(17, 6, seed=9), torch.arange(17) % 3


def both(**options):
    model = trained(mlp).eval()
    return tuple(ls.Objective(model, F.cross_entropy, data, **options) for data in ((X, Y), TEST))


def plane_of(objective, seed=3):
    return draw(objective.layout.size, 2, seed=seed).numpy()


@pytest.mark.parametrize("statistics", ["fixed", "recompute"])
def test_both_splits_are_read_at_the_same_points_of_the_same_network(statistics):
    """Statistics that are recomputed are those of the training data, as the network would have them."""
    objective, test = both()
    columns = plane_of(objective)
    how = {"points": 3, "radius": 0.1, "batch_statistics": statistics, "metrics": ("loss", "accuracy", "gradient_norm")}
    together = ls.evaluate_plane(objective, columns, test=test, on="both", **how)
    assert together.metric_names == (
        "test loss", "accuracy", "test accuracy", "gradient_norm", "test gradient_norm",
    )  # fmt: skip
    assert together.metric_losses == ("test loss",)
    train = ls.evaluate_plane(objective, columns, **how)
    alone = ls.evaluate_plane(objective, columns, test=test, on="test", **how)
    assert np.array_equal(together.loss, train.loss)
    assert np.array_equal(together.metric("accuracy"), train.metric("accuracy"))
    assert np.array_equal(together.metric("gradient_norm"), train.metric("gradient_norm"))
    assert np.array_equal(together.metric("test loss"), alone.loss)
    assert np.array_equal(together.metric("test accuracy"), alone.metric("accuracy"))
    assert np.array_equal(together.metric("test gradient_norm"), alone.metric("gradient_norm"))
    assert (alone.split, together.split) == ("test", "train")
    assert "test loss" in str(alone)


def test_the_centre_on_test_data_is_the_test_loss_with_its_own_curvature():
    objective, test = both()
    d = draw(objective.layout.size, seed=4).numpy()
    line = ls.evaluate_line(objective, d, test=test, on="test", radius=0.1, points=5)
    assert line.loss[2] == test.loss()
    assert line.curvature == pytest.approx(float(d @ test.hvp(torch.tensor(d)).numpy()))
    assert ls.evaluate_line(objective, d, test=test, radius=0.1, points=3).metric("test loss")[1] == test.loss()


def test_metrics_that_name_their_data_stay_with_them():
    objective, test = both()
    metrics = {"accuracy": ls.accuracy, "other": (ls.accuracy, test), "its loss": test}
    line = ls.evaluate_line(objective, draw(objective.layout.size).numpy(), test=test, points=3, metrics=metrics)
    assert line.metric_names == ("test loss", "accuracy", "test accuracy", "other", "its loss")
    assert np.array_equal(line.metric("other"), line.metric("test accuracy"))


def test_what_cannot_be_asked_of_which_data_is_said():
    objective, test = both()
    d = np.ones(objective.layout.size)
    other = network(torch.nn.Tanh)
    for given, said in (
        ({"on": "test"}, "on='test' needs the test data"),
        ({"on": "both"}, "on='both' needs the test data"),
        ({"on": "validation"}, "on='validation' is not one of 'train', 'test', 'both'"),
        ({"on": "train", "test": test}, "on='train' leaves no use for test="),
        ({"test": TEST}, "test must be an Objective on the test data, not a tuple"),
        ({"test": other}, "the objective of 'test' has other parameters"),
    ):
        with pytest.raises(UsageError, match=said):
            ls.evaluate_line(objective, d, points=3, **given)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (DOUBLE, 1e-12)])
@pytest.mark.parametrize("tol", [None, 0.01])
def test_the_norm_of_the_gradient_is_that_of_the_quadratic_at_every_point(dtype, rtol, tol):
    """Also where the loss between nodes is interpolated: from outputs it could not be had."""
    problem = Quadratic(dtype)
    columns, w = plane_of(problem.objective), problem.objective.theta.double().numpy()
    surface = ls.evaluate_plane(problem.objective, columns, points=9, tol=tol, metrics={"‖∇L‖": ls.gradient_norm})
    x, y = problem.x.numpy(), problem.y.numpy()[:, 0]
    places = [w + a * columns[:, 0] + b * columns[:, 1] for b in surface.y for a in surface.x]
    wanted = [np.linalg.norm(0.2 * x.T @ (x @ place - y)) for place in places]
    np.testing.assert_allclose(surface.metric("‖∇L‖").ravel(), wanted, rtol=20 * rtol)
    assert ls.gradient_norm(problem.objective) == pytest.approx(surface.metric("‖∇L‖")[4, 4])
    assert surface.metric_losses == ()


@pytest.mark.parametrize("tol", [None, 0.01])
def test_weight_decay_is_added_exactly_and_the_loss_stays_what_it_is(tol):
    objective = network(torch.nn.Tanh)
    columns, theta = 0.3 * plane_of(objective), objective.theta.numpy()
    plain = ls.evaluate_plane(objective, columns, points=9, tol=tol)
    decayed = ls.evaluate_plane(objective, columns, points=9, tol=tol, weight_decay=0.02, metrics=("accuracy",))
    assert np.array_equal(plain.loss, decayed.loss)
    assert np.array_equal(plain.curvature, decayed.curvature)
    assert plain.error == decayed.error
    name = "loss + ½λ‖θ‖², λ = 0.02"
    assert decayed.metric_names == ("accuracy", name)
    assert decayed.metric_losses == (name,)
    places = [theta + a * columns[:, 0] + b * columns[:, 1] for b in decayed.y for a in decayed.x]
    wanted = np.array([0.01 * place @ place for place in places]).reshape(9, 9)
    np.testing.assert_allclose(decayed.metric(name) - decayed.loss, wanted, rtol=1e-12)


def test_weight_decay_may_be_one_for_each_parameter_and_is_at_marks_too():
    problem = Quadratic()
    each, away = np.array([0.1, 0.0, 0.3, 2.0]), draw(4, seed=9).numpy()
    d = draw(4, seed=3).numpy()
    line = ls.evaluate_line(problem.objective, d, points=5, weight_decay=each)
    w = problem.objective.theta.numpy()
    wanted = [problem.loss(w + t * d) + each @ (w + t * d) ** 2 / 2 for t in line.t]
    np.testing.assert_allclose(line.metric("loss with weight decay"), wanted, rtol=1e-12)
    surface = ls.evaluate_plane(problem.objective, np.eye(4)[:, :2], points=3, weight_decay=each, marks={"away": away})
    assert surface.mark_metric_values[0] == pytest.approx([problem.loss(away) + each @ away**2 / 2])
    for bad, said in ((-0.1, "weight_decay=-0.1 must be a number of at least 0"), (np.ones(3), r"of shape \(3,\)"),
                      (-each, "one of at least 0 for each of the 4 parameters")):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            ls.evaluate_line(problem.objective, d, points=3, weight_decay=bad)
