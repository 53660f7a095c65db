"""Stability in an analysis: measured at the last checkpoint, where its optimizer is stored."""

from __future__ import annotations

import pytest

import landscape as ls
from landscape.results import Stability
from landscape.store.catalogue import read
from tests.support.runs import CONFIG, SMALL, save_run

pytestmark = pytest.mark.slow

PLAN = ls.Plan(**{**SMALL.fields(), "plan": "standard"})


def test_it_stands_at_the_last_checkpoint_with_the_numbers_of_the_function(tmp_path):
    save_run(tmp_path / "adam-s0", optimizer="adam", seed=0)
    run = ls.load_results(ls.analyze(tmp_path, PLAN)).runs[0]
    found = run.last.records["stability"]
    assert isinstance(found, Stability)
    assert (found.step, found.optimizer) == (3, "Adam")
    assert [("stability" in checkpoint.records) for checkpoint in run.checkpoints] == [False, True]
    alone = ls.stability(ls.CheckpointDir(tmp_path / "adam-s0")[-1])
    assert found["preconditioned_sharpness"].value == pytest.approx(alone["preconditioned_sharpness"].value, rel=0.03)
    assert found["critical_sharpness"].value == pytest.approx(alone["critical_sharpness"].value, rel=0.03)
    assert read(run.last, "stability_ratio").value == pytest.approx(found["preconditioned_sharpness"].ratio)
    assert "batch_size=" in dict(zip(found.absent, found.reasons, strict=True))["batch_sharpness"]


def test_a_checkpoint_without_an_optimizer_is_analyzed_as_before(tmp_path):
    problem = ls.get_problem("mlp-digits", CONFIG)
    ls.save_checkpoint(tmp_path / "bare", problem.make_model(0), step=1, problem=problem)
    results = ls.load_results(ls.analyze(tmp_path, PLAN))
    assert "stability" not in results.runs[0].last.records
    assert not results.info["skipped"]
