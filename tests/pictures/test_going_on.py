"""A picture that was broken off goes on where it was."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import landscape as ls
from landscape.errors import UsageError
from landscape.files import ledger
from landscape.objective.functional import Parts
from landscape.store import ResultStore
from tests.support.runs import make_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_runs(tmp_path_factory.mktemp("draw") / "runs")


@pytest.fixture
def losses(monkeypatch):
    """Losses of chunks, one by one, as they are evaluated."""
    seen, value = [], Parts.value
    monkeypatch.setattr(Parts, "value", lambda self, *args: seen.append(args) or value(self, *args))
    monkeypatch.setattr(ledger, "EVERY", 0.0)
    return seen


def equal(one, two) -> None:
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name), err_msg=field.name)


@pytest.mark.parametrize(
    ("plane", "on"), [("random", "both"), ("eigen", "train"), pytest.param("pca", "train", marks=pytest.mark.slow)]
)
def test_a_picture_that_was_broken_off_ends_identical(plane, on, runs, losses, tmp_path):
    of = runs if plane == "pca" else runs / "adam-s0"
    how = {"plane": plane, "on": on, "points": 9, "tol": "5%", "metric": "accuracy"}
    (whole,) = ls.draw(of, out=tmp_path / "whole", **how)
    calls = len(losses)

    def interrupt(title: str, done: int, most: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    losses.clear()
    with pytest.raises(KeyboardInterrupt):
        ls.draw(of, out=tmp_path / "out", progress=interrupt, **how)
    assert list((tmp_path / "out").glob("results.h5.parts/*.unfinished/*.points"))
    losses.clear()
    (found,) = ls.draw(of, out=tmp_path / "out", **how)
    assert len(losses) <= calls - 20
    if plane != "eigen":  # where products are made in the way that was fastest just then, and rounds as it does
        equal(found.record, whole.record)
    assert not (tmp_path / "out" / "results.h5.parts").exists()


def test_an_eigenvector_that_was_computed_is_kept(runs, tmp_path, monkeypatch):
    first = ls.draw(runs / "adam-s0", plane="eigen", points=5, tol="5%", out=tmp_path)[0].record
    monkeypatch.setattr("landscape.pictures.eigenvectors.top_eigenpairs", None)
    second = ls.draw(runs / "adam-s0", plane="eigen", points=7, tol="5%", out=tmp_path)[0].record
    np.testing.assert_array_equal(second.curvature, first.curvature)


def test_a_folder_of_an_unfinished_record_goes_when_it_is_written(tmp_path):
    with ResultStore(tmp_path) as store:
        folder, other = (store.unfinished("a", 3, name) for name in ("trace", "plane"))
        for one in (folder, other):
            one.mkdir(parents=True)
            (one / "x.points").write_text("")
        store.write("a", 3, "trace", ls.results.Estimate(1.0), {"key": {}})
        store.consolidate()
        assert (folder.exists(), other.exists()) == (False, True)
        assert store.unfinished_pair("a", "b") != folder


@pytest.mark.slow
def test_two_processes_draw_the_same_picture(runs, tmp_path):
    how = {"points": 7, "tol": "5%", "on": "both", "metric": "accuracy"}
    (here,) = ls.draw(runs / "sgd-s0", out=tmp_path / "here", **how)
    (there,) = ls.draw(runs / "sgd-s0", out=tmp_path / "there", workers=2, **how)
    equal(there.record, here.record)


def test_workers_are_a_number_or_an_executor(runs, tmp_path):
    with pytest.raises(UsageError, match="workers=0 must be a whole number of at least 1"):
        ls.draw(runs / "adam-s0", out=tmp_path, workers=0)
    with pytest.raises(UsageError, match="give one of the two"):
        ls.draw(runs / "adam-s0", out=tmp_path, workers=2, executor=object())
    with pytest.raises(UsageError, match="has no submit"):
        ls.draw(runs / "adam-s0", out=tmp_path, points=5, executor=object())
