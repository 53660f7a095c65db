"""A record is measured again exactly when a field of the plan that its measurement reads has changed."""

from __future__ import annotations

import shutil
from collections import defaultdict
from types import MethodType

import pytest

import landscape as ls
from landscape.analysis import measuring, pipeline
from landscape.store import ResultStore
from tests.support.runs import CONFIG, SMALL, make_runs

pytestmark = pytest.mark.slow

BASE = ls.Plan(**{**SMALL.fields(), "plan": "standard", "subsets": 2, "barriers": 1, "along": True})
#: Another value of each field that some measurement, but not the question itself, may depend on.
OTHER = {
    "last": 1, "eigs": 3, "trace_probes": 6, "density_probes": 3, "steps": 7, "points": 7, "plane_points": 7,
    "directions": 2, "samples": 3, "restarts": 2, "subsets": 3, "barriers": 0, "tol": 1e-4, "max_matvecs": 400,
    "workers": 2, "threads": 1, "chunk": 50, "check": False, "batch_statistics": "recompute", "device": "cpu",
    "seed": 1, "levels": 0, "planes": "random,eigen,pca", "pairs": "adam-s0:sgd-s0",
    "route": "fresh", "along": False, "every": 1,
}  # fmt: skip
#: These ask something else, of which every answer is new.
ANOTHER_QUESTION = {
    "examples": 100, "dtype": "float64", "params": "*.weight", "mode": "train",
    "problem_config": {**CONFIG, "activation": "relu"},
}  # fmt: skip
#: In records of the whole run, or of no record: names of what is measured, folders, where code is found; at which
#: checkpoints there are which records; and how accurate it is to be, and how long it may take, where what is there may
#: serve (test_accuracy.py, test_time.py).
NO_SETTING = {"plan", "data", "problem", "interacting", "accuracy", "time"}
PAIR = "interpolation"
#: What is measured by a setting that is handed to it, and so is not seen to read it.
HANDED = {"trace_probes": "sharpness_relative_flatness"}


class Watched:
    """Stands for an object and notes what is read of it, also by its own methods and properties."""

    def __init__(self, of, read):
        self._of, self._read = of, read

    def __getattr__(self, name):
        of_class = getattr(type(self._of), name, None)
        if isinstance(of_class, property):
            return of_class.fget(self)
        if callable(of_class):
            return MethodType(of_class, self)
        self._read.add(name)
        return getattr(self._of, name)


class WatchedRecords(dict):
    """The records found so far, and which of them a measurement uses."""

    def __init__(self, of, used):
        super().__init__(of)
        self._used = used

    def __getitem__(self, name):
        self._used.add(name)
        return super().__getitem__(name)


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory):
    """A folder analysed by the base plan, and per record the fields that its measurement read, itself or by others."""
    folder = make_runs(tmp_path_factory.mktemp("runs"))
    for name in ("adam-s1", "sgd-s1"):
        shutil.rmtree(folder / name)
    read, used = defaultdict(set), defaultdict(set)
    original = measuring.measure

    def watching(store, run, step, quantity, key, bench, clock):
        plan, found = bench.plan, bench.found
        name = (run, step, quantity.name)
        bench.plan, bench.found = Watched(plan, read[name]), WatchedRecords(found, used[name])
        try:
            return original(store, run, step, quantity, key, bench, clock)
        finally:
            bench.plan, bench.found = plan, found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "measure", watching)
        patch.setattr(pipeline, "write_report", lambda results: None)
        ls.analyze(folder, BASE)
    for name in read:  # in the order of measuring, so what it uses is complete
        for other in used[name]:
            read[name] |= read[(*name[:2], other)]
    return folder, read


def measured_with(folder, tmp_path, monkeypatch, **changed):
    """Addresses of the records that an analysis by the changed plan writes."""
    written = set()
    write, write_pair = ResultStore.write, ResultStore.write_pair

    def noting(store, run, step, name, *rest):
        written.add((run, step, name))
        return write(store, run, step, name, *rest)

    def noting_pair(store, *rest):
        written.add(PAIR)
        return write_pair(store, *rest)

    monkeypatch.setattr(ResultStore, "write", noting)
    monkeypatch.setattr(ResultStore, "write_pair", noting_pair)
    monkeypatch.setattr(pipeline, "write_report", lambda results: None)
    copy = shutil.copytree(folder, tmp_path / "copy")
    ls.analyze(copy, ls.Plan(**{**BASE.fields(), **changed}))
    return written


def test_every_field_of_the_plan_is_tried_here():
    assert {*OTHER, *ANOTHER_QUESTION, *NO_SETTING} == set(BASE.fields())


def test_measurements_were_watched(analyzed):
    _, read = analyzed
    of_last = {name: fields for (run, step, name), fields in read.items() if (run, step) == ("sgd-s0", 3)}
    assert of_last["trace"] >= {"trace_probes", "seed", "tol", "max_matvecs", "eigs"}
    assert of_last["point"] == set()


@pytest.mark.parametrize("field", OTHER)
def test_exactly_what_reads_a_field_is_measured_again_when_it_changes(field, analyzed, tmp_path, monkeypatch):
    folder, read = analyzed
    concerned = {name for name, fields in read.items() if field in fields or name[2] == HANDED.get(field)}
    if field in ("points", "batch_statistics"):
        concerned.add(PAIR)
    written = measured_with(folder, tmp_path, monkeypatch, **{field: OTHER[field]})
    assert written & {*read, PAIR} == concerned
    new = {name for _, _, name in written - {*read, PAIR}}
    allowed = {
        "eigs": {"line_eigenvector_2"}, "directions": {"line_random_1"}, "planes": {"plane_eigen", "plane_pca"},
    }  # fmt: skip
    assert new <= allowed.get(field, set())


@pytest.mark.parametrize("field", ANOTHER_QUESTION)
def test_another_question_has_no_old_answers(field, analyzed, tmp_path, monkeypatch):
    folder, read = analyzed
    written = measured_with(folder, tmp_path, monkeypatch, **{field: ANOTHER_QUESTION[field]})
    without_lines = {PAIR} if field == "params" else set()
    assert written == {*read, PAIR} - without_lines
