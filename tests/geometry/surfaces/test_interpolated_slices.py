"""Lines and planes from few evaluations: exact in closed forms, counted, and evaluated in full where they must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.geometry import evaluate_line, evaluate_plane, random_direction, random_plane
from landscape.geometry.surfaces import outputs as held_outputs
from landscape.objective import Objective
from tests.support.landscapes import DOUBLE, Quadratic, built, draw, network, one_dimensional


class Counting(nn.Module):
    """A model that counts the examples that it sees."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner, self.seen = model, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += len(x)
        return self.inner(x)


@pytest.fixture(autouse=True)
def no_curvature(monkeypatch):
    """Which has tests of its own, and evaluations too."""
    blank = lambda objective, theta, d, hessian: [np.zeros((d.shape[1], d.shape[1]))] * 3  # noqa: E731
    monkeypatch.setattr("landscape.geometry.walk.centre_curvature", blank)


def tanh_network(examples: int, *, classes: int = 3, activation: type[nn.Module] = nn.Tanh) -> Objective:
    build = lambda: nn.Sequential(nn.Linear(5, 16), activation(), nn.Linear(16, classes))  # noqa: E731
    data = draw(examples, 5, seed=1), torch.arange(examples) % classes
    return Objective(built(build), nn.functional.cross_entropy, data, dtype=DOUBLE, check=False)


def test_a_linear_model_with_squared_error_is_exact_from_a_hundred_and_sixty_nine_evaluations():
    """Its outputs are linear in x, and x = sinh(at)/sinh(a), cut at degree 12 in t, is so to 2 (a/2)¹³/13! = 8e-12."""
    problem = Quadratic()
    plane, w = draw(4, 2, seed=4), problem.objective.theta.numpy()
    surface = evaluate_plane(problem.objective, plane, radius=(1.0, 0.25), points=41, tol=1e-3)
    d = plane.numpy()
    truth = np.array([[problem.loss(w + x * d[:, 0] + y * d[:, 1]) for x in surface.x] for y in surface.y])
    true_error = np.abs(surface.loss - truth).max()
    assert true_error <= 1e-10 * np.ptp(truth)
    assert true_error <= surface.error <= 1e-3 * np.ptp(truth)
    assert surface.num_evaluations == 169
    assert surface.reason == ""
    assert surface.loss[20, 20] == problem.objective.loss()


def test_a_bilinear_model_is_exact_on_a_line_and_rows_are_y():
    """u·v·x is of second degree along a line, and its squared error of fourth."""

    class Bilinear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.u, self.v = (nn.Parameter(torch.tensor([value], dtype=DOUBLE)) for value in (0.5, -1.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.u * self.v

    x = draw(10, 1)
    objective = Objective(Bilinear(), nn.functional.mse_loss, (x, x), check=False)
    line = evaluate_line(objective, np.array([1.0, 2.0]), points=51, tol=1e-5)
    exact = float((x**2).mean()) * ((0.5 + line.t) * (-1 + 2 * line.t) - 1) ** 2
    assert np.abs(line.loss - exact).max() <= line.error <= 1e-5 * np.ptp(exact)
    assert line.num_evaluations in (13, 25)
    plane = evaluate_plane(objective, np.eye(2), radius=(1.0, 0.1), points=31, tol=1e-3)
    exact = float((x**2).mean()) * ((0.5 + plane.x) * (-1 + plane.y[:, None]) - 1) ** 2
    assert np.abs(plane.loss - exact).max() <= plane.error <= 1e-3 * np.ptp(exact)


@pytest.mark.parametrize("examples", [60, 400])
def test_no_more_is_evaluated_than_is_said(examples):
    objective = tanh_network(examples)
    counting = Counting(objective.module.model)
    objective = Objective(counting, nn.functional.cross_entropy, objective.batches.joined, dtype=DOUBLE, check=False)
    plane = random_plane(objective, seed=0)
    counting.seen = 0
    surface = evaluate_plane(objective, plane, points=31, tol=0.01)
    passes = counting.seen / examples
    assert surface.reason == ""
    assert passes <= surface.num_evaluations < passes + 1
    assert surface.num_evaluations <= 200


def test_examples_that_are_tried_say_more_than_the_nodes_of_one_level():
    """Of 400 examples 96 are tried at the 120 nodes that the next level adds; with 60 there are too few."""
    assert evaluate_plane(tanh_network(400), random_plane(tanh_network(400)), tol=0.003).num_evaluations < 81
    assert evaluate_plane(tanh_network(60), random_plane(tanh_network(60)), tol=0.003).num_evaluations == 169


@pytest.mark.slow
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.GELU])
@pytest.mark.parametrize("examples", [60, 600])
def test_the_stated_error_covers_the_true_one(activation, examples):
    """Of lines and planes of small networks at every tolerance, against the network at every point."""
    objective = tanh_network(examples, activation=activation)
    exact = {}
    for seed in range(4):
        plane = random_plane(objective, seed=seed)
        for evaluate, along in ((evaluate_plane, plane), (evaluate_line, plane[:, 0])):
            exact = evaluate(objective, along, points=27, radius=2.0)
            for tol in (0.2, 0.02, 0.002):
                found = evaluate(objective, along, points=27, radius=2.0, tol=tol)
                true = np.abs(found.loss - exact.loss).max()
                assert true <= found.error + 1e-12, (seed, tol, evaluate.__name__)
                assert found.error <= tol * np.ptp(exact.loss) * 1.1


