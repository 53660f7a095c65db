"""The catalogue of measures: one entry makes a measure appear everywhere, and every place reads it."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from landscape import results
from landscape.store import catalogue
from landscape.store.catalogue import COUNTERPARTS, MEASURES
from tests.support.runs import make_runs

PACKAGE = Path(__file__).parents[2] / "landscape"
PLACES = {name: getattr(catalogue, name) for name in vars(catalogue) if name.startswith("IN_")}

#: The recipe of CONTRIBUTING.md: file, the line after which something is added, what is added.
RECIPE = (
    (
        "geometry/sharpness/definitions.py",
        '    "average": Definition(_MODERN, {2: 0.05}, ("num_probes",)),\n',
        '    "near": Definition("this test", {2: 0.01}, ("num_probes",)),\n',
    ),
    ("geometry/sharpness/definitions.py", 'SAMPLES = {"trace": 32, ', '"near": 16, '),
    (
        "store/catalogue.py",
        "_LATER = (\n",
        '    _sharpness("near", "near sharpness", "Sharpness, near", bound=False),\n',
    ),
    *(
        ("store/catalogue.py", opening, '"sharpness_near", ')
        for opening in ("IN_SUMMARY = (", "IN_MEANS = (", "IN_CONTRASTS = (", "IN_HEADLINE = (", "IN_RANKS = (")
    ),
)

ANALYZE = """
import io, sys
import landscape as ls
from rich.console import Console
from landscape import comparison
from tests.support.runs import SMALL

results = ls.analyze(sys.argv[1], SMALL)
frame = comparison.compare(results, by="label")
console = Console(file=sys.stdout, width=80)
console.print(comparison.comparison_table(frame))
console.print(comparison.contrast_table(comparison.contrasts(results, by="label")))
print(comparison.ranks(results)["measure"].to_list())
"""


def test_every_place_shows_measures_that_there_are():
    for name, keys in PLACES.items():
        assert set(keys) <= set(MEASURES), name
        assert len(set(keys)) == len(keys), name
    assert {key for pair in COUNTERPARTS for key in pair} <= set(MEASURES)
    assert all(MEASURES[raw].is_flatness and not MEASURES[raw].is_invariant_to_layers for raw, _ in COUNTERPARTS)
    assert all(MEASURES[invariant].is_invariant_to_layers for _, invariant in COUNTERPARTS)
    assert all(MEASURES[key].heading and (MEASURES[key].tex_heading or MEASURES[key].tex) for key in catalogue.IN_TABLE)
    assert all(MEASURES[key].tex for key in catalogue.IN_PAPER)


def test_only_measures_of_flatness_say_to_what_they_are_invariant_and_the_logits_imply_the_layers():
    for key, measure in MEASURES.items():
        assert measure.is_flatness or not (measure.is_invariant_to_layers or measure.is_invariant_to_logits), key
        assert measure.is_invariant_to_layers or not measure.is_invariant_to_logits, key
    assert set(catalogue.flatness(invariant_to_logits=True)) < set(catalogue.flatness(invariant_to_layers=True))
    assert {"lambda_max", "trace", "sharpness_keskar"} < set(catalogue.flatness())


def test_no_two_measures_share_a_column_or_a_name():
    columns = [column for measure in MEASURES.values() for column in measure.columns]
    assert len(set(columns)) == len(columns)
    assert len({measure.words for measure in MEASURES.values()}) == len(MEASURES)


def test_a_gain_over_one_step_of_an_older_version_is_not_read_as_one_at_equal_cost():
    old, new = results.Estimate(31.0, bound=0.1), results.SecondOrderGain(1.3, bound=0.1, num_steps=20)
    reading = catalogue.MEASURES["second_order_gain"].read
    assert reading(SimpleNamespace(records={"second_order_gain": old})) is None
    assert reading(SimpleNamespace(records={"second_order_gain": new})).value == 1.3


@pytest.fixture(scope="module")
def with_one_more(tmp_path_factory):
    """A copy of the package in which the recipe was carried out, and runs analysed by it."""
    home = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, home / "landscape", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE.parent / "tests", home / "tests", ignore=shutil.ignore_patterns("__pycache__", "campaigns"))
    for name, place, more in RECIPE:
        file = home / "landscape" / name
        text = file.read_text()
        assert text.count(place) == 1, f"{name} has {place!r} {text.count(place)} times"
        file.write_text(text.replace(place, place + more))
    runs = make_runs(home / "runs")
    done = subprocess.run(
        [sys.executable, "-c", ANALYZE, str(runs)], capture_output=True, text=True, cwd=home,
        env={**os.environ, "PYTHONPATH": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return runs, done.stdout


def test_a_new_measure_of_sharpness_takes_two_files_and_nine_lines():
    assert {name for name, _, _ in RECIPE} == {"geometry/sharpness/definitions.py", "store/catalogue.py"}
    assert len(RECIPE) <= 9


@pytest.mark.slow
def test_a_new_measure_is_found_in_rows_comparison_differences_ranks_report_and_figures(with_one_more):
    runs, printed = with_one_more
    with (runs / "tables" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["sharpness_near"]) < float(row["sharpness_average"]) for row in rows if row["sharpness_near"])
    assert sum(bool(row["sharpness_near"]) for row in rows) == 4
    assert printed.count("near sharpness") == 2  # means and differences, for people
    assert printed.count("sharpness_near") == 2  # ranks with loss and with accuracy, for programs
    assert "sharpness_near" in (runs / "tables" / "comparison.csv").read_text()
    report = (runs / "report.html").read_text()
    assert "sharpness near" in report
