"""A fault planted in ours is caught, by witnesses that need no other library, and by other tools where they see it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import landscape as ls
from landscape.objective import functional
from landscape.results.crosscheck import DISAGREES
from landscape.witness import ours
from tests.support.known_hessians import normalised_network, uneven_least_squares, with_eigenvalues

NEEDING_NONE = ("float64", "differences", "probes", "arpack", "power")
ALL = (*NEEDING_NONE, "pyhessian", "loss-landscapes", "curvlinops", "hessian-eigenthings")


def caught_by(objective, witnesses=NEEDING_NONE) -> dict[str, set[str]]:
    """Witness → the quantities in which it contradicts us without a known cause."""
    table = ls.crosscheck(objective, witnesses=witnesses)
    assert not table.stands
    found: dict[str, set[str]] = {}
    for row in table.unexplained:
        assert row.verdict == DISAGREES
        assert row.difference > row.allowed
        found.setdefault(row.witness, set()).add(row.quantity)
    return found


def changed(monkeypatch, name, change):
    """Our function, with something done to what it returns."""
    before = getattr(ours, name)
    monkeypatch.setattr(ours, name, lambda *args, **options: change(before(*args, **options)))


def uneven():
    return uneven_least_squares()[0]


def test_without_a_fault_nothing_contradicts_us():
    for objective in (uneven(), normalised_network(), with_eigenvalues([5.0, -4.0, 3.0, 0.1])[0]):
        table = ls.crosscheck(objective, witnesses=NEEDING_NONE)
        assert table.stands, str(table)


@pytest.mark.parametrize("factor", [1.02, 0.999])
def test_a_hessian_that_is_scaled(monkeypatch, factor):
    changed(monkeypatch, "HessianOperator", lambda H: factor * H)
    found = caught_by(uneven(), ALL)
    assert "‖Hv‖" in found["float64 double backward"] & found["differences"]
    assert {"λ1", "λ2", "λ_min"} <= found["dense float64 Hessian"]
    for tool in ("PyHessian", "curvlinops"):
        assert tool in found or not table_has(tool)


def table_has(tool):
    table = ls.crosscheck(uneven(), witnesses=["pyhessian", "curvlinops"])
    return any(row.witness == tool and row.verdict != "not run" for row in table.rows)


def test_a_mean_of_unweighted_batch_means():
    objective = uneven()
    objective._shares = [1 / 3] * 3
    found = caught_by(objective, ALL)
    assert {"loss", "‖g‖", "‖Hv‖"} <= found["float64 double backward"]
    if table_has("PyHessian"):
        assert "‖Hv‖, its first vector" in found["PyHessian"]  # that theirs is right is no cause
    # hessian-eigenthings makes the same mistake, and so agrees with us: one witness is not enough.
    assert "‖Hv‖" not in found.get("hessian-eigenthings", set())


def test_a_solver_that_misses_the_largest_eigenvalue(monkeypatch):
    def without_the_first(eigs):
        kept = slice(1, None)
        return replace(
            eigs, values=eigs.values[kept], vectors=eigs.vectors[:, kept], residuals=eigs.residuals[kept],
            converged=eigs.converged[kept],
        )  # fmt: skip

    changed(monkeypatch, "top_eigenpairs", without_the_first)
    found = caught_by(uneven(), ALL)
    for witness in ("dense float64 Hessian", "ARPACK", "our power iteration"):
        assert "λ1" in found[witness]


def test_a_residual_that_is_too_small(monkeypatch):
    changed(
        monkeypatch, "top_eigenpairs",
        lambda eigs: replace(eigs, values=1.003 * eigs.values, residuals=1e-6 * np.abs(eigs.values)),
    )  # fmt: skip
    found = caught_by(uneven())
    assert "residual of λ1" in found["float64 double backward"]
    assert "λ1" in found["ARPACK"] & found["dense float64 Hessian"]


def test_a_trace_that_is_3_percent_too_large(monkeypatch):
    changed(monkeypatch, "trace", lambda tr: replace(tr, value=1.03 * tr.value))
    assert caught_by(uneven())["our probes, apart"] == {"trace, of the same probes"}


def test_a_standard_error_that_is_too_small(monkeypatch):
    changed(monkeypatch, "trace", lambda tr: replace(tr, sem=tr.sem / len(tr.samples) ** 0.5))
    assert caught_by(uneven())["our probes, apart"] == {"standard error of the trace"}


def test_a_density_whose_weights_are_wrong(monkeypatch):
    """Squares of a whole matrix of eigenvectors in place of their first row: all weights alike."""
    changed(
        monkeypatch, "spectral_density",
        lambda sd: replace(sd, weights=np.full_like(sd.weights, 1 / sd.weights.shape[1])),
    )  # fmt: skip
    assert any("density" in quantity for quantity in caught_by(uneven())["our probes, apart"])


def test_a_line_whose_coordinate_is_one_step_off(monkeypatch):
    changed(monkeypatch, "evaluate_line", lambda line: replace(line, t=line.t + (line.t[1] - line.t[0])))
    assert any(quantity.startswith("line") for quantity in caught_by(uneven())["float64 double backward"])
    changed(monkeypatch, "evaluate_line", lambda line: replace(line, t=line.t * 1.0, loss=np.roll(line.loss, 1)))
    found = caught_by(uneven(), ("loss-landscapes",)) if table_of_lines() else {"loss-landscapes": {"line"}}
    assert any(quantity.startswith("line") for quantity in found["loss-landscapes"])


def table_of_lines():
    return any(row.verdict != "not run" for row in ls.crosscheck(uneven(), witnesses=["loss-landscapes"]).rows)


def test_a_plane_whose_axes_are_exchanged(monkeypatch):
    changed(monkeypatch, "evaluate_plane", lambda plane: replace(plane, loss=plane.loss.T.copy()))
    found = caught_by(uneven())["float64 double backward"]
    assert any(quantity.startswith("plane") for quantity in found)


def test_a_model_that_is_asked_in_the_wrong_mode(monkeypatch):
    """Batch statistics where the running ones were asked for."""
    objective = normalised_network()
    right = functional.borrowed
    monkeypatch.setattr(
        functional, "borrowed", lambda module, *, mode, device: right(module, mode="train", device=device)
    )
    found = caught_by(objective)
    assert {"loss", "‖g‖"} <= found["float64 double backward"]
    assert "differences" in found
