"""The numbers of the page are those of the tables and sentences, and no name in them can leave its place."""

from __future__ import annotations

import configparser
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from landscape import comparison
from landscape.report import assets
from landscape.report.answer import answer, question
from landscape.report.assets import SCRIPTS, script, vendor
from landscape.report.build import _matched
from landscape.report.caveats import caveats
from landscape.report.data import page_data, script_json
from landscape.report.data.runs import group_entries
from landscape.report.data.slices import most_points, plane_entry
from landscape.report.data.spectra import KERNEL, Axis, axis_of, counts_on
from landscape.report.living import is_living
from landscape.results import PlaneSlice, SpectralMeasure
from landscape.store import load_results
from landscape.store.catalogue import MEASURES, read
from tests.support.hostile import NAMES
from tests.support.synthetic_results import make_results


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return load_results(make_results(tmp_path_factory.mktemp("data") / "runs"), vectors=False)


@pytest.fixture(scope="module")
def data(results):
    return page_data(results, _matched(results))


def plane(side: int, loss) -> PlaneSlice:
    x = np.linspace(-1, 1, side)
    flat = np.zeros((2, 2))
    return PlaneSlice(x, x, loss(*np.meshgrid(x, x)), ("a", "b"), np.ones(2), flat, flat, flat)


def test_every_measure_of_every_checkpoint_is_the_number_of_the_tables(results, data):
    runs = {run["name"]: run for run in data["runs"]}
    for run in results.runs:
        entries = {c["step"]: c for c in runs[run.name]["checkpoints"]}
        assert set(entries) == set(run.steps)
        for checkpoint in run.checkpoints:
            values = entries[checkpoint.step]["values"]
            for key in MEASURES:
                reading = read(checkpoint, key)
                assert (reading is not None) == (key in values)
                if reading is not None:
                    assert values[key][0] == pytest.approx(reading.value, rel=1e-6)
                if reading is not None and reading.error:
                    assert values[key][1] == pytest.approx(reading.error, rel=1e-2)
                    assert ("!" in values[key][2]) != reading.converged


def test_what_did_not_converge_and_what_is_a_lower_bound_is_marked(data):
    last = {run["name"]: run["checkpoints"][-1]["values"] for run in data["runs"]}
    assert last["sgd-s1"]["sharpness_worst"][2] == "l!"
    assert last["adam-s0"]["sharpness_worst"][2] == "l"
    assert last["adam-s0"]["trace"][2] == "s"
    assert last["adam-s0"]["lambda_max"][2] == "b"


def test_intervals_are_those_of_the_comparison(results, data):
    frame = comparison.compare(results, by="label")
    ends = next(block for block in data["intervals"] if block["place"] == "ends")
    _, body = comparison.cells(frame)
    texts = {measure: dict(zip(("adam", "momentum", "sgd"), cells, strict=True)) for measure, cells in body}
    assert {"lambda_max", "trace", "test_accuracy"} <= set(ends["measures"])
    for measure, found in ends["measures"].items():
        for group, (value, low, high, text) in found["groups"].items():
            row = frame[(frame["measure"] == measure) & (frame["group"] == group)].iloc[0]
            centre = comparison.centre_of(row)
            assert text == texts[measure][group]
            assert [value, low, high] == pytest.approx([centre.value, centre.low, centre.high], rel=1e-6)


def test_the_answer_names_the_group_of_lowest_centre_and_says_whether_its_interval_settles_it(tmp_path):
    results = load_results(make_results(tmp_path / "r", optimizers=("adam", "sgd"), steps=(5,)))
    for spread, said in ((1e-3, "do not overlap"), (0.9, "overlap: other seeds")):
        factors = {"adam-s0": 10, "adam-s1": 10 * (1 + spread), "sgd-s0": 1, "sgd-s1": 1 + spread}
        runs = []
        for run in results.runs:
            eigs = run.last.records["eigenpairs"]
            eigs = replace(eigs, values=factors[run.name] * eigs.values / eigs.values[0])
            last = replace(run.last, records={"eigenpairs": eigs}, metrics={"train_loss": 0.1})
            runs.append(replace(run, checkpoints=(last,)))
        made = replace(results, runs=tuple(runs))
        first, rest = answer(made, _matched(made))
        assert first == "sgd, at a training loss of 0.1."
        assert said in rest
        assert question(made).startswith("Which optimizer ended")


def test_ends_of_unequal_loss_are_not_ranked(results):
    said, why = answer(results, _matched(results))
    assert said.startswith("These runs do not say: they stopped at training losses that differ")
    assert "Curvature follows the loss" in why


def test_the_density_counts_every_parameter(results, data):
    for run in results.runs:
        entry = next(r for r in data["runs"] if r["name"] == run.name)["checkpoints"][-1]["density"]
        axis = data["axis"]
        step = (axis["high"] - axis["low"]) / (len(entry["counts"]) - 1)
        assert sum(entry["counts"]) * step == pytest.approx(run.info["num_parameters"], rel=5e-3)


def test_one_eigenvalue_of_known_place_is_one_bump_there():
    measure = SpectralMeasure(np.array([[-2.0, 3.0]]), np.array([[0.25, 0.75]]), 4, 0, 0)
    axis = axis_of([measure])
    counts = counts_on(axis, measure)
    highest = axis.turn * np.sinh(axis.grid[counts.argmax()])
    assert highest == pytest.approx(3.0, rel=0.1)
    assert counts.max() == pytest.approx(3 / (KERNEL * np.sqrt(2 * np.pi)), rel=0.02)
    assert counts[axis.grid < 0].sum() / counts.sum() == pytest.approx(0.25, rel=1e-3)
    assert axis_of([]) is None
    assert isinstance(axis, Axis)


