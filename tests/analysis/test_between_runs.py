"""Lines between runs of networks with running statistics: the barrier that analyze stores, and what is said of it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.analysis import barriers
from landscape.analysis.cache import Opened
from landscape.analysis.measuring import RunFiles
from landscape.plots.slice_figures import interpolation_figure, line_figures
from landscape.report.methods import methods as methods_of_report
from landscape.results import LineSlice
from landscape.store import ResultStore
from landscape.study import Arm, Study
from landscape.study import paths as study_paths
from landscape.study.methods import methods
from landscape.study.tuning import Choice
from tests.support.running_statistics import held
from tests.support.studies import trained

CONFIG = {"channels": 2, "test_fraction": 0.9}
PLAN = ls.Plan("quick", points=5)
LR = {"sgd": 0.05, "adam": 0.01}


def run_of(folder, optimizer, problem):
    """A few epochs in training mode, by hand."""
    model = problem.make_model(0).train()
    kind = torch.optim.Adam if optimizer == "adam" else torch.optim.SGD
    steps = kind(model.parameters(), LR[optimizer])
    for index in range(12):
        rows = (torch.arange(32) + 17 * index) % len(problem.train[1])
        steps.zero_grad()
        problem.loss_fn(model(problem.train[0][rows]), problem.train[1][rows]).backward()
        steps.step()
    config = {"optimizer": optimizer, "seed": 0, "lr": LR[optimizer]}
    saved = ls.save_checkpoint(folder / optimizer, model, step=1, problem=problem, optimizer=steps, config=config)
    return model.eval(), RunFiles(optimizer, (str(saved),))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    problem = ls.get_problem("resnet-digits", CONFIG)
    found = {optimizer: run_of(folder, optimizer, problem) for optimizer in LR}
    return problem, {name: model for name, (model, _) in found.items()}, {name: job for name, (_, job) in found.items()}


def barrier_of(store, a, b, plan=PLAN):
    assert barriers.measure_pair(store, (a, b), plan, Opened()).skipped == []
    (pair,) = ls.load_results(store.path, everything=True).pairs
    return pair


def test_beside_the_line_stands_how_many_predictions_of_both_ends_differ(runs, tmp_path):
    """Counted by hand from the classes that the two networks predict, each with its own statistics."""
    problem, models, jobs = runs
    with ResultStore(tmp_path) as store:
        line = barrier_of(store, jobs["sgd"], jobs["adam"]).record
    with torch.no_grad():
        for found, (inputs, _) in ((line.disagreement, problem.train), (line.test_disagreement, problem.test)):
            a, b = (models[name](inputs).argmax(1) for name in ("sgd", "adam"))
            assert 0 < found == pytest.approx(float((a != b).double().mean()))
    assert "on test data (predicted classes)" in str(line)


def test_what_becomes_of_running_statistics_is_asked_by_the_plan_and_another_word_is_measured_anew(runs, tmp_path):
    problem, models, jobs = runs
    between = (ls.Objective(models[name], problem.loss_fn, problem.train, check=False) for name in ("sgd", "adam"))
    truth = ls.interpolate(*between, points=5, batch_statistics="recompute").loss
    with ResultStore(tmp_path) as store:
        seen = {
            word: barrier_of(store, jobs["sgd"], jobs["adam"], replace(PLAN, batch_statistics=word)).record
            for word in (None, "recompute", "fixed")
        }
    assert [record.batch_statistics for record in seen.values()] == ["interpolate", "recompute", "fixed"]
    assert seen["recompute"].loss == pytest.approx(truth, rel=1e-5)
    assert len({float(record.loss[2]) for record in seen.values()}) == 3


def test_both_ends_of_a_stored_line_are_the_models_as_saved_and_the_order_of_the_names_changes_nothing(runs, tmp_path):
    problem, models, jobs = runs
    losses = {}
    with torch.no_grad():
        for name, model in models.items():
            losses[name] = float(problem.loss_fn(model(problem.train[0]), problem.train[1]))
    found = []
    for order in (("sgd", "adam"), ("adam", "sgd")):
        with ResultStore(tmp_path / "-".join(order)) as store:
            pair = barrier_of(store, *(jobs[name] for name in order))
        assert pair.record.loss[[0, -1]] == pytest.approx([losses[name] for name in order], rel=1e-5)
        found.append(pair.record)
    assert found[0].loss.tolist() == found[1].loss[::-1].tolist()
    assert found[0].barrier == pytest.approx(found[1].barrier, rel=1e-6)
    mixed, states = copy.deepcopy(models["sgd"]), [models[name].state_dict() for name in ("sgd", "adam")]
    mixed.load_state_dict({n: ((v + states[1][n]) / 2).to(v.dtype) for n, v in states[0].items()})
    with torch.no_grad():
        middle = float(problem.loss_fn(mixed(problem.train[0]), problem.train[1]))
    assert found[0].loss[2] == pytest.approx(middle, rel=1e-5)


def test_a_line_whose_buffers_stood_still_is_measured_again_and_one_that_is_right_is_not(runs, tmp_path, monkeypatch):
    """Before, the key named the constants of the first end alone."""
    problem, _, jobs = runs
    a, b = jobs["sgd"], jobs["adam"]
    with ResultStore(tmp_path) as store:
        key = barrier_of(store, a, b).provenance["key"]
        assert len(key["constants"]) == 2
        wrong = LineSlice(np.linspace(0, 1, 5), np.arange(5.0), "before", 1.0, "interpolation")
        store.write_pair(a.run, b.run, wrong, {"key": {**key, "constants": key["constants"][0]}})
        assert barrier_of(store, a, b).record.direction == "from one minimum to the other"
        monkeypatch.setattr(barriers.geometry, "interpolate", lambda *_, **__: pytest.fail("measured again"))
        barrier_of(store, a, b)


def test_two_runs_that_no_line_can_join_are_listed_with_the_reason(runs, tmp_path, monkeypatch):
    _, _, jobs = runs
    pruned = iter([held(0, mask=torch.tensor([1, 1, 0, 1, 1, 1])), held(1, mask=torch.tensor([1, 0, 1, 1, 1, 1]))])
    monkeypatch.setattr(barriers, "objective_of", lambda *_, **__: next(pruned))
    with ResultStore(tmp_path) as store:
        (skipped,) = barriers.measure_pair(store, (jobs["sgd"], jobs["adam"]), PLAN, Opened()).skipped
    assert not any(tmp_path.rglob("*.h5"))
    assert skipped["file"] == "sgd to adam: interpolation"
    assert "mask" in skipped["reason"]


def test_figure_report_and_methods_say_what_running_statistics_were(runs, tmp_path):
    _, _, jobs = runs
    said = "Running statistics and other buffers move linearly from one end to the other."
    with ResultStore(tmp_path) as store:
        for job in jobs.values():
            objective = ls.load_checkpoint(job.files[-1]).objective(check=False)
            direction = ls.random_plane(objective)[:, 0]
            line = ls.evaluate_line(objective, direction, points=3)
            info = {"optimizer": job.run, "seed": 0, "num_parameters": 9, "num_examples": 9, "config": {}}
            store.describe_run(job.run, info)
            store.describe_checkpoint(job.run, 1, {})
            store.write(job.run, 1, "line_random_0", line, {"key": {}})
        pair = barrier_of(store, *jobs.values())
        results = ls.load_results(store.path)
    assert "moved linearly from one end to the other" in str(pair)
    (drawing,) = interpolation_figure(results)
    assert said in drawing.caption
    assert "buffers interpolated" in drawing.figure.axes[0].get_ylabel()
    (drawing,) = line_figures(results)
    held = "Running statistics and other buffers are held as the model has them"
    assert f"{held}." in drawing.caption
    report = methods_of_report(results)[0]
    assert said in report
    assert held in report
    study = Study("small", "?", "resnet-digits", (Arm("sgd"),), (0,))
    text = methods(study, [Choice("sgd", 0.1, {})], results)
    assert f"{held} (2 of 3 slices of the loss)." in text
    assert "move linearly from one end to the other (1 of 3 slices of the loss)." in text
    assert "statistics" not in methods(study, [Choice("sgd", 0.1, {})])


def test_the_paths_of_a_study_lie_over_a_loss_with_statistics_of_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(study_paths, "GRID", 3)
    settings = {"epochs": 1, "batch_size": 64}
    study = trained(
        tmp_path, problem="resnet-digits", problem_config=CONFIG, arms=(Arm("sgd"), Arm("adam", {"optimizer": "adam"})),
        seeds=(0,), settings=settings,
    )  # fmt: skip
    drawing = study_paths.draw_paths(study, tmp_path)
    assert "Running statistics of normalisation layers are recomputed from the data at each point." in drawing.caption

    def refused(*_, **__):
        raise ls.UsageError("positions do not tell")

    monkeypatch.setattr(study_paths, "evaluate_paths", refused)
    with pytest.warns(UserWarning, match="the paths are not drawn: positions do not tell"):
        assert study_paths.draw_paths(study, tmp_path) is None
