"""Curvature against training loss: the lines are the numbers of the runs and of the comparison at equal loss."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from landscape import plots
from landscape.comparison import at_equal_loss
from landscape.errors import UsageError
from landscape.store import load_results
from tests.support.loss_curves import power, store_curves


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    runs = {f"{arm}-s{s}": ({"label": arm, "seed": s}, [2.0, 0.7, 0.3 - 0.02 * s, 0.1], power(c + 0.1 * s, 0.5))
            for arm, c in (("adam", 2.0), ("sgd", 3.0)) for s in (0, 1, 2)}  # fmt: skip
    return load_results(store_curves(tmp_path_factory.mktemp("curves"), runs))


def test_runs_are_thin_lines_through_their_checkpoints_and_groups_thick_ones_through_the_levels(results):
    found = at_equal_loss(results, measures=["lambda_max"])
    ax = plots.plot_against_loss(results.runs, found)
    drawn = [(np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)) for line in ax.lines]
    for run, (losses, values) in zip(results.runs, drawn[:6], strict=True):
        assert losses == pytest.approx([c.records["point"].loss for c in run.checkpoints])
        assert values == pytest.approx([c.records["eigenpairs"].values[0] for c in run.checkpoints])
    for name, c, (levels, values) in zip(("adam", "sgd"), (2.0, 3.0), drawn[6:8], strict=True):
        assert levels == pytest.approx(found.levels)
        truth = np.exp(np.mean(np.log([c, c + 0.1, c + 0.2]))) * np.sqrt(levels)
        assert values == pytest.approx(truth), name
    assert list(drawn[8][0]) == [found.level] * 2
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert set(ax.get_legend_handles_labels()[1]) == {"adam", "sgd"}


def test_the_figure_is_among_those_of_a_report_where_losses_differ_along_runs_and_not_else(results, tmp_path):
    (drawing,) = plots.drawings(results, {"against_loss"})
    assert drawing.name == "against_loss"
    assert "at 0.1, the lowest loss that most runs reach" in drawing.caption
    assert "3 seeds per arm" in drawing.caption
    ends = {f"{arm}-s{s}": ({"label": arm, "seed": s}, [0.1], power(1.0, 0.5)) for arm in "ab" for s in (0, 1)}
    assert not list(plots.drawings(load_results(store_curves(tmp_path, ends)), {"against_loss"}))


def test_where_no_loss_is_shared_runs_are_drawn_and_the_caption_says_it(tmp_path):
    runs = {"a-s0": ({"label": "a", "seed": 0}, [0.2, 0.1], power(1.0, 0.5)),
            "b-s0": ({"label": "b", "seed": 0}, [2.0, 1.0], power(1.0, 0.5))}  # fmt: skip
    (drawing,) = plots.drawings(load_results(store_curves(tmp_path, runs)), {"against_loss"})
    assert drawing.caption.startswith("No training loss is passed by enough runs")
    assert len(drawing.figure.axes[0].lines) == 2


def test_a_measure_that_may_be_negative_has_no_place_on_such_axes(results):
    with pytest.raises(UsageError, match="lambda_min"):
        plots.plot_against_loss(results.runs, measure="lambda_min")


@pytest.mark.parametrize("decades", [1, 2, 3, 5, 9])
def test_numbers_on_the_axes_do_not_lie_over_each_other_however_far_losses_fall(decades, tmp_path):
    losses = [10.0**-k for k in np.linspace(0, decades, 6)]
    runs = {f"{arm}-s{s}": ({"label": arm, "seed": s}, losses, power(1.0, 0.5)) for arm in "ab" for s in (0, 1)}
    with plots.house_style():
        (drawing,) = plots.drawings(load_results(store_curves(tmp_path, runs)), {"against_loss"})
        drawing.figure.canvas.draw()
        (ax,) = drawing.figure.axes
        low, high = ax.get_xlim()
        shown = [text for at, text in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True) if low <= at <= high]
        boxes = [text.get_window_extent() for text in shown if text.get_text()]
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
