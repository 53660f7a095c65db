"""Every result draws itself: on new axes or those given, with labels, the numbers where the record has them."""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape import results
from landscape.errors import UsageError
from landscape.plots import single_record
from landscape.results import Estimate, Record
from tests.support.record_examples import examples

EXAMPLES = examples()


def test_there_is_a_figure_and_an_example_of_every_class_of_records():
    """A new record is not forgotten: it needs a figure, and an example here that shows it."""
    members = (getattr(results, name) for name in results.__all__)
    classes = {kind for kind in members if issubclass(kind, Record) and kind is not Record}
    assert classes <= set(single_record.FIGURES)
    assert classes == {type(record) for record in EXAMPLES.values()}


@pytest.fixture(params=sorted(EXAMPLES))
def record(request):
    return EXAMPLES[request.param]


def test_a_record_is_drawn_on_new_axes_or_on_those_given_and_nothing_else_is_touched(record):
    before = dict(matplotlib.rcParams)
    new = record.plot()
    assert isinstance(new, Axes)
    assert len(new.lines) + len(new.collections) + len(new.patches) + len(new.images) > 0
    figure = Figure()
    given, other = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    assert record.plot(ax=given) is given
    assert record.plot(given) is given
    assert not other.has_data()
    assert len(figure.axes) == 2
    assert dict(matplotlib.rcParams) == before


def test_both_axes_say_what_they_are(record):
    """A row of names is a label, too; the axis of eigenvalues alone, and of one number, has no height."""
    ax = record.plot()
    assert ax.get_xlabel()
    named_rows = any(tick.get_text() for tick in ax.get_yticklabels())
    flat = not ax.yaxis.get_visible() or len(ax.get_yticks()) <= 1
    assert ax.get_ylabel() or named_rows or flat


def test_no_text_leaves_the_figure(record):
    ax = record.plot()
    figure = ax.figure
    figure.canvas.draw()
    ticks = {label for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels(which="both")}
    for text in set(figure.findobj(matplotlib.text.Text)) - ticks:
        if text.get_text().strip() and text.get_visible() and text not in _hidden(ax):
            extent, box = text.get_window_extent(), figure.bbox
            assert min(extent.x0 - box.x0, box.x1 - extent.x1, extent.y0 - box.y0, box.y1 - extent.y1) > -1, text


def _hidden(ax):
    """What belongs to ticks, which keep labels outside the view that are not drawn, and to axes without a label."""
    of_ticks = [t for axis in (ax.xaxis, ax.yaxis) for tick in (*axis.majorTicks, *axis.minorTicks)
                for t in (tick.label1, tick.label2)]  # fmt: skip
    return {*of_ticks, *(axis.label for axis in (ax.xaxis, ax.yaxis) if not axis.get_visible())}


def test_numbers_at_the_axes_do_not_lie_over_each_other(record):
    ax = record.plot()
    ax.figure.canvas.draw()
    for axis, sides in ((ax.xaxis, ("x0", "x1")), (ax.yaxis, ("y0", "y1"))):
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        shown = [
            t.label1 for t in ticks if low <= t.get_loc() <= high and t.label1.get_text() and t.label1.get_visible()
        ]
        if any(label.get_rotation() for label in shown):
            continue  # slanted names, whose boxes are wider than they
        ends = sorted(tuple(getattr(label.get_window_extent(), side) for side in sides) for label in shown)
        for (_, end), (begin, _) in itertools.pairwise(ends):
            assert end <= begin + 1, [label.get_text() for label in shown]


def drawn(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


def test_an_estimate_stands_at_its_value_in_its_interval_above_its_samples():
    estimate = EXAMPLES["Estimate"]
    ax = estimate.plot(label="tr H (loss/parameter²)")
    assert ax.get_xlabel() == "tr H (loss/parameter²)"
    assert drawn(ax, "value").get_xdata() == [estimate.value]
    assert drawn(ax, "95 % interval").get_xdata() == pytest.approx(estimate.interval())
    assert drawn(ax, "sample").get_xdata() == pytest.approx(estimate.samples)
    bound = EXAMPLES["Estimate bound"].plot()
    assert drawn(bound, "bound").get_xdata() == pytest.approx([7.13, 7.17])


def test_a_lower_bound_is_a_triangle_without_an_interval():
    ax = EXAMPLES["Sharpness keskar"].plot()
    assert {line.get_label() for line in ax.lines} == {"lower bound", "sample"}
    assert "%" in ax.get_xlabel()
    assert any(text.get_text().startswith("≥") for text in ax.texts)


@pytest.mark.parametrize("name", ["Estimate alone", "Sharpness worst"])
def test_what_did_not_converge_is_open(name):
    assert drawn(EXAMPLES[name].plot(), "not converged").get_markerfacecolor() == "white"


def test_blocks_stand_at_their_traces_with_their_intervals():
    table = EXAMPLES["BlockTable"]
    container = next(c for c in table.plot().containers if c.get_label() == "trace, 95 % interval")
    dots, _, (bars,) = container
    np.testing.assert_allclose(dots.get_xdata(), table.trace)
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, [table[name].interval() for name in table.names])


