"""What the page says of two runs together: numbers of the line between them, and of a matrix of all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from landscape.report.data.pairs import pair_entries
from landscape.report.living import is_living
from landscape.results import LineSlice, MinimaMatrix
from landscape.store import load_results
from tests.support.synthetic_results import make_results

A, B = np.array([3.0, 0.0, 4.0]), np.array([0.0, 2.0, -1.0])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "r"
    found = load_results(make_results(folder, optimizers=("adam", "sgd"), seeds=(0,), steps=(5,))).runs
    return [_without_lengths(run, theta) for run, theta in zip(found, (A, B), strict=True)]


def _without_lengths(run, theta):
    """Its last checkpoint with one slice, which says how long θ is."""
    t = np.linspace(-1, 1, 3)
    line = LineSlice(t, t**2, "u", 1.0, param_norm=float(np.linalg.norm(theta)))
    return replace(run, checkpoints=(replace(run.last, records={"line_eigenvector_1": line}),))


def pair_of(runs, loss, **more):
    t = np.linspace(0, 1, len(loss))
    record = LineSlice(
        t, np.array(loss), "from a to b", float(np.linalg.norm(A - B)), kind="interpolation", **more
    )  # fmt: skip
    a, b = (run.name for run in runs)
    return type("Pair", (), {"run_a": a, "run_b": b, "record": record})()


def entries(pairs, runs):
    return pair_entries(pairs, runs, {run.name: i for i, run in enumerate(runs)})


def test_the_cosine_of_two_runs_follows_from_their_lengths_and_distance(runs):
    found, measures = entries([pair_of(runs, [1.0, 4.0, 2.0])], runs)
    cosine = A @ B / np.linalg.norm(A) / np.linalg.norm(B)
    assert found[0]["values"]["cosine"] == [pytest.approx(cosine, rel=1e-4)]
    assert [key for key, _ in measures] == ["barrier", "relative_barrier", "distance", "cosine"]


def test_barriers_are_above_the_chord_and_the_error_is_what_the_points_may_have_missed(runs):
    accuracy = np.array([[0.9, 0.8, 0.6, 0.7, 0.8]])
    pair = pair_of(runs, [1.0, 3.5, 4.0, 2.5, 2.0], metric_names=("accuracy",), metric_values=accuracy)
    values = entries([pair], runs)[0][0]["values"]
    assert values["barrier"][0] == pytest.approx(4 - 1.5)
    assert values["barrier"][1] == pytest.approx(pair.record.barrier_bound - pair.record.barrier, rel=0.02)
    assert values["relative_barrier"] == [pytest.approx(2.5 / 1.5, rel=1e-4)]
    assert values["barrier of accuracy"] == [pytest.approx(0.85 - 0.6, rel=1e-4)]


def test_a_stored_matrix_adds_disagreement_to_pairs_with_a_line_and_without_one(runs):
    names = tuple(run.name for run in runs)
    none, off = np.full((2, 2), np.nan), np.array([[0.0, 0.25], [0.25, 0.0]])
    matrix = MinimaMatrix(names, np.ones(2), np.ones(2), none, none, none, none, none, off, none, none)
    last = replace(runs[0].last, records=runs[0].last.records | {"minima": matrix})
    stored = [replace(runs[0], checkpoints=(last,)), runs[1]]
    for pairs in ([pair_of(runs, [1.0, 4.0, 2.0])], []):
        found, measures = entries(pairs, stored)
        assert len(found) == 1
        assert found[0]["values"]["disagreement"] == [0.25]
        assert ("barrier" in found[0]["values"]) == bool(pairs)
        assert dict(measures)["disagreement"] == "disagreement"
        assert is_living("interpolation", {"pairs": found}) == bool(pairs)


def test_disagreement_that_was_measured_with_a_line_is_a_quantity_of_its_pair(runs):
    more = {"disagreement": 0.25, "test_disagreement": 0.5, "disagreement_of": "predicted classes"}
    found, measures = entries([pair_of(runs, [1.0, 4.0, 2.0], **more)], runs)
    assert (found[0]["values"]["disagreement"], found[0]["values"]["test_disagreement"]) == ([0.25], [0.5])
    assert dict(measures)["test_disagreement"] == "disagreement, test data (predicted classes)"


def test_a_line_that_is_not_finite_has_no_barrier_and_one_of_nothing_is_no_pair(runs):
    found, _ = entries([pair_of(runs, [1.0, np.inf, 2.0])], runs)
    assert set(found[0]["values"]) == {"distance", "cosine"}
    assert entries([pair_of(runs, [np.nan, np.nan, np.nan])], runs) == ([], [])
