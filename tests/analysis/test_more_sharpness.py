"""Sharpness of no ball in an analysis: measured by all but a quick plan, where the problem has what it is of."""

from __future__ import annotations

import pytest

import landscape as ls
from landscape.analysis.plan import Plan
from landscape.analysis.quantities import quantities
from landscape.report.methods import methods
from landscape.store import rows
from tests.support.runs import SMALL, save_run

MEASURES = ("relative_flatness", "fisher_rao", "flatness_radius", "flatness_radius_magnitude")
NAMES = {f"sharpness_{measure}" for measure in MEASURES}
#: As small as the other, but not quick.
STANDARD = Plan(**{**SMALL.fields(), "plan": "standard", "last": 1, "subsets": 0})


@pytest.mark.parametrize(("plan", "there"), [("quick", set()), ("standard", NAMES), ("thorough", NAMES)])
def test_which_plans_measure_them_and_where(plan, there):
    last = {quantity.name for quantity in quantities(Plan(plan), is_last=True)}
    around = {quantity.name for quantity in quantities(Plan(plan), is_last=False, is_around=True)}
    assert last & NAMES == there
    assert not around & NAMES


@pytest.mark.slow
def test_an_analysis_has_what_a_person_would_measure_and_the_report_says_what_it_is(tmp_path):
    save_run(tmp_path / "sgd-s0", optimizer="sgd", seed=0)
    results = ls.load_results(ls.analyze(tmp_path, STANDARD))
    objective = ls.CheckpointDir(tmp_path / "sgd-s0")[-1].objective()
    (row,) = rows(results)
    for measure in MEASURES:
        name = f"sharpness_{measure}"
        record = results.runs[0].last.records[name]
        options = {"relative_flatness": {"num_probes": SMALL.trace_probes}, "fisher_rao": {}}
        found = ls.sharpness(objective, measure=measure, **options.get(measure, {"num_probes": 2}))
        assert record.value == pytest.approx(found.value, rel=1e-4)
        assert row[name] == record.value
        assert measure == "fisher_rao" or row[f"{name}_sem"] == pytest.approx(found.error, rel=1e-3)
    text = methods(results)[0]
    assert "relative flatness of the last layer" in text
    assert "Invariant to rescaling of the layers" in text
    assert any("Petzka" in paper for paper in methods(results)[1])
