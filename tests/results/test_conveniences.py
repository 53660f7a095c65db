"""What one reaches for in a notebook: a table, a figure, and a hint where something else was meant."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import landscape as ls
from landscape import results
from landscape.errors import UsageError

H = ls.MatrixOperator(torch.diag(torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, -1.0], dtype=torch.float64)))


@pytest.fixture(scope="module")
def objective() -> ls.Objective:
    x = torch.arange(24.0).reshape(12, 2).sin()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    return ls.Objective(model, torch.nn.functional.mse_loss, (x, x.sum(1, keepdim=True)), dtype=torch.float64)


@pytest.fixture(scope="module")
def records(objective) -> dict[str, results.Record]:
    direction, plane = ls.random_direction(objective), ls.random_plane(objective)
    theta = objective.theta
    return {
        "eigs": ls.top_eigenpairs(H, 2),
        "spectrum": ls.spectrum(H, k=2, num_probes=2, num_steps=3),
        "measure": ls.spectral_density(H, num_probes=2, num_steps=3),
        "line": ls.evaluate_line(objective, direction, points=5),
        "interpolation": ls.interpolate(objective, theta, 0.5 * theta, points=5),
        "plane": ls.evaluate_plane(objective, plane, points=5),
        "paths": ls.evaluate_paths(objective, {"run": np.stack([theta.numpy() * s for s in (1, 0.5, 0.2)])}, points=5),
        "trace": ls.trace(H, num_probes=3, method="hutchinson"),
        "diagonal": ls.diagonal(H, num_probes=3),
        "moments": ls.spectral_moments(H, num_probes=3),
        "blocks": ls.block_table({"a": H, "b": H}, num_probes=2),
        "attribution": ls.layer_attribution(np.ones((13, 2)), objective.layout),
        "angles": ls.principal_angles(np.eye(4)[:, :2], np.eye(4)[:, 1:3]),
        "gap": ls.spectral_gap(ls.top_eigenpairs(H, 2)),
        "spread": ls.over_subsets(objective, lambda part: part.loss(), num_subsets=3),
        "sharpness": ls.sharpness(objective, measure="average", num_probes=2),
        "point": results.PointValue(1.0, 0.5, 2.0),
        "missed": ls.search_missed(H, eigs=ls.top_eigenpairs(H, 2)),
    }


def test_a_record_of_several_numbers_has_a_row_for_each(records):
    rows = {name: len(record.to_dataframe()) for name, record in records.items()}
    assert rows == {
        "eigs": 2, "spectrum": 8, "measure": 6, "line": 5, "interpolation": 5, "plane": 25, "paths": 3, "trace": 1,
        "diagonal": 6, "moments": 4, "blocks": 2, "attribution": 2, "angles": 2, "gap": 2, "spread": 3, "sharpness": 1,
        "point": 1, "missed": 1,
    }  # fmt: skip


def test_what_stands_in_a_table_is_what_the_record_says(records):
    eigs = records["eigs"].to_dataframe()
    assert eigs["value"].tolist() == records["eigs"].values.tolist()
    plane = records["plane"]
    cells = plane.to_dataframe().set_index(["y", "x"])["loss"]
    assert cells[plane.y[3], plane.x[1]] == plane.loss[3, 1]
    spectrum = records["spectrum"].to_dataframe().set_index("quantity")
    assert spectrum.loc["trace", "value"] == records["spectrum"].trace.value
    assert spectrum.loc["eigenvalue 2", "error"] == records["spectrum"].eigs.residuals[1]
    assert records["attribution"].to_dataframe()["0.weight"][1] == records["attribution"].shares[1, 0]
    measure = records["measure"].to_dataframe()
    assert measure.groupby("probe")["weight"].sum().to_numpy() == pytest.approx(1)
    point = records["point"].to_dataframe().loc[0]
    assert {f.name for f in fields(records["point"])} == set(point.index)
    assert point["grad_norm"] == 0.5
    trace = records["trace"].to_dataframe().loc[0]
    assert (trace["value"], trace["sem"], trace["seed"]) == (records["trace"].value, records["trace"].sem, 0)


@pytest.mark.parametrize(
    "name", ["eigs", "spectrum", "measure", "line", "interpolation", "plane", "paths", "trace", "blocks", "spread"]
)
def test_a_record_draws_itself_on_new_axes_or_on_those_given(records, name):
    new = records[name].plot()
    assert isinstance(new, Axes)
    assert len(new.lines) + len(new.collections) > 0
    given = Figure().add_subplot()
    assert records[name].plot(given) is given
    assert records[name].plot(ax=given) is given


def test_a_record_without_a_figure_says_which_have_one():
    class Unknown(results.Record):
        def _lines(self):
            return [("value", "1")]

    with pytest.raises(UsageError, match="a Unknown has no figure of its own; there is one of .*Attribution"):
        Unknown().plot()


def test_options_of_the_plot_function_pass_through(records):
    wide, narrow = (records["measure"].plot(bandwidth=b).lines[0].get_ydata() for b in (5.0, 0.05))
    assert np.nanmax(narrow) > np.nanmax(wide)


def test_a_random_direction_is_public_and_has_the_lengths_of_the_filters(objective):
    d = ls.random_direction(objective, seed=3)
    assert d.shape == (objective.layout.size,)
    assert torch.equal(d, ls.random_direction(objective, seed=3))
    assert not torch.equal(d, ls.random_direction(objective, seed=4))
    ours, theirs = (objective.layout.unflatten(v)["0.weight"].norm(dim=1) for v in (d, objective.theta))
    assert ours == pytest.approx(theirs)
    whole = ls.random_direction(objective, normalize="model", ignore=None)
    assert math.isclose(float(whole.norm()), float(objective.theta.norm()), rel_tol=1e-12)


ESTIMATORS = {
    "top_eigenpairs": ls.top_eigenpairs,
    "trace": ls.trace,
    "spectral_density": ls.spectral_density,
    "spectrum": ls.spectrum,
    "diagonal": ls.diagonal,
    "frobenius_norm": ls.frobenius_norm,
    "spectral_moments": ls.spectral_moments,
    "EigenTracker": lambda given: ls.EigenTracker().update(given),
    "search_missed": lambda given: ls.search_missed(given, eigs=ls.top_eigenpairs(H, 1)),
    "second_order_gain": lambda given: ls.second_order_gain(
        given, torch.ones(6), eigs=ls.top_eigenpairs(H, 1, which="both")
    ),
    "block_table": ls.block_table,
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_given_an_objective_or_a_model_says_what_to_write_instead(name, objective):
    with pytest.raises(UsageError, match=r"HessianOperator\(objective\)"):
        ESTIMATORS[name](objective)
    with pytest.raises(UsageError, match=r"HessianOperator\(Objective\(model, loss_fn, data\)\)"):
        ESTIMATORS[name](objective.module.model)
