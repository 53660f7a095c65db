"""The table of stability in rows: of the measures that decide, the one that the optimizer has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from landscape.store.catalogue import read
from landscape.store.rows import rows
from tests.support.record_examples import examples
from tests.support.tables import one_run

FOUND = examples()["Stability"]


def test_each_measure_has_a_column_and_the_decisive_one_its_ratio(tmp_path):
    (row,) = rows(one_run(tmp_path, {"stability": FOUND}))
    assert row["stability_ratio"] == pytest.approx(36_500 / 38_000)
    assert (row["critical_sharpness"], row["batch_sharpness"]) == (1850.0, 2100.0)
    assert row["directional_sharpness"] is None  # it did not apply


def test_errors_are_of_their_kind(tmp_path):
    run = one_run(tmp_path, {"stability": FOUND}).runs[0].last
    assert read(run, "stability_ratio").error == pytest.approx(120 / 38_000)
    assert read(run, "batch_sharpness").error == 60.0
    assert read(run, "batch_sharpness").high - 2100.0 == pytest.approx(
        2.1314 * 60, rel=1e-3
    )  # Student's t, 15 degrees of freedom


def test_a_lower_bound_stays_one_and_without_any_threshold_there_is_no_ratio(tmp_path):
    only = replace(
        FOUND, measures=FOUND.measures[2:3], values=FOUND.values[2:3], errors=FOUND.errors[2:3], kinds=FOUND.kinds[2:3],
        thresholds=FOUND.thresholds[2:3], rules=FOUND.rules[2:3], converged=np.array([True]),
    )  # fmt: skip
    run = one_run(tmp_path / "bound", {"stability": only}).runs[0].last
    assert str(read(run, "stability_ratio")).startswith("≥ 0.57")
    none = replace(only, thresholds=np.array([np.nan]))
    (row,) = rows(one_run(tmp_path / "none", {"stability": none}))
    assert row["stability_ratio"] is None
