"""Planes of eigenvectors and of a run's own path in an analysis: measured, stored, drawn, measured again when due."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.analysis import measuring
from landscape.errors import UsageError
from landscape.results import PathSlice, PlaneSlice
from tests.support.runs import SMALL, make_runs

PLAN = replace(SMALL, planes="random,eigen,pca", barriers=0)


def measured_in(monkeypatch, folder, plan=PLAN):
    seen, original = [], measuring.measure
    monkeypatch.setattr(measuring, "measure", lambda *args: seen.append(args[3].name) or original(*args))
    ls.analyze(folder, plan)
    monkeypatch.setattr(measuring, "measure", original)
    return seen


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory):
    folder = make_runs(tmp_path_factory.mktemp("planes") / "runs")
    for name in ("adam-s1", "sgd-s0", "sgd-s1"):
        shutil.rmtree(folder / name)
    ls.analyze(folder, PLAN)
    return folder


def test_named_plans_draw_them_but_for_the_quick_one():
    assert ls.Plan("quick").planes == "random"
    assert ls.Plan("standard").planes == ls.Plan("thorough").planes == "random,eigen,pca"
    assert ls.Plan(planes="pca, random").planes == "random,pca"
    assert ls.Plan(planes="").planes == ""
    with pytest.raises(UsageError, match="planes='eigen,tangent': 'tangent' is not one of random, eigen, pca"):
        ls.Plan(planes="eigen,tangent")


@pytest.mark.slow
def test_the_plane_of_eigenvectors_has_their_curvatures_and_that_of_the_path_its_losses(analyzed):
    run = ls.load_results(analyzed)["adam-s0"]
    eigen, path = run[-1].plane_eigen, run[-1].plane_pca
    assert isinstance(eigen, PlaneSlice)
    assert isinstance(path, PathSlice)
    assert eigen.curvature.diagonal() == pytest.approx(run[-1].eigenpairs.values[:2], rel=0.05)
    checkpoints = ls.CheckpointDir(analyzed / "adam-s0")[-2:]
    assert path.losses == pytest.approx([c.objective().loss() for c in checkpoints], rel=1e-6)
    for name in ("plane_eigen", "plane_pca"):
        assert (analyzed / "figures" / f"{name}.png").stat().st_size > 5000
        assert name in (analyzed / "report.html").read_text()


@pytest.mark.slow
def test_they_are_measured_again_exactly_when_what_they_are_of_has_changed(analyzed, tmp_path, monkeypatch):
    folder = shutil.copytree(analyzed, tmp_path / "runs")
    assert measured_in(monkeypatch, folder) == []
    assert set(measured_in(monkeypatch, folder, replace(PLAN, planes="random"))) == set()
    assert set(measured_in(monkeypatch, folder, replace(PLAN, plane_points=7))) == {"plane", "plane_eigen", "plane_pca"}
    checkpoint = ls.CheckpointDir(folder / "adam-s0")[-2]
    model = checkpoint.model()
    with torch.no_grad():
        next(model.parameters()).add_(0.01)
    ls.save_checkpoint(folder / "adam-s0", model, step=checkpoint.step, problem=checkpoint.find_problem(),
                       config=checkpoint.config)  # fmt: skip
    again = measured_in(monkeypatch, folder, replace(PLAN, plane_points=7))
    assert "plane_pca" in again
    assert not {"plane", "plane_eigen"} & set(again)


@pytest.mark.slow
def test_one_checkpoint_has_no_path_and_is_no_error(analyzed, tmp_path):
    folder = shutil.copytree(analyzed / "adam-s0", tmp_path / "adam-s0")
    ls.analyze(folder, replace(PLAN, last=1, levels=0))
    results = ls.load_results(folder)
    assert "plane_eigen" in results.runs[0][-1]
    assert "plane_pca" not in results.runs[0][-1]
    assert not results.info.get("skipped")
    assert np.isfinite(results.runs[0][-1].plane_eigen.loss).all()