def test_every_entry_of_a_diagonal_is_counted_once():
    diagonal = EXAMPLES["Diagonal"]
    assert sum(patch.get_height() for patch in diagonal.plot().patches) == len(diagonal)


def test_the_quadratic_model_of_a_step_ends_at_its_prediction_and_the_lemma_at_its_bound():
    report = EXAMPLES["StepReport"]
    ax = report.plot()
    assert drawn(ax, "slope and curvature").get_ydata()[-1] == pytest.approx(report.loss + report.predicted)
    assert drawn(ax, "descent lemma, at most").get_ydata()[-1] == pytest.approx(report.loss + report.descent_bound)


def test_negative_moments_are_open():
    container = next(c for c in EXAMPLES["SpectralMoments"].plot().containers if c.get_label() == "negative moment")
    assert container[0].get_xdata().tolist() == [3]


def test_the_largest_shares_are_shown_and_the_rest_is_counted():
    ax = EXAMPLES["Attribution"].plot()
    assert len(ax.get_xticks()) == 12
    assert "3 smaller left out" in ax.get_xlabel()
    most = EXAMPLES["Attribution"].shares.max(axis=0)
    np.testing.assert_allclose(sorted(ax.images[0].get_array().max(axis=0)), sorted(100 * most)[3:])


def test_each_minimum_has_the_number_of_its_points():
    assert [text.get_text() for text in EXAMPLES["Basins"].plot().texts] == ["3", "3", "1"]


def test_what_is_not_a_number_is_said(tmp_path):
    ax = Estimate(float("nan"), method="no gradient").plot()
    ax.figure.savefig(tmp_path / "nan.png")
    assert [text.get_text() for text in ax.texts] == ["not a number"]


NAN, INF, NONE = float("nan"), float("inf"), np.empty(0)
ODD = {
    "a point without gradient": results.PointValue(0.5, 0.0, 1.0),
    "a point that diverged": results.PointValue(INF, NAN, 1e300),
    "no minimum": results.Basins(np.empty((0, 3)), NONE, NONE, NONE, np.array([-1, -1]), 1e-3),
    "a diagonal of one probe": results.Diagonal(np.arange(5.0), np.full(5, NAN), 1, 1, 0, "one probe"),
    "an exact diagonal": results.Diagonal(np.arange(5.0), np.zeros(5), 0, 5, -1, "exact"),
    "moments of one probe": replace(EXAMPLES["SpectralMoments"], samples=np.ones((4, 1)), sem=np.full(4, NAN)),
    "blocks of one probe": replace(EXAMPLES["BlockTable"], samples=np.ones((6, 1)), trace_sem=np.full(6, NAN)),
    "blocks with a negative trace": replace(EXAMPLES["BlockTable"], trace=np.linspace(-1, 100, 6)),
    "a gain that is none": results.SecondOrderGain(NAN, method="no gradient"),
    "a step without smoothness": replace(EXAMPLES["StepReport"], known_smoothness=None),
    "a bulk without outliers": results.OutlierCount(-1, Estimate(0.0, sem=0.0), -INF, INF),
    "an infinite estimate": Estimate(INF, sem=NAN, samples=np.array([1.0, INF])),
    "a class without examples": results.Evaluation(0.1, 3, 0.5, np.array([0.5, NAN])),
    "a ball where the loss is undefined": replace(EXAMPLES["Sharpness worst"], value=NAN, samples=np.full(4, NAN)),
    "one angle": results.PrincipalAngles(np.zeros(1), (1, 1), 3),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_records_are_drawn_too(name):
    ODD[name].plot().figure.savefig(io.BytesIO())


def test_something_that_is_no_axes_is_refused():
    with pytest.raises(UsageError, match="ax='trace' is no Axes of matplotlib; options go by name"):
        EXAMPLES["Estimate"].plot("trace")


def test_figures_show_symbols_and_words_never_names_of_variables(record):
    """Of the data's own names, those of parameters, metrics and runs, no example has an underscore between letters."""
    ax = record.plot()
    ax.figure.canvas.draw()
    shown = {text.get_text() for text in ax.figure.findobj(matplotlib.text.Text)}
    plain = {re.sub(r"(?<!\\)\$.*?(?<!\\)\$", "", text) for text in shown}  # mathematics
    assert not {text for text in plain if re.search(r"[a-zA-Zα-ω]_[a-zA-Z]", text)}
