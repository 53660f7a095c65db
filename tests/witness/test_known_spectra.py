"""On problems with known spectra every disagreement has a named cause, and the causes that must appear do."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.problems import get_problem
from landscape.results.crosscheck import AGREES, EXPLAINED, NOT_RUN
from landscape.witness import WITNESSES
from tests.support.known_hessians import normalised_network, of_tokens, uneven_least_squares, with_eigenvalues

pytest.importorskip("pyhessian")
pytest.importorskip("loss_landscapes")


def of_problem(name, **settings):
    problem = get_problem(name, settings)
    return problem.objective(problem.make_model(0)), problem.hessian


KNOWN = {
    "quadratic": lambda: of_problem("quadratic"),
    "poly-regression": lambda: of_problem("poly-regression"),
    "noisy-linear": lambda: of_problem("noisy-linear", dim=8),
    "uneven batches": uneven_least_squares,
    "negative": lambda: with_eigenvalues([-10.0, 3.0, 1.0, 0.5, 0.2, -0.1]),
}


@pytest.fixture(scope="module")
def tables():
    made: dict[str, ls.Crosscheck] = {}

    def table(name: str) -> ls.Crosscheck:
        if name not in made:
            made[name] = ls.crosscheck(KNOWN[name]()[0])
        return made[name]

    return table


def by(table, witness, start=""):
    return [row for row in table.rows if row.witness == witness and row.quantity.startswith(start)]


@pytest.mark.parametrize("name", KNOWN)
def test_every_disagreement_has_a_named_cause(name, tables):
    table = tables(name)
    assert table.stands, str(table)
    assert all(row.cause for row in table.rows if row.verdict != AGREES)
    heard = {row.witness for row in table.rows if row.verdict != NOT_RUN}
    assert {"dense float64 Hessian", "differences", "ARPACK", "our power iteration", "PyHessian"} <= heard
    assert {"float64 double backward", "loss-landscapes"} <= heard


@pytest.mark.parametrize("name", KNOWN)
def test_our_numbers_and_the_dense_hessians_are_those_of_the_closed_form(name, tables):
    hessian = KNOWN[name]()[1].numpy()
    spectrum = np.linalg.eigvalsh(hessian)
    rows = by(tables(name), "dense float64 Hessian")
    truths = {"λ1": spectrum[-1], "λ2": spectrum[-2], "λ_min": spectrum[0], "trace": np.trace(hessian)}
    for quantity, truth in truths.items():
        (row,) = (row for row in rows if row.quantity == quantity)
        assert row.theirs == pytest.approx(truth, rel=1e-5, abs=1e-6)
        assert abs(row.ours - truth) <= row.allowed + 1e-5 * abs(truth)


def test_a_mean_of_batch_means_is_found_where_a_tool_takes_it_and_only_there(tables):
    """hessian-eigenthings does; PyHessian and curvlinops weigh by examples, which here is right."""
    pytest.importorskip("hessian_eigenthings")
    (row,) = by(tables("uneven batches"), "hessian-eigenthings", "‖Hv‖")
    assert row.verdict == EXPLAINED
    assert row.cause.startswith("it averages batches unweighted")
    for row in by(tables("uneven batches"), "hessian-eigenthings", "λ"):
        assert "unweighted" in row.cause
    others = [row for row in tables("uneven batches").rows if row.witness != "hessian-eigenthings"]
    assert not any("unweighted" in row.cause for row in others)
    assert not any("unweighted" in row.cause for row in tables("quadratic").rows)


def test_batches_weighed_by_examples_where_tokens_count_are_found():
    pytest.importorskip("curvlinops")
    table = ls.crosscheck(of_tokens(), witnesses=["float64", "pyhessian", "curvlinops"])
    assert table.stands, str(table)
    rows = [*by(table, "PyHessian", "‖Hv‖"), *by(table, "curvlinops", "‖Hv‖")]
    assert [row.verdict for row in rows] == [EXPLAINED, EXPLAINED]
    assert all("first dimension" in row.cause for row in rows)
    assert all(row.verdict == AGREES for row in by(table, "float64 double backward"))


def test_a_spectrum_that_is_mostly_negative_shows_who_ranks_by_magnitude(tables):
    first, second = by(tables("negative"), "PyHessian", "λ")
    assert first.theirs == pytest.approx(-10, rel=0.01)
    assert second.theirs == pytest.approx(3, rel=0.01)
    for row in (first, second):
        assert row.verdict == EXPLAINED
        assert row.cause.startswith("it ranks by |λ|")
    assert not any("|λ|" in row.cause for row in tables("quadratic").rows)


def test_loss_landscapes_offsets_are_named(tables):
    line, plane = by(tables("quadratic"), "loss-landscapes")
    assert line.verdict == plane.verdict == EXPLAINED
    assert "never evaluates its start" in line.cause
    assert "back and forth" in plane.cause


def test_what_a_tool_was_lent_is_said_even_where_it_agrees(tables):
    rows = by(tables("quadratic"), "PyHessian", "density")
    assert rows
    assert all("torch.eig" in row.cause for row in rows)


def test_a_derivative_that_torch_itself_gets_wrong_is_named():
    pytest.importorskip("curvlinops")
    objective = normalised_network()
    table = ls.crosscheck(objective, witnesses=["float64", "curvlinops"])
    assert table.stands, str(table)
    row = by(table, "curvlinops", "‖Hv‖")[0]
    if row.verdict != AGREES:  # torch may mend it
        assert "jacrev" in row.cause


def test_what_a_tool_does_not_take_is_said():
    x = torch.arange(12.0).reshape(6, 2).sin()
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Linear(2, 1)
    objective = ls.Objective.from_loss(model, lambda m, b: (m(b[0]) - b[1]).square().mean(), (x, x[:, :1]))
    table = ls.crosscheck(objective)
    assert table.stands
    silent = {row.witness: row.cause for row in table.rows if row.verdict == NOT_RUN}
    assert set(silent) == {"PyHessian", "loss-landscapes", "curvlinops", "hessian-eigenthings"}
    assert "from_loss" in silent["PyHessian"]


def test_a_tool_that_is_missing_is_a_line_and_no_error(monkeypatch):
    for package in ("pyhessian", "loss_landscapes", "curvlinops", "hessian_eigenthings"):
        monkeypatch.setitem(sys.modules, package, None)
    table = ls.crosscheck(uneven_least_squares()[0], witnesses=WITNESSES[-4:])
    assert set(table.verdicts) == {NOT_RUN}
    assert "pip install 'landscape-curvature[crosscheck]'" in table.causes[0]
    assert table.stands
