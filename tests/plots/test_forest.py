"""The forest plot: effects where they are, filled where chance is no explanation, arrows where they leave the panel."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from landscape import comparison, plots
from landscape.errors import UsageError
from landscape.plots.forest import FARTHEST, FARTHEST_EFFECT, MOST_ROWS, drawn_pairs
from landscape.store import ResultStore, load_results
from tests.support import synthetic_results as synthetic


def differences(rows):
    """As ``comparison.contrasts`` gives them, in the columns that are drawn."""
    columns = ["measure", "a", "b", "effect", "effect_low", "effect_high", "p_holm", "smallest_p_holm", "paired"]
    return pd.DataFrame([(*row, 0.06, True) for row in rows], columns=columns)


ROWS = [
    ("lambda_max", "adam", "sgd", 2.0, 0.5, 3.5, 0.01),
    ("lambda_max", "adam", "gd", -1.0, -2.5, 0.4, 0.4),
    ("lambda_max", "gd", "sgd", 5.0, 1.0, 90.0, 0.03),
]


def marks(ax):
    return {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0])): line for line in ax.lines if line.get_marker() == "o"
    }


def test_every_pair_has_its_effect_in_its_row_filled_where_the_adjusted_p_is_small():
    ax = plots.plot_forest(differences(ROWS), "lambda_max")
    found = marks(ax)
    assert set(found) == {(2.0, 0.0), (-1.0, 1.0), (5.0, 2.0)}
    filled = {place for place, line in found.items() if to_rgba(line.get_markerfacecolor()) != (1, 1, 1, 1)}
    assert filled == {(2.0, 0.0), (5.0, 2.0)}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["adam − sgd", "adam − gd", "gd − sgd"]


def test_an_effect_of_hundreds_stands_at_the_edge_with_its_number_and_leaves_room_for_the_others():
    rows = [("lambda_max", "adam", "sgd", -480.0, -2000.0, -3.0, 0.4), *ROWS[1:]]
    ax = plots.plot_forest(differences(rows), "lambda_max")
    assert ax.get_xlim()[1] <= 1.06 * 1.15 * FARTHEST_EFFECT
    assert "-480" in [text.get_text() for text in ax.texts]


def test_an_interval_beyond_the_panel_ends_in_an_arrow():
    ax = plots.plot_forest(differences(ROWS), "lambda_max")
    assert ax.get_xlim()[1] <= 1.06 * FARTHEST
    arrows = [line for line in ax.lines if line.get_marker() == ">"]
    assert [float(line.get_ydata()[0]) for line in arrows] == [2.0]


def test_a_pair_without_spread_says_so_instead_of_an_effect():
    nothing = [("trace", "a", "b", np.nan, np.nan, np.nan, 1.0)]
    ax = plots.plot_forest(differences(nothing), "trace")
    assert not marks(ax)
    assert any("no effect size" in line.get_label() for line in ax.lines)


def test_of_many_pairs_those_with_the_first_group_are_drawn():
    names = [f"a{i}" for i in range(8)]
    rows = [("trace", x, y, 0.1, -1.0, 1.0, 1.0) for i, x in enumerate(names) for y in names[i + 1 :]]
    assert len(rows) > MOST_ROWS
    assert set(drawn_pairs(differences(rows), "trace")["a"]) == {"a0"}


def test_a_measure_that_was_not_compared_is_refused_by_name():
    with pytest.raises(UsageError, match=r"'trace'; there is lambda_max"):
        plots.plot_forest(differences(ROWS), "trace")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Two arms of one optimizer, three seeds each, told apart by their labels alone."""
    folder = tmp_path_factory.mktemp("labelled")
    with ResultStore(folder) as store:
        for arm, (label, top) in enumerate((("b16", 40.0), ("b4", 20.0))):
            for seed in range(3):
                rng = np.random.default_rng(10 * arm + seed)
                info = synthetic.run_info("sgd", seed)
                info["config"]["label"] = label
                name = f"{label}-s{seed}"
                store.describe_run(name, info)
                metrics = {"train_loss": 0.01, "test_loss": 0.1, "test_accuracy": 0.9 + 0.01 * rng.random()}
                store.describe_checkpoint(name, 10, metrics)
                sharp = top * (1 + 0.02 * rng.standard_normal())
                records = synthetic.tail_records(rng, sharp) | synthetic.final_records(rng, sharp, vectors=False)
                for key, record in records.items():
                    store.write(name, 10, key, record, synthetic.provenance(key, record))
        store.consolidate()
    return load_results(folder)


def test_runs_of_one_optimizer_are_grouped_by_their_labels_in_natural_order(labelled):
    assert {run.label for run in labelled.runs} == {"b4", "b16"}
    drawn = {drawing.name: drawing for drawing in plots.drawings(labelled)}
    assert "3 seeds per arm" in drawn["summary"].caption
    labels = [t.get_text() for t in drawn["summary"].figure.axes[0].get_yticklabels()]
    assert labels == ["b4", "b16"]
    assert {"spectrum_b4", "spectrum_b16"} <= set(drawn)
    means = comparison.compare(labelled, by="label")
    assert list(dict.fromkeys(means["group"])) == ["b4", "b16"]


def test_the_analysis_draws_the_differences_with_their_smallest_p(labelled):
    drawn = {drawing.name: drawing for drawing in plots.drawings(labelled)}
    assert "cannot fall below 0.25" in drawn["differences"].caption  # three pairs: 2 of 8 signs
    found = comparison.contrasts(labelled, by="label").query("measure == 'lambda_max'")
    panel = next(
        ax
        for ax in drawn["differences"].figure.axes
        if "Largest eigenvalue" in (ax.get_title(), ax.get_title(loc="left"))
    )
    assert [x for x, _ in marks(panel)] == pytest.approx([found["effect"].iloc[0]])


def test_without_replicates_there_are_no_differences_to_draw(tmp_path):
    results = load_results(synthetic.make_results(tmp_path, seeds=(0,), vectors=False))
    assert "differences" not in {drawing.name for drawing in plots.drawings(results)}


def test_runs_without_a_label_are_grouped_by_their_optimizer(tmp_path):
    results = load_results(synthetic.make_results(tmp_path, vectors=False))
    assert {run.label for run in results.runs} == {"adam", "momentum", "sgd"}
    assert "2 seeds per optimizer" in next(plots.drawings(results)).caption


def test_every_panel_has_its_title_and_none_lies_over_the_next(labelled):
    found = comparison.contrasts(labelled, by="label")
    with plots.house_style():
        (drawing,) = plots.draw_differences(found)
        drawing.figure.canvas.draw()
        titles = [ax.title if ax.get_title() else ax._left_title for ax in drawing.figure.axes]
        boxes = [title.get_window_extent() for title in titles]
    assert len(boxes) > 2
    assert all(title.get_text() for title in titles)
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
