"""A whole training measured: gradient descent on a quadratic, where curvature, gradient and distances are known."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.analysis import pipeline
from landscape.plots.tails import tail_of_run
from landscape.store import ResultStore
from landscape.store.catalogue import read
from landscape.training import train
from tests.support.runs import SMALL

pytestmark = pytest.mark.slow

EIGENVALUES, RATE, STEPS = (4.0, 1.0, 0.25), 0.3, (0, 1, 3, 6, 10)
PLAN = ls.Plan(**{**SMALL.fields(), "last": 1, "along": True, "barriers": 0, "eigs": 2})
ALONG = {"point", "test", "eigenpairs", "gap", "trace", "distances", "noise_scale", "gradient_share",
         "update_share", "stability"}  # fmt: skip


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr(pipeline, "write_report", lambda results: None)


def descend(folder, steps=STEPS):
    """Checkpoints of gradient descent at these steps, from where ``problem`` begins."""
    problem = ls.get_problem("quadratic", {"eigenvalues": list(EIGENVALUES)})
    model = problem.make_model(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for step in range(max(steps) + 1):
        if step in steps:
            config = {"optimizer": "sgd", "seed": 0, "lr": RATE, "batch_size": 16}
            ls.save_checkpoint(folder, model, step=step, problem=problem, optimizer=optimizer, config=config)
        optimizer.zero_grad()
        problem.mean_loss(model, problem.train).backward()
        optimizer.step()
    return problem


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "sgd-s0"
    return folder, descend(folder)


@pytest.fixture(scope="module")
def analyzed(trained):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "write_report", lambda results: None)
        return ls.load_results(ls.analyze(trained[0], PLAN)).runs[0]


def path_of(folder, problem):
    """Step → (θ, gradient), by the closed form θ_t − θ* = (I − ηH)ᵗ(θ₀ − θ*), from the first checkpoint alone."""
    H = problem.hessian.double()
    x, y = problem.train[0].double(), problem.train[1].double().squeeze()
    minimum = torch.linalg.lstsq(x, y[:, None]).solution.squeeze()
    start = ls.CheckpointDir(folder)[0].params()["w"].double()
    shrink = torch.eye(3, dtype=torch.float64) - RATE * H
    found = {}
    for step in STEPS:
        away = torch.linalg.matrix_power(shrink, step) @ (start - minimum)
        found[step] = (minimum + away).numpy(), (H @ away).numpy()
    return found


def test_every_checkpoint_has_what_is_cheap_and_the_last_one_everything(analyzed):
    assert [checkpoint.step for checkpoint in analyzed.checkpoints] == [*STEPS]
    for checkpoint in analyzed.checkpoints[:-1]:
        assert set(checkpoint.records) == ALONG
        assert checkpoint.records["eigenpairs"].vectors.shape[1] == 0
    assert ALONG | {"density", "plane", "sharpness_worst"} <= set(analyzed.last.records)


def test_curvature_stays_that_of_the_quadratic_beside_the_threshold_of_gradient_descent(analyzed):
    for checkpoint in analyzed.checkpoints:
        assert read(checkpoint, "lambda_max").value == pytest.approx(4.0, rel=1e-3)
        assert read(checkpoint, "spectral_ratio").value == pytest.approx(4.0, rel=1e-3)
        assert read(checkpoint, "trace").value == pytest.approx(sum(EIGENVALUES), rel=1e-3)
        row = checkpoint.records["stability"]["lambda_max"]
        assert row.threshold == pytest.approx(2 / RATE)
        assert read(checkpoint, "stability_ratio").value == pytest.approx(4.0 * RATE / 2, rel=1e-3)


def test_distances_gradients_and_shares_are_those_of_the_closed_form(trained, analyzed):
    """The gradient lies in the span of u₁ and u₂ but for what it has along u₃."""
    folder, problem = trained
    path = path_of(folder, problem)
    third = torch.linalg.eigh(problem.hessian.double())[1][:, 0].numpy()
    for checkpoint in analyzed.checkpoints:
        theta, gradient = path[checkpoint.step]
        near = {"rel": 1e-4, "abs": 1e-6}
        assert read(checkpoint, "grad_norm").value == pytest.approx(np.linalg.norm(gradient), **near)
        share = 1 - (third @ gradient) ** 2 / (gradient @ gradient)
        for name in ("gradient_share", "update_share"):
            assert read(checkpoint, name).value == pytest.approx(share, abs=2e-3)
        for end, name in ((0, "distance_from_start"), (10, "distance_from_end")):
            expected = np.linalg.norm(theta - path[end][0])
            assert read(checkpoint, name).value == pytest.approx(expected, rel=1e-4, abs=1e-6)
        found = checkpoint.records["distances"]
        assert (found.step, found.start_step, found.end_step) == (checkpoint.step, 0, 10)


def test_the_last_iterations_are_not_those_on_the_way(analyzed):
    assert analyzed.info["along"] == [*STEPS]
    assert analyzed.info["around"] == [*STEPS[:-1]]
    assert list(tail_of_run(analyzed, "lambda_max").steps) == [0]


def writes(folder, plan, monkeypatch) -> set[tuple[int, str]]:
    """Step and name of the records that an analysis writes."""
    names, write = set(), ResultStore.write

    def noting(store, run, step, name, *rest):
        names.add((step, name))
        return write(store, run, step, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(ResultStore, "write", noting)
        ls.analyze(folder, plan)
    return names


def test_what_is_there_is_not_measured_again_and_without_along_all_else_is_the_same(
    trained, analyzed, tmp_path, monkeypatch
):
    folder = shutil.copytree(trained[0], tmp_path / "sgd-s0")
    assert writes(folder, PLAN, monkeypatch) == set()
    finer = ls.Plan(**{**PLAN.fields(), "every": 1})
    assert writes(folder, finer, monkeypatch) == set(), "five checkpoints are all of them"
    assert writes(folder, ls.Plan(**{**PLAN.fields(), "along": False}), monkeypatch) == set()
    shown = ls.load_results(folder).runs[0]
    assert [checkpoint.step for checkpoint in shown.checkpoints] == [10]


def test_where_training_went_on_the_distances_from_its_end_are_new(trained, analyzed, tmp_path, monkeypatch):
    folder = shutil.copytree(trained[0], tmp_path / "sgd-s0")
    longer = tmp_path / "longer"
    descend(longer, (12,))
    shutil.copy(longer / "step_00000012.h5", folder)
    written = writes(folder, PLAN, monkeypatch)
    assert {name for step, name in written if step < 10} == {"distances"}
    assert {name for step, name in written if step == 10} <= {"distances", "eigenpairs", "stability"} | ALONG
    first = ls.load_results(folder).runs[0].checkpoints[0]
    assert first.records["distances"].end_step == 12


def test_within_a_time_the_whole_training_is_measured_in_rounds(trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "sgd-s0", ignore=shutil.ignore_patterns("results*"))
    plan = ls.Plan("quick", along=True, last=1, time="60s", planes="", barriers=0, directions=0, workers=1)
    run = ls.load_results(ls.analyze(folder, plan)).runs[0]
    assert [checkpoint.step for checkpoint in run.checkpoints] == [*STEPS]
    for checkpoint in run.checkpoints:
        assert read(checkpoint, "trace").value == pytest.approx(sum(EIGENVALUES), rel=0.2)
        assert "distances" in checkpoint.records


def test_one_checkpoint_has_no_distances_from_itself(trained, tmp_path):
    folder = tmp_path / "alone"
    folder.mkdir()
    shutil.copy(trained[0] / "step_00000010.h5", folder)
    run = ls.load_results(ls.analyze(folder, PLAN)).runs[0]
    assert "distances" not in run.last.records
    assert "trace" in run.last.records


def test_what_training_saved_at_every_step_stands_with_the_last_checkpoint(trained, tmp_path):
    """Full-batch gradient descent by our training: the norms at its first steps follow the closed form."""
    problem = ls.get_problem("quadratic", {"eigenvalues": list(EIGENVALUES)})
    train(problem, tmp_path / "gd-s0", optimizer="gd", lr=RATE, epochs=10, save_every=5)
    (run,) = ls.load_results(ls.analyze(tmp_path, PLAN)).runs
    assert [("history" in c.records) for c in run.checkpoints] == [False] * (len(run.checkpoints) - 1) + [True]
    found, gradients = run.last.records["history"], path_of(tmp_path / "gd-s0", problem)
    assert found.steps.tolist() == list(range(1, 11))
    for step in STEPS[:-1]:
        norm = np.linalg.norm(gradients[step][1])
        assert found["gradient_norm"][found.steps == step + 1] == pytest.approx(norm, rel=1e-4)
    again = ls.load_results(ls.analyze(tmp_path, PLAN)).runs[0].last
    assert np.array_equal(again.records["history"].values, found.values)


def test_a_run_that_saved_nothing_at_its_steps_has_no_history(analyzed):
    assert "history" not in analyzed.last.records
