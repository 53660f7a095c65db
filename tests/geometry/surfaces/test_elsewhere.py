"""Surfaces evaluated by an executor: the same record, whoever evaluates."""

from __future__ import annotations

import dataclasses
import pickle
from concurrent.futures import Future

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import LandscapeError, UsageError
from landscape.geometry import accuracy, evaluate_line, evaluate_plane, interpolate, random_plane
from landscape.geometry.surfaces import elsewhere
from landscape.jobs import LocalExecutor
from landscape.objective import Objective
from landscape.objective.functional import Parts
from tests.support.landscapes import built, draw


class AnotherProcess:
    """Makes each call with what comes out of a pickle, as another process would."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.calls, self.dies_after = 0, dies_after

    def submit(self, function, /, *args):
        future: Future = Future()
        self.calls += 1
        if self.dies_after is not None and self.calls > self.dies_after:
            future.set_exception(RuntimeError("the power went"))
        else:
            there, given = pickle.loads(pickle.dumps((function, args)))
            future.set_result(pickle.loads(pickle.dumps(there(*given))))
        return future


@pytest.fixture(autouse=True)
def no_curvature(monkeypatch):
    """Which has tests of its own."""
    blank = lambda objective, theta, d, hessian: [np.zeros((d.shape[1], d.shape[1]))] * 3  # noqa: E731
    monkeypatch.setattr("landscape.geometry.walk.centre_curvature", blank)
    elsewhere._kept.clear()


def objective_of(examples: int, *, seed: int = 0, normalised: bool = False, loss=nn.functional.cross_entropy):
    middle = [nn.BatchNorm1d(8)] if normalised else []
    model = built(lambda: nn.Sequential(nn.Linear(5, 8), *middle, nn.Tanh(), nn.Linear(8, 3)), seed=seed)
    x = draw(examples, 5, seed=1).float()
    if normalised:
        model.train()(x)
    return Objective(model.eval(), loss, (x, x[:, :3].argmax(1)), check=False)


def equal(one, two) -> None:
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name), err_msg=field.name)


@pytest.mark.parametrize(
    "how",
    [
        {"points": 5, "metrics": {"accuracy": accuracy, "norm": "gradient_norm"}},
        {"points": 11, "tol": 0.05, "metrics": ("accuracy", "gradient_norm")},
        {"points": 5, "batch_statistics": "recompute", "normalised": True},
    ],
    ids=["in full", "few", "recomputed"],
)
def test_a_plane_does_not_depend_on_who_evaluates_it(how):
    objective = objective_of(400, normalised=how.pop("normalised", False))
    executor, how = AnotherProcess(), {**how, "test": objective.subset(np.arange(90))}
    whole = evaluate_plane(objective, random_plane(objective), **how)
    equal(evaluate_plane(objective, random_plane(objective), executor=executor, **how), whole)
    assert executor.calls > 10


def test_only_few_of_the_evaluations_are_left_here(monkeypatch):
    objective, value = objective_of(400), Parts.value
    here = []
    monkeypatch.setattr(Parts, "value", lambda self, *args: here.append(1) or value(self, *args))
    whole = evaluate_plane(objective, random_plane(objective), points=15, tol=0.01)
    calls = len(here)
    there = []
    original = elsewhere.evaluate_nodes
    nodes = lambda *args: there.extend(args[-1]) or original(*args)  # noqa: E731
    monkeypatch.setattr(elsewhere, "evaluate_nodes", nodes)
    here.clear()
    executor = AnotherProcess()
    equal(evaluate_plane(objective, random_plane(objective), points=15, tol=0.01, executor=executor), whole)
    assert len(here) == calls
    assert len(there) > 0.9 * calls


def test_gradients_beside_interpolated_losses_are_not_left_here(monkeypatch):
    objective, original, there = objective_of(400), elsewhere.evaluate_points, []
    monkeypatch.setattr(elsewhere, "evaluate_points", lambda *args: there.extend(args[-1]) or original(*args))
    how = {"points": 15, "tol": 0.05, "metrics": ("gradient_norm",), "executor": AnotherProcess()}
    assert evaluate_plane(objective, random_plane(objective), **how).num_evaluations < 15**2
    assert len(there) == 15**2


def test_what_is_carried_with_each_block_makes_them_fewer(monkeypatch):
    objective, executor = objective_of(400), AnotherProcess()
    whole = evaluate_plane(objective, random_plane(objective), points=11)
    monkeypatch.setattr(elsewhere, "_CARRIED", 0)
    equal(evaluate_plane(objective, random_plane(objective), points=11, executor=executor), whole)
    assert executor.calls == 16


def test_a_line_between_two_models_and_one_of_drawn_examples_do_not_either():
    a, b = (objective_of(100, seed=seed, normalised=True) for seed in (0, 1))
    equal(interpolate(a, b, points=9, executor=AnotherProcess()), interpolate(a, b, points=9))
    objective = objective_of(9_000)
    line = lambda **how: evaluate_line(objective, random_plane(objective)[:, 0], points=21, tol=0.1, **how)  # noqa: E731
    equal(line(executor=AnotherProcess()), line())


def test_what_came_before_an_executor_failed_is_kept(tmp_path):
    objective = objective_of(60)
    how = {"points": 11, "resume": tmp_path}
    with pytest.raises(LandscapeError, match="its executor lost it: RuntimeError: the power went"):
        evaluate_plane(objective, random_plane(objective), executor=AnotherProcess(dies_after=20), **how)
    executor = AnotherProcess()
    found = evaluate_plane(objective, random_plane(objective), executor=executor, **how)
    assert 30 < executor.calls <= 64
    equal(found, evaluate_plane(objective, random_plane(objective), points=11))
    executor.calls = 0
    equal(evaluate_plane(objective, random_plane(objective), executor=executor, **how), found)
    assert executor.calls == 0


def test_outputs_that_are_not_finite_are_seen_as_they_are_here():
    objective = objective_of(60)
    plane = 1e30 * random_plane(objective)
    how = {"points": 9, "radius": 1e9, "tol": 0.1}
    found = evaluate_plane(objective, plane, executor=AnotherProcess(), **how)
    equal(found, evaluate_plane(objective, plane, **how))
    assert "not finite" in found.reason


def test_what_cannot_be_made_in_another_process_is_refused_with_the_reason():
    objective = objective_of(60, loss=lambda z, t: nn.functional.cross_entropy(z, t))
    with pytest.raises(UsageError, match=r"cannot be made in another process .* at the top of a module"):
        evaluate_line(objective, random_plane(objective)[:, 0], points=5, executor=AnotherProcess())
    with pytest.raises(UsageError, match="executor='two' is none of 'local'"):
        evaluate_line(objective, random_plane(objective)[:, 0], points=5, executor="two")


@pytest.mark.slow
def test_two_processes_of_this_machine_give_the_same_plane():
    objective = objective_of(400)
    plane, how = random_plane(objective), {"points": 15, "tol": 0.02, "metrics": ("accuracy",)}
    with LocalExecutor(2, threads=torch.get_num_threads()) as executor:
        found = evaluate_plane(objective, plane, executor=executor, **how)
    equal(found, evaluate_plane(objective, plane, **how))
