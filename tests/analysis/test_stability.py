"""Stability in an analysis: measured all along where optimizers are stored, and again where their state has changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.analysis import measures
from landscape.analysis.context import CheckpointContext
from landscape.analysis.quantities import quantities
from landscape.results import Stability
from landscape.store import ResultStore
from landscape.store.catalogue import read
from tests.support.runs import CONFIG, SMALL, save_run

pytestmark = pytest.mark.slow

PLAN = ls.Plan(**{**SMALL.fields(), "plan": "standard"})
ALONG = {"noise_scale", "gradient_share", "update_share", "stability"}


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    save_run(folder / "adam-s0", optimizer="adam", seed=0)
    return folder / "adam-s0", ls.load_results(ls.analyze(folder, PLAN)).runs[0]


def test_it_stands_at_every_checkpoint_with_the_numbers_of_the_function(analyzed):
    folder, run = analyzed
    for checkpoint, saved in zip(run.checkpoints, ls.CheckpointDir(folder)[-2:], strict=True):
        found = checkpoint.records["stability"]
        assert isinstance(found, Stability)
        assert (found.step, found.optimizer) == (saved.step, "Adam")
        alone = ls.stability(saved)
        for measure in ("lambda_max", "preconditioned_sharpness", "critical_sharpness", "directional_sharpness"):
            assert found[measure].value == pytest.approx(alone[measure].value, rel=0.03)
        assert read(checkpoint, "stability_ratio").value == pytest.approx(found["preconditioned_sharpness"].ratio)
        assert "batch_size=" in dict(zip(found.absent, found.reasons, strict=True))["batch_sharpness"]
    early, last = (checkpoint.records["stability"] for checkpoint in run.checkpoints)
    assert "generalized_sharpness" not in (*early.measures, *early.absent)
    assert "generalized_sharpness" in last.absent
    assert early.products < 40


def test_noise_and_shares_are_those_of_the_functions_at_each_checkpoint(analyzed):
    """The share by the dense Hessian, whose two largest eigenvectors are the top space."""
    folder, run = analyzed
    for checkpoint, saved in zip(run.checkpoints, ls.CheckpointDir(folder)[-2:], strict=True):
        objective = saved.objective(check=False)
        gradient = objective.gradient().double().numpy()
        top = np.linalg.eigh(ls.HessianOperator(objective).dense().double().numpy())[1][:, -2:]
        found = checkpoint.records
        share = np.sum((top.T @ gradient) ** 2) / np.sum(gradient**2)
        assert found["gradient_share"].value == pytest.approx(share, rel=0.01)
        update = ls.optimizer_update(objective, saved).vector
        share = np.sum((top.T @ update) ** 2) / np.sum(update**2)
        assert found["update_share"].value == pytest.approx(share, rel=0.02)
        alone = ls.gradient_noise_scale(objective)
        assert found["noise_scale"].value == pytest.approx(alone.value, rel=1e-4)
        assert 0 < read(checkpoint, "gradient_share").value <= 1


def written(folder, monkeypatch) -> set[str]:
    """Names of the records that an analysis of the last checkpoint writes."""
    names, write = set(), ResultStore.write

    def noting(store, run, step, name, *rest):
        names.add(name)
        return write(store, run, step, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(ResultStore, "write", noting)
        patch.setattr("landscape.analysis.pipeline.write_report", lambda results: None)
        ls.analyze(folder, ls.Plan(**{**PLAN.fields(), "last": 1}))
    return names


def test_what_rests_on_the_optimizer_is_measured_again_exactly_when_its_state_changes(tmp_path, monkeypatch):
    problem = ls.get_problem("mlp-digits", CONFIG)
    model = problem.make_model(0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    problem.mean_loss(model, problem.train).backward()
    optimizer.step()

    def save() -> set[str]:
        ls.save_checkpoint(tmp_path / "run", model, step=1, problem=problem, optimizer=optimizer)
        return written(tmp_path, monkeypatch)

    assert save() >= ALONG
    assert save() == set(), "the same state in another file"
    optimizer.param_groups[0]["lr"] = 2e-2
    assert save() == {"stability", "update_share"}
    next(iter(optimizer.state.values()))["exp_avg_sq"] *= 4
    assert save() == {"stability", "update_share"}
    assert save() == set()
    assert ls.load_results(tmp_path / "results.h5").runs[0].last.records["stability"].lr == 2e-2


def test_vectors_that_were_not_stored_are_made_again_for_the_shares(analyzed, monkeypatch):
    """As after an analysis by a version that did not measure them: the eigenpairs are there, without vectors."""
    folder, run = analyzed
    early = ls.CheckpointDir(folder)[-2]
    stored = run.checkpoints[0].records
    assert stored["eigenpairs"].vectors.shape[1] == 0
    context = CheckpointContext(early.objective(check=False), PLAN, False, checkpoint=early)
    context.found["eigenpairs"] = stored["eigenpairs"]
    made = []
    original = measures.estimators.top_eigenpairs
    monkeypatch.setattr(measures.estimators, "top_eigenpairs", lambda *a, **k: made.append(1) or original(*a, **k))
    for name in ("gradient_share", "update_share"):
        quantity = next(q for q in quantities(PLAN, is_last=False) if q.name == name)
        found = quantity.measure(context, lambda done, most: None)
        assert found.value == pytest.approx(stored[name].value, rel=0.02)
    assert len(made) == 1


def test_a_checkpoint_without_an_optimizer_has_what_needs_none(tmp_path):
    problem = ls.get_problem("mlp-digits", CONFIG)
    ls.save_checkpoint(tmp_path / "bare", problem.make_model(0), step=1, problem=problem)
    results = ls.load_results(ls.analyze(tmp_path, PLAN))
    assert set(results.runs[0].last.records) & ALONG == {"noise_scale", "gradient_share"}
    assert not results.info["skipped"]