def test_accuracy_and_test_data_come_from_the_same_outputs():
    objective, test = tanh_network(300), tanh_network(300).subset(np.arange(90))
    plane = random_plane(objective, seed=1)
    metrics = {"accuracy": ls.accuracy, "test loss": test, "test accuracy": ("accuracy", test)}
    found, exact = (evaluate_plane(objective, plane, points=31, metrics=metrics, tol=tol) for tol in (1e-3, None))
    assert found.num_evaluations < 31**2 == exact.num_evaluations
    assert found.metric_names == exact.metric_names
    assert found.metric_losses == ("test loss",)
    np.testing.assert_allclose(found.metric("test loss"), exact.metric("test loss"), rtol=0, atol=found.error * 3)
    for name in ("accuracy", "test accuracy"):
        assert np.abs(found.metric(name) - exact.metric(name)).max() <= 0.02


def test_losses_that_are_no_batched_ones_are_computed_one_by_one():
    def looping(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if float(outputs.detach().abs().max()) < 0:  # what a batched call cannot do
            return outputs.sum()
        return nn.functional.cross_entropy(outputs, targets)

    objective = tanh_network(60)
    other = Objective(objective.module.model, looping, objective.batches.joined, dtype=DOUBLE, check=False)
    plane = random_plane(objective)
    one, two = (evaluate_plane(o, plane, points=21, tol=0.005) for o in (objective, other))
    np.testing.assert_allclose(one.loss, two.loss, rtol=1e-12)
    assert one.num_evaluations == two.num_evaluations == 169


def test_chunks_of_the_data_do_not_matter_nor_does_a_small_memory(monkeypatch):
    objective = tanh_network(61)
    direction = random_direction(objective)
    whole = evaluate_line(objective, direction, tol=0.01)
    parts = evaluate_line(objective.rechunked(7), direction, tol=0.01)
    np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-10)
    monkeypatch.setattr(held_outputs, "MEMORY", 25 * 3 * 8 * 4)  # 4 examples of 3 outputs at 25 nodes
    small = evaluate_line(objective, direction, tol=0.01)
    np.testing.assert_allclose(small.loss, whole.loss, rtol=1e-10)
    assert whole.num_evaluations == parts.num_evaluations < small.num_evaluations  # levels are evaluated anew


def _with_weights(model: nn.Module) -> Objective:
    """A loss that reads the parameters beside the outputs."""

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        squares = sum(p.square().sum() for p in model.parameters())
        return nn.functional.cross_entropy(outputs, targets) + 0.01 * squares

    return Objective(model, loss, (draw(30, 5), torch.arange(30) % 3), dtype=DOUBLE, check=False)


def _cases() -> dict[str, tuple[Objective, str]]:
    model = built(lambda: nn.Sequential(nn.Linear(5, 3))).double()
    x, y = draw(30, 5), torch.arange(30) % 3
    cross = nn.functional.cross_entropy
    return {
        "from_loss": (
            Objective.from_loss(model, lambda m, b: cross(m(b[0]), b[1]), (x, y), check=False),
            "does not say where the network ends",
        ),
        "train": (Objective(model, cross, (x, y), mode="train", check=False), "in training mode"),
        "two outputs": (
            Objective.from_outputs(
                model, lambda m, b: (m(b[0]), m(b[0])), lambda z, b: cross(z[0], b[1]), (x, y), check=False
            ),
            "not one tensor",
        ),
        "parameters": (_with_weights(model), "reads more than the outputs"),
        "not finite": (one_dimensional(lambda w: torch.log(w), start=0.5), "does not say"),
        "infinite": (
            Objective(
                built(lambda: nn.Linear(1, 1, bias=False)).double(), lambda z, t: z.log().mean(),
                (torch.ones(2, 1), torch.ones(2, 1)), check=False,
            ),
            "not finite at",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("case", ["from_loss", "train", "two outputs", "parameters", "not finite", "infinite"])
def test_where_outputs_cannot_be_interpolated_every_point_is_evaluated_and_the_record_says_why(case):
    objective, why = _cases()[case]
    direction = draw(objective.layout.size, seed=2)
    asked, plain = (evaluate_line(objective, direction, points=31, tol=tol) for tol in (0.01, None))
    np.testing.assert_array_equal(asked.loss, plain.loss)
    assert why in asked.reason
    assert asked.error == 0
    assert 31 <= asked.num_evaluations <= 31 + 7
    assert plain.reason == ""
    assert plain.num_evaluations == 31


def test_recomputed_statistics_are_evaluated_at_every_point():
    model = built(lambda: nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))).double().eval()
    objective = Objective(model, nn.functional.cross_entropy, (draw(30, 5), torch.arange(30) % 3), check=False)
    d = random_direction(objective)
    found = evaluate_line(objective, d, points=15, tol=0.01, batch_statistics="recompute")
    assert "statistics or other buffers move" in found.reason
    fixed, exact = (evaluate_line(objective, d, points=41, tol=tol) for tol in (0.01, None))
    assert fixed.num_evaluations < 41
    assert np.abs(fixed.loss - exact.loss).max() <= fixed.error


