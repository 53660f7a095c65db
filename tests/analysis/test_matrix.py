"""An analysis forms the matrix of few parameters, and knows how many products it would take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.analysis import pipeline
from landscape.cli.app import exit_status
from landscape.operators.exact import exact_is_quick
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
    """460 parameters and 120 examples: the matrix is a matter of a second."""
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


def test_where_it_would_take_long_estimates_are_made_and_say_that_the_matrix_would_do(folder, monkeypatch):
    monkeypatch.setattr("landscape.analysis.context.exact_is_quick", lambda H: False)
    monkeypatch.setattr("landscape.analysis.context.exact_fits", lambda H, planned: False)
    ls.analyze(folder, replace(QUICK, accuracy=1e-3, max_matvecs=100))
    last = ls.load_results(folder)["sgd-s0"][-1]
    assert last.density.num_matvecs == pytest.approx(100, abs=10)
    assert last.not_reached["density"].endswith("about 550 products would do")  # 460, and its eigenvalues


def test_what_takes_seconds_is_counted_by_parameters_and_examples():
    def quick(width, count):
        with torch.random.fork_rng(devices=[]):
            model = torch.nn.Linear(width, 1, bias=False)
        data = torch.zeros(count, width), torch.zeros(count, 1)
        return exact_is_quick(ls.HessianOperator(ls.Objective(model, torch.nn.functional.mse_loss, data, check=False)))

    assert quick(1000, 1000)
    assert not quick(1000, 10_000)
    assert not quick(2000, 1000)
