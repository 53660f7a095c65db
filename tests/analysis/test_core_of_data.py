"""Eigenpairs of a last checkpoint begin on the part of the data that bends, and say what that has cost."""

from __future__ import annotations

import math

import numpy as np
import pytest

import landscape as ls
from landscape.analysis.context import CheckpointContext
from landscape.analysis.costs import Cost
from landscape.analysis.quantities import quantities
from landscape.analysis.recording import cost_of
from tests.support.classified import classified
from tests.support.eigenproblems import exact, true_residuals

PLAN = ls.Plan("quick")


def measure(name, context):
    """One quantity of the plan, kept for those that rest on it."""
    todo = {q.name: q for q in quantities(context.plan, is_last=context.is_last)}
    context.found[name] = todo[name].measure(context, lambda *_: None)
    return context.found[name]


@pytest.fixture(scope="module")
def objective():
    return classified("end", N=900, width=16)


@pytest.fixture
def last(objective, monkeypatch):
    monkeypatch.setattr("landscape.analysis.context.exact_is_quick", lambda H: False)
    return CheckpointContext(objective, PLAN, is_last=True, route="retained")


def test_the_pairs_are_those_of_the_dense_hessian_and_take_three_fifths_of_a_fresh_start(last):
    eigs = measure("eigenpairs", last)
    assert eigs.method == "core"
    assert (np.abs(eigs.values - exact(last.hessian, PLAN.eigs, "both")) <= eigs.bounds + 1e-9).all()
    allowed = np.where(eigs.values > 0, PLAN.residual, PLAN.residual_of_negative) * np.abs(eigs.values)
    assert (true_residuals(last.hessian, eigs) <= allowed * (1 + 1e-6)).all()
    assert eigs.upper_bound[0] >= exact(last.hessian, 1, "largest")[0]
    fresh = ls.top_eigenpairs(
        last.hessian, PLAN.eigs, which="both", tol=PLAN.residual, negative_tol=PLAN.residual_of_negative
    )
    assert eigs.products <= 0.6 * fresh.num_matvecs


def test_the_record_says_what_was_multiplied_on_all_data_and_on_the_part(last):
    eigs = measure("eigenpairs", last)
    assert cost_of(eigs) == Cost(matvecs=eigs.num_matvecs + eigs.core_products)
    assert eigs.core_products > 0
    again = measure("eigenpairs", CheckpointContext(last.objective, PLAN, is_last=True, route="retained"))
    np.testing.assert_array_equal(again.values, eigs.values)
    assert again.products == eigs.products


def test_earlier_checkpoints_begin_from_vectors_and_draw_no_part(last, objective):
    guess = measure("eigenpairs", last).vectors[:, :2]
    earlier = CheckpointContext(objective, PLAN, is_last=False, guess=guess, route="retained", last=last)
    eigs = measure("eigenpairs", earlier)
    assert math.isnan(eigs.products)
    assert cost_of(eigs) == Cost(matvecs=eigs.num_matvecs)
    assert (np.abs(eigs.values - exact(earlier.hessian, 2, "largest")) <= eigs.bounds + 1e-9).all()


def test_the_gain_ends_where_it_is_settled_and_holds_what_all_the_steps_give(last):
    eigs, found = measure("eigenpairs", last), measure("second_order_gain", last)
    every = ls.second_order_gain(last.hessian, last.objective.gradient(), eigs=eigs)
    assert found.num_matvecs < found.num_steps == every.num_steps == 20
    reach = found.over_descent_bound + every.over_descent_bound
    assert (np.abs(found.over_descent - every.over_descent) <= reach * (1 + 1e-6)).all()
    assert (found.over_descent_bound <= PLAN.residual * found.over_descent).all()