@pytest.mark.parametrize(
    ("side", "most", "kept", "read_between"),
    [(15, 41, 15, False), (21, 41, 21, False), (81, 41, 41, False), (51, 41, 26, False), (60, 25, 25, True)],
)
def test_a_plane_is_thinned_to_measured_points_or_says_that_it_is_read_between(side, most, kept, read_between):
    found = plane_entry(plane(side, lambda x, y: 3 + 2 * x - y), most)
    assert (found["columns"], found["rows"]) == (kept, kept)
    assert found["read"] is read_between
    at = np.linspace(-1, 1, kept)
    x, y = np.meshgrid(at, at)
    assert np.array(found["loss"]).reshape(kept, kept) == pytest.approx(3 + 2 * x - y, rel=1e-3)
    assert found["measured"] == [side, side]


def test_a_point_that_is_not_finite_is_a_gap_and_a_plane_of_them_is_none():
    there = plane_entry(plane(5, lambda x, y: np.where(x + y > 1.9, np.inf, 1 + x)), 41)
    assert [i for i, value in enumerate(there["loss"]) if value is None] == [24]
    assert plane_entry(plane(5, lambda x, y: np.full_like(x, np.nan)), 41) is None
    assert most_points(6) > most_points(100) > most_points(1000)


def test_lines_between_runs_have_their_barriers(results, data):
    for pair, found in zip(results.pairs, data["pairs"], strict=True):
        assert data["runs"][found["a"]]["name"] == pair.run_a
        assert data["runs"][found["b"]]["name"] == pair.run_b
        assert found["values"]["barrier"][0] == pytest.approx(pair.record.barrier, rel=1e-4)
        assert found["values"]["distance"] == [pytest.approx(pair.record.step_norm, rel=1e-4)]


def test_no_two_groups_have_the_same_colour_and_mark(tmp_path):
    arms = tuple(f"arm{chr(97 + i)}" for i in range(20))
    results = load_results(make_results(tmp_path / "r", optimizers=arms, seeds=(0,), steps=(5,), vectors=False))
    looks = [(group["color"], group["mark"]) for group in group_entries(results.runs)]
    assert len(set(looks)) == len(arms)


def test_no_name_leaves_the_json(tmp_path):
    results = load_results(make_results(tmp_path / "r", optimizers=NAMES[:6], seeds=(0,), steps=(5,), vectors=False))
    runs = tuple(replace(run, name=f"</script><!--{run.name}\u2028") for run in results.runs)
    hostile = replace(results, runs=runs, pairs=())
    text = str(script_json(page_data(hostile, _matched(hostile))))
    assert not set("<>&\u2028\u2029") & set(text)
    names = [run["name"] for run in json.loads(text)["runs"]]
    assert all(name.startswith("</script><!--") for name in names)
    assert len(set(names)) == 6


def test_no_script_of_ours_ends_its_element_or_makes_markup_of_a_text():
    ours = str(script())
    assert "</script" not in ours
    assert "</script" not in str(vendor())
    assert not re.search(r"insertAdjacentHTML|document\.write|\beval\(|\bfetch\(|XMLHttpRequest", ours)
    assert "innerHTML" not in ours
    assert len(SCRIPTS) == len(set(SCRIPTS))


def test_every_file_that_a_page_reads_is_in_the_package():
    """Of what ``_read`` opens, nothing is left out by the patterns of the package."""
    setup, here = configparser.ConfigParser(), Path(assets.__file__).parent
    setup.read(here.parents[1] / "setup.cfg")
    patterns = [part.strip() for part in setup["options.package_data"]["landscape.report"].split(",")]
    packaged = {path for pattern in patterns for path in here.glob(pattern)}
    scripts = {here / "page" / f"{name}.js" for name in assets.SCRIPTS}
    assert {here / "page" / f"{name}.css" for name in assets.STYLES} <= packaged
    assert scripts == set((here / "page").glob("*.js")) <= packaged
    assert {here / "bundle" / name for name in ("vendor.min.js", "licences.txt", "package-lock.json")} <= packaged


def test_each_library_of_the_bundle_is_pinned_and_has_its_licence():
    bundle = Path(assets.__file__).parent / "bundle"
    locked = json.loads((bundle / "package-lock.json").read_text())["packages"]
    licences = (bundle / "licences.txt").read_text()
    wanted = json.loads((bundle / "package.json").read_text())["dependencies"]
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    for path, found in locked.items():
        if path and not found.get("dev"):
            assert f"== {path.removeprefix('node_modules/')} {found['version']} ({found['license']})" in licences


def test_a_figure_is_left_to_the_page_only_where_the_page_can_draw_it(data):
    assert is_living("surface", data)
    assert is_living("spectrum_adam", data)
    assert not is_living("class_accuracy", data)
    assert not is_living("stability", data)  # these results hold no threshold
    edge = {"checkpoints": [{"edge": {}}]}
    assert not is_living("stability", {"runs": [edge]})  # a curve against the step needs two
    assert is_living("stability", {"runs": [{"checkpoints": [*edge["checkpoints"], *edge["checkpoints"]]}]})
    assert not is_living("surface", {"runs": [{"checkpoints": [{}]}]})


def test_what_the_page_does_not_say_follows_from_what_is_there(results):
    said = dict(caveats(results))
    assert "Few seeds." in said
    assert "2 seeds" in said["Few seeds."]
    assert "Lower bounds." in said
    run = replace(results.runs[0], checkpoints=(replace(results.runs[0].last, records={}, metrics={}),))
    assert set(dict(caveats(replace(results, runs=(run,), pairs=())))) == {"Nothing about generalization."}
