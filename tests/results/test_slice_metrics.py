"""Metrics in the records of slices: as a mapping, on disk, in tables and in figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from landscape import plots
from landscape.errors import ResultsError, UsageError
from landscape.results import LineSlice, PathSlice, PlaneSlice, Record
from landscape.store import ResultStore, load_results
from tests.support.stores import KEY, identical
from tests.support.synthetic_results import interpolation, line, plane

RNG = np.random.default_rng(0)
NAMES = ("test loss", "accuracy")


def with_metrics(record):
    """Values of which none equals another, one of them not a number."""
    shape = (2, *record.loss.shape)
    values = 0.1 + np.arange(np.prod(shape), dtype=float).reshape(shape) / np.prod(shape)
    values[1].flat[0] = np.nan
    return dataclasses.replace(record, metric_names=NAMES, metric_values=values, metric_losses=NAMES[:1])


RECORDS = {
    "line": with_metrics(line(RNG, 3.0, "u₁")),
    "interpolation": with_metrics(interpolation(RNG, 0.5)),
    "plane": with_metrics(plane(10.0, ("one", "two"))),
    "paths": with_metrics(
        PathSlice(np.arange(3.0), np.arange(2.0), np.arange(6.0).reshape(2, 3) + 1, ("w", "b"), ("sgd",),
                  np.array([2]), np.eye(2), np.zeros(2), 0.9)
    ),
}  # fmt: skip


def written(folder: Path, record: Record) -> Record:
    with ResultStore(folder) as store:
        store.write("run", 1, "it", record, {"key": KEY})
        store.consolidate()
    return load_results(folder).runs[0].last.records["it"]


@pytest.mark.parametrize("name", RECORDS)
def test_metrics_come_back_from_disk_bit_for_bit(name, tmp_path):
    record = RECORDS[name]
    read = written(tmp_path, record)
    assert identical(read, record)
    assert list(read.metrics) == list(NAMES)
    assert all(identical(read.metrics[m], record.metric_values[i]) for i, m in enumerate(NAMES))
    assert all(read.metrics[m].shape == read.loss.shape for m in NAMES)


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("wrong", [("a",), ("a", "b", "c"), ()])
def test_values_that_do_not_go_with_names_or_shape_are_not_read(name, wrong, tmp_path):
    record = RECORDS[name]
    with pytest.raises(ResultsError, match="metric_values has shape"):
        written(tmp_path / "names", dataclasses.replace(record, metric_names=wrong))
    cut = dataclasses.replace(record, metric_values=record.metric_values[..., :-1])
    with pytest.raises(ResultsError, match="metric_values has shape"):
        written(tmp_path / "shape", cut)


def test_a_metric_that_is_not_there_is_named_beside_those_that_are():
    with pytest.raises(UsageError, match=r"no metric 'auc': there are test loss, accuracy\. Evaluate it with metrics="):
        RECORDS["line"].metric("auc")
    with pytest.raises(UsageError, match="no metric 'auc': none was asked for"):
        line(RNG, 3.0, "u₁").metric("auc")
    for name, record in RECORDS.items():
        with pytest.raises(UsageError, match="no metric 'auc'"):
            record.plot(**({"metrics": ["auc"]} if isinstance(record, LineSlice) else {"metric": "auc"}))
        assert "accuracy  " in str(record), name


def test_a_table_has_a_column_for_each():
    table = RECORDS["line"].to_dataframe()
    assert list(table.columns) == ["t", "loss", *NAMES]
    assert identical(table["accuracy"].to_numpy(), RECORDS["line"].metrics["accuracy"])
    surface = RECORDS["plane"]
    cells = surface.to_dataframe().set_index(["y", "x"])["test loss"]
    assert cells[surface.y[3], surface.x[1]] == surface.metrics["test loss"][3, 1]


@pytest.mark.parametrize("name", ["line", "interpolation"])
@pytest.mark.parametrize("house", [True, False])
def test_losses_share_the_axis_of_the_loss_and_others_stand_to_the_right(name, house):
    record = RECORDS[name]
    with plots.house_style() if house else matplotlib.rc_context():
        ax = record.plot()
        (right,) = (other for other in ax.figure.axes if other is not ax)
        (drawn,) = right.lines
        assert identical(drawn.get_ydata(), record.metrics["accuracy"])
        assert right.get_ylabel() == "accuracy"
        loss = next(one for one in ax.lines if one.get_label() == "test loss")
        shift = np.interp(0, record.t, record.metrics["test loss"]) if name == "line" else 0.0
        np.testing.assert_allclose(loss.get_ydata(), record.metrics["test loss"] - shift)
        assert "1 point not finite: gap" in ax.get_title(loc="right")
        (legend,) = ax.figure.legends
    assert {"loss", *NAMES} <= {text.get_text() for text in legend.get_texts()}
    assert len(record.plot(metrics=()).figure.axes) == len(record.plot(metrics=["test loss"]).figure.axes) == 1


def test_several_lines_on_one_axis_share_the_one_to_the_right():
    ax = Figure().add_subplot()
    for _ in range(2):
        RECORDS["interpolation"].plot(ax)
    assert len(ax.figure.axes) == 2
    assert len(ax.figure.axes[1].lines) == 2


def test_a_plane_draws_the_metric_that_is_asked_for():
    """Levels span its own values: evenly, and by equal factors only for what is a loss."""
    surface: PlaneSlice = RECORDS["plane"]
    for metric, values in (("accuracy", surface.metrics["accuracy"]), ("test loss", surface.metrics["test loss"])):
        ax = surface.plot(metric=metric)
        levels = np.asarray(ax.collections[0].levels)
        inner = levels[(levels >= np.nanmin(values)) & (levels <= np.nanmax(values))]
        steps = np.diff(inner) if metric == "accuracy" else inner[1:] / inner[:-1]
        np.testing.assert_allclose(steps, steps[0], rtol=1e-9)
        assert ax.figure.axes[1].get_ylabel() == metric  # the colour bar
        assert plots.plot_surface(surface, metric=metric).get_zlabel() == metric
    titles = [RECORDS["paths"].plot(metric="accuracy").get_title(loc=place) for place in ("left", "center")]
    assert "accuracy" in titles
