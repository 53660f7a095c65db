"""An analysis forms the matrix where that takes fewer products than its estimates, and tells what it would take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import landscape as ls
from landscape.analysis import pipeline
from landscape.cli.app import exit_status
from tests.support.runs import SMALL, save_run

#: All pictures small, and whatever can be asked for an accuracy left to it.
QUICK = replace(
    SMALL, last=1, barriers=0, accuracy=0.2, tol=None, trace_probes=None, density_probes=None, steps=None, samples=None
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "write_report", lambda results: None)
    save_run(tmp_path / "sgd-s0", optimizer="sgd", seed=0)
    return tmp_path


def test_a_quick_plan_on_few_parameters_is_exact_and_nothing_is_left_open(folder):
    """460 parameters: the band of the density would take thousands of products, the matrix takes fewer than 600."""
    ls.analyze(folder, QUICK)
    results = ls.load_results(folder)
    last = results["sgd-s0"][-1]
    checkpoint = ls.load_checkpoint(folder / "sgd-s0" / "step_00000003.h5")
    truth = np.linalg.eigvalsh(ls.HessianOperator(checkpoint.objective()).dense().double().numpy())
    assert np.all(np.abs(last.eigenpairs.values - truth[[-1, -2, 1, 0]]) <= last.eigenpairs.bounds)
    assert abs(last.trace.value - truth.sum()) <= last.trace.bound <= 1e-4 * truth.sum()
    assert last.density.width <= 1e-6
    assert not last.not_reached
    assert exit_status(results) == 0


def test_where_fewer_products_are_allowed_it_says_that_the_matrix_would_do(folder):
    ls.analyze(folder, replace(QUICK, max_matvecs=100))
    last = ls.load_results(folder)["sgd-s0"][-1]
    assert last.not_reached["density"].endswith("about 550 products would do")  # 460, and its eigenvalues
    ls.analyze(folder, replace(QUICK, max_matvecs=550))
    assert not ls.load_results(folder)["sgd-s0"][-1].not_reached