def test_what_would_cost_more_than_the_grid_is_evaluated_on_the_grid():
    """A step function between the nodes is met by no level."""
    objective = network(nn.ReLU)
    direction = 30 * random_direction(objective)
    found, exact = (evaluate_line(objective, direction, points=31, tol=tol) for tol in (1e-9, None))
    np.testing.assert_array_equal(found.loss, exact.loss)
    assert found.error == 0
    assert found.reason.startswith("every point was evaluated: 1e-07 % of the range was asked")
    assert found.num_evaluations == 31 + 25
    tiny = evaluate_plane(objective, random_plane(objective), points=7, tol=0.01)
    assert (tiny.num_evaluations, tiny.reason) == (49, "")


def test_on_a_finer_grid_it_is_marked_with_the_error_that_it_has():
    objective = network(nn.ReLU)
    found = evaluate_line(objective, 30 * random_direction(objective), points=101, tol=1e-9)
    assert found.num_evaluations == 25
    assert found.error > 1e-9 * np.ptp(found.loss)
    assert "was asked, and 25 evaluations have an error of at most" in found.reason


def test_adaptive_points_stand_for_a_grid_of_fifty_one_and_one_per_cent():
    objective = tanh_network(60)
    found = evaluate_line(objective, random_direction(objective), points="adaptive")
    assert len(found.t) == 51
    assert found.num_evaluations <= 25
    assert found.error <= 0.01 * np.ptp(found.loss)
    plane = evaluate_plane(objective, random_plane(objective), points="adaptive", tol=0.1)
    assert plane.loss.shape == (51, 51)


@pytest.mark.parametrize("tol", [0.0, 1.0, -0.1, float("nan"), "1%"])
def test_a_tolerance_is_a_share(tol):
    objective = network(nn.Tanh)
    with pytest.raises(ls.UsageError, match=r"tol=.*0\.01, not 1 %"):
        evaluate_line(objective, random_direction(objective), tol=tol)


def test_nothing_of_the_model_or_the_generators_moves():
    objective = tanh_network(300)
    before, state = objective.theta, torch.random.get_rng_state()
    evaluate_plane(objective, random_plane(objective), points=31, tol=0.01)
    assert torch.equal(objective.theta, before)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("examples", [60, 400])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_stated_error_of_each_metric_covers_the_true_one(examples, seed):
    """Of 60 examples by the difference of two levels, of 400 by a trial; accuracy moves in jumps of one example."""
    objective, test = tanh_network(examples), tanh_network(300).subset(np.arange(80))
    plane, metrics = random_plane(objective, seed=seed), {"accuracy": ls.accuracy, "test": (ls.accuracy, test)}
    exact = evaluate_plane(objective, plane, points=21, radius=2.0, metrics=metrics)
    assert list(exact.metric_errors.values()) == [0.0, 0.0]
    found = evaluate_plane(objective, plane, points=21, radius=2.0, metrics=metrics, tol=0.1)
    for name, error in found.metric_errors.items():
        true = np.abs(found.metric(name) - exact.metric(name)).max()
        assert 0 < true <= error < np.ptp(exact.metric(name))
    assert ", error ≤ " in dict(found.metric_lines())["accuracy"]


def test_the_loss_of_test_data_has_an_error_and_what_is_exact_has_none():
    objective, test = tanh_network(300), tanh_network(300).subset(np.arange(90))
    how = {"points": 11, "test": test, "metrics": ("gradient_norm",), "weight_decay": 0.1}
    d = random_plane(objective, seed=2)[:, 0]
    found, exact = (evaluate_line(objective, d, tol=tol, **how) for tol in (0.05, None))
    errors = found.metric_errors
    assert errors["gradient_norm"] == errors["test gradient_norm"] == 0.0
    assert 0 < np.abs(found.metric("test loss") - exact.metric("test loss")).max() <= errors["test loss"]
    assert errors[found.metric_names[-1]] == found.error  # with weight decay
