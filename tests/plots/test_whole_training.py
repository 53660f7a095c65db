"""Figures of whole trainings: means between checkpoints of different steps, which figures there are, what is drawn."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import same_color

from landscape import plots
from landscape.errors import UsageError
from landscape.plots.tails import Tail
from landscape.results import LineSlice
from tests.support import whole_trainings

SUBJECTS = {"training_loss", "training_gradient", "training_curvature", "training_distance", "training_steps"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return whole_trainings.make(tmp_path_factory.mktemp("results"))


def tail(steps, values) -> Tail:
    steps, values = np.array(steps, float), np.array(values, float)
    return Tail(steps, values, np.full(steps.shape, np.nan), np.ones(steps.shape, bool))


def test_seeds_of_different_steps_are_read_between_their_checkpoints_in_logarithms():
    """Both halve every ten steps, from 8 and from 2: their geometric mean does so from 4, wherever they were saved."""
    one = tail([0, 10, 40], [8, 4, 0.5])
    other = tail([0, 20, 50], [2, 0.5, 0.0625])
    band = plots.band_of_curves([one, other])
    np.testing.assert_array_equal(band.steps, [0, 10, 20, 40])
    np.testing.assert_allclose(band.mean, 4 * 0.5 ** (band.steps / 10))
    np.testing.assert_allclose(band.low, 2 * 0.5 ** (band.steps / 10))
    np.testing.assert_allclose(band.high, 8 * 0.5 ** (band.steps / 10))


def test_values_that_are_not_positive_are_read_on_straight_lines():
    band = plots.band_of_curves([tail([0, 10], [0, 10]), tail([0, 5, 10], [2, 7, 12])])
    np.testing.assert_allclose(band.mean, [1, 6, 11])


def test_one_seed_and_seeds_that_share_no_steps_have_no_band():
    assert plots.band_of_curves([tail([0, 10], [1, 2])]) is None
    assert plots.band_of_curves([tail([0, 10], [1, 2]), tail([20, 30], [1, 2])]) is None


def test_there_is_a_figure_for_each_subject_and_one_for_each_optimizer(results):
    found = {drawing.name: drawing for drawing in plots.drawings(results, ("training",))}
    assert set(found) == SUBJECTS | {"training_of_adam", "training_of_sgd"}
    titles = [ax.get_title() for ax in found["training_of_sgd"].figure.axes]
    assert titles == ["Loss", "Accuracy", "Gradient norm", "Edge of stability", "Spectral ratio", "Trace", "Distance",
                      "In the top space", "Gradient noise scale"]  # fmt: skip
    assert "2 seeds per optimizer" in found["training_loss"].caption
    assert "not its beginning" not in found["training_distance"].caption


def test_runs_of_which_the_last_checkpoints_alone_were_measured_have_none(results):
    runs = tuple(replace(run, info={**run.info, "along": []}) for run in results.runs)
    assert [d.name for d in plots.drawings(replace(results, runs=runs), ("training",))] == ["training_steps"]


def test_a_start_that_is_not_the_beginning_is_said(tmp_path):
    late = whole_trainings.make(tmp_path, steps={0: (40, 90, 200)})
    found = {drawing.name: drawing for drawing in plots.drawings(late, ("training",))}
    assert "not its beginning: the first checkpoints are of step 40" in found["training_distance"].caption
    assert "Each line is one run" in found["training_distance"].caption


def test_a_panel_has_the_numbers_of_the_checkpoints(results):
    run = results.run("sgd-s0")
    ax = plots.plot_training([run], "distance_from_start")
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_xdata(), whole_trainings.STEPS[0])
    np.testing.assert_allclose(line.get_ydata(), np.sqrt(whole_trainings.STEPS[0]))
    both = plots.plot_training_of_group(run, ("train_loss", "test_loss"))
    drawn = {line.get_label(): line for line in both.lines}
    assert set(drawn) == {"training", "test"}
    expected = 2.3 * np.exp(-np.array(whole_trainings.STEPS[0]) / 200) + 0.004
    np.testing.assert_allclose(drawn["training"].get_ydata(), expected)
    np.testing.assert_allclose(drawn["test"].get_ydata(), 1.1 * expected + 0.05)
    assert not same_color(drawn["training"].get_color(), drawn["test"].get_color())


def test_every_step_is_drawn_by_medians_of_windows_over_all_seeds(results):
    """Of norms e⁻ˢ and 4e⁻ˢ, s = step/200: half way between the largest of the one and the least of the other."""
    drawing = next(d for d in plots.drawings(results, ("training",)) if d.name == "training_steps")
    above, below = drawing.figure.axes
    assert [ax.get_title() for ax in (above, below)] == ["Gradient norm of each batch", "Step size"]
    steps, medians = above.lines[0].get_data()
    width = -(-601 // plots.WINDOWS)
    first = np.arange(len(steps) - 1) * width + 1  # the last window is cut short
    np.testing.assert_allclose(steps[:-1], first - 1 + width / 2)
    expected = (np.exp(-first / 200) + 4 * np.exp(-(first + width - 1) / 200)) / 2
    np.testing.assert_allclose(medians[:-1], expected)
    np.testing.assert_allclose(below.lines[0].get_ydata(), 0.1)


def test_one_run_has_a_dot_for_each_step(results):
    found = results.run("sgd-s0").last.records["history"]
    dots, medians = found.plot().lines
    np.testing.assert_allclose(dots.get_ydata(), np.exp(-np.arange(1, 602) / 200))
    assert len(medians.get_xdata()) <= plots.WINDOWS
    with pytest.raises(UsageError, match="name='loss'"):
        found.plot(name="loss")


def test_noise_is_drawn_over_the_whole_training_where_that_was_measured(results):
    (found,) = plots.drawings(results, ("noise",))
    assert found.figure.axes[0].get_xlim()[1] > 500
    runs = tuple(replace(run, info={**run.info, "along": []}) for run in results.runs)
    (found,) = plots.drawings(replace(results, runs=runs), ("noise",))
    assert found.figure.axes[0].get_xlim()[1] < 5


def test_an_eigenvector_is_turned_so_that_the_loss_rises_more_to_the_right():
    t = np.linspace(-1, 2, 7)
    line = LineSlice(t, t**2 - 0.2 * t**3, "eigenvector 1", 1.0, "direction", 2.0, 2.0, 0.0)
    right = plots.steeper_to_the_right(line)
    left = replace(line, t=-t[::-1], loss=line.loss[::-1])
    assert plots.steeper_to_the_right(left).t.tolist() == right.t.tolist() == t.tolist()
    np.testing.assert_array_equal(plots.steeper_to_the_right(left).loss, right.loss)


def test_all_optimizers_stand_on_one_axis_along_their_sharpest_directions(results):
    found = {drawing.name: drawing for drawing in plots.drawings(results, ("lines",))}
    (ax,) = found["slice_eigenvector_together"].figure.axes
    assert {line.get_label() for line in ax.lines if not line.get_label().startswith("_")} == {"adam", "sgd"}
    alone = replace(results, runs=tuple(run for run in results.runs if run.optimizer == "sgd"))
    assert "slice_eigenvector_together" not in {drawing.name for drawing in plots.drawings(alone, ("lines",))}


@pytest.mark.slow
def test_the_script_beside_the_figures_draws_them_again(results, tmp_path):
    plots.draw_all(results, tmp_path)
    again = [*sorted(SUBJECTS), "training_of_adam", "slice_eigenvector_together"]
    before = {name: (tmp_path / f"{name}.png").read_bytes() for name in again}
    for name in again:
        (tmp_path / f"{name}.png").unlink()
    subprocess.run([sys.executable, tmp_path / "figures.py", *again], check=True, timeout=300)
    assert {name: (tmp_path / f"{name}.png").read_bytes() for name in again} == before
