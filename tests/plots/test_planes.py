"""Marks keep apart, captions say the error, panels of losses share their levels."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.transforms import Bbox

from landscape import plots
from landscape.plots.marks import label_points
from landscape.plots.style import house_style, new_figure
from tests.support.record_examples import examples

EXAMPLES = examples()


@pytest.mark.parametrize("seed", range(4))
def test_names_of_near_positions_do_not_lie_over_each_other_or_the_marks(seed):
    points = 0.12 * np.random.default_rng(seed).standard_normal((4, 2)) + [0.5, 0.5]
    with house_style():
        figure = new_figure()
        ax = figure.add_subplot()
        ax.set(xlim=(0, 1), ylim=(0, 1))
        label_points(ax, ["adam-s0", "sgd-s0", "a-long-name-s1", "x"], points)
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        boxes = [text.get_window_extent(renderer) for text in ax.texts]
    for one, other in itertools.combinations(boxes, 2):
        both = Bbox.intersection(one, other)
        assert both is None or both.width * both.height < 0.1 * min(b.width * b.height for b in (one, other))


def test_a_name_at_the_edge_stays_within_the_frame():
    with house_style():
        figure = new_figure()
        ax = figure.add_subplot()
        ax.set(xlim=(0, 1), ylim=(0, 1))
        label_points(ax, ["right", "top"], np.array([[0.99, 0.5], [0.5, 0.99]]))
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        frame = ax.get_window_extent(renderer)
        for text in ax.texts:
            box = text.get_window_extent(renderer)
            assert box.x1 <= frame.x1 + 1
            assert box.y1 <= frame.y1 + 1


def test_marks_stand_where_the_models_are_with_their_exact_losses():
    record = EXAMPLES["PlaneSlice marked"]
    ax = record.plot()
    assert [text.get_text().split("\n")[0] for text in ax.texts if "\n" in text.get_text()] == list(record.mark_names)
    assert "0.34" in ax.texts[1].get_text() + ax.texts[2].get_text()
    drawn = np.array([line.get_xydata()[0] for line in ax.lines])
    np.testing.assert_allclose(drawn, record.mark_points)


def test_axes_say_one_unit_in_parameter_space_and_in_the_length_of_the_parameters():
    record = replace(EXAMPLES["PlaneSlice"], param_norm=34.6)
    ax = record.plot()
    assert ax.get_xlabel().endswith("\n1 = 17.3 in θ = 0.5 ‖θ‖")
    line = replace(EXAMPLES["LineSlice"], param_norm=4.0).plot()
    assert line.get_xlabel().endswith("\n1 = 0.25 ‖θ‖")


def test_panels_of_losses_share_their_levels_and_the_caption_stands_below():
    record = EXAMPLES["PlaneSlice"]
    both = replace(
        record, metric_names=("test loss", "accuracy"), metric_losses=("test loss",),
        metric_values=np.stack([3 * record.loss, 1 / (1 + record.loss)]),
    )  # fmt: skip
    figure = plots.plane_figure(both, [None, "test loss", "accuracy"], title="a run", caption="Error ≤ 0.4 % of it.")
    first, second, third = (ax.collections[0] for ax in figure.axes[:3])
    assert np.array_equal(first.levels, second.levels)
    assert first.levels[0] == np.nanmin(record.loss)
    assert second.levels[-1] == pytest.approx(3 * np.nanmax(record.loss))
    assert not np.array_equal(first.levels, third.levels)
    assert "Error ≤ 0.4 % of it." in figure.get_supxlabel()


def test_a_plane_that_is_no_strip_has_one_scale():
    record = EXAMPLES["PlaneSlice"]
    assert record.plot().get_aspect() == 1
    assert replace(record, y=0.1 * record.y).plot().get_aspect() == "auto"


def test_paths_stand_on_their_components_beside_what_a_walk_has():
    plane = EXAMPLES["PcaPlane"]
    ax = plane.plot()
    drawn = {line.get_label(): line.get_xydata() for line in ax.lines}
    np.testing.assert_allclose(drawn["sgd"], plane.path("sgd"))
    assert ax.get_title(loc="left").startswith("93 % of the variance; a random walk has 7")


def test_models_have_their_distances():
    plane = EXAMPLES["ModelPlane"]
    texts = [text.get_text() for text in plane.plot().texts]
    assert texts == ["a", "b", "c", "4", "3.84", "3.4"]


def test_the_figure_of_paths_has_a_panel_for_each_value_and_one_for_the_losses():
    figure = plots.paths_figure(EXAMPLES["PathSlice"], title="two runs", caption="Words.")
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert [ax.get_ylabel() for ax in panels] == ["principal 2", "loss L"]
