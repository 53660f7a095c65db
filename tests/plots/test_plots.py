"""Figures show the numbers of the records: nothing cut off unsaid, the same colour for an optimizer everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy import stats

from landscape import plots
from landscape.errors import ResultsError
from landscape.plots.labels import figure_text as drawn_text
from landscape.results import PathSlice
from landscape.store import load_results
from tests.support import synthetic_results as synthetic
from tests.support.hostile import NAMES
from tests.support.synthetic_results import make_results


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return load_results(make_results(tmp_path_factory.mktemp("results")))


@pytest.fixture(scope="module")
def drawn(results, tmp_path_factory):
    return {figure.name: figure for figure in plots.draw_all(results, tmp_path_factory.mktemp("figures"))}


@pytest.fixture
def record():
    rng = np.random.default_rng(0)
    return lambda kind: getattr(synthetic, kind)(rng, 20.0)


def test_a_smoothed_density_has_area_one(record):
    grid, density = plots.density_on_grid(record("density"))
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)


def test_the_density_of_one_node_is_the_gaussian_of_its_bandwidth():
    measure = replace(
        synthetic.density(np.random.default_rng(0), 20.0), nodes=np.zeros((1, 1)), weights=np.ones((1, 1))
    )
    grid, density = plots.density_on_grid(measure, bandwidth=0.3)
    np.testing.assert_allclose(density, stats.norm.pdf(grid, scale=0.3), atol=1e-12)


def test_the_curve_is_cut_at_the_height_of_one_eigenvalue(record):
    measure = record("density")
    bandwidth = plots.default_bandwidth(measure)
    floor = plots.one_eigenvalue_height(measure.dim, bandwidth)
    assert floor == pytest.approx(1 / (measure.dim * bandwidth * np.sqrt(2 * np.pi)))
    curve = plots.plot_spectrum(measure).lines[0].get_ydata()
    assert np.nanmin(curve) >= floor * (1 - 1e-9)


def test_sticks_stand_at_the_eigenvalues(record, results):
    eigs = results.runs[0].last.records["eigenpairs"]
    ax = plots.plot_spectrum(record("density"), eigenpairs=eigs)
    xs = np.concatenate([np.atleast_1d(line.get_xdata()) for line in ax.lines])
    for value in eigs.values:
        assert np.any(np.isclose(xs.astype(float), value)), f"no stick at {value}"


def asymmetric_plane():
    plane = synthetic.plane(20.0, ("d1", "d2"))
    x, y = plane.x[None, :], plane.y[:, None]
    return replace(plane, loss=0.1 + np.exp(2 * x) + 0.0 * y)  # rises with x, not with y


def test_a_contour_rises_along_x_where_the_loss_does():
    plane = asymmetric_plane()
    ax = plots.plot_contour(plane)
    for path in ax.collections[0].get_paths():
        inner = path.vertices[np.abs(path.vertices[:, 0]) < 0.999 * plane.x.max()]
        if len(inner):  # a level line that does not touch the frame is vertical
            assert np.ptp(inner[:, 1]) >= np.ptp(inner[:, 0])


def test_nan_in_a_plane_is_a_gap_that_is_said():
    plane = synthetic.plane(20.0, ("d1", "d2"))
    holed = replace(plane, loss=np.where(np.arange(plane.loss.size).reshape(plane.loss.shape) == 3, np.nan, plane.loss))
    texts = " ".join(t.get_text() for t in plots.plot_contour(holed).figure.findobj(matplotlib.text.Text))
    assert "not finite" in texts or "NaN" in texts
    heights, _ = plots.surface_heights(holed)
    np.testing.assert_array_equal(np.isnan(heights), np.isnan(holed.loss))


def test_a_band_reaches_from_the_lowest_seed_to_the_highest(results):
    tails = [plots.tail_of_run(run, "lambda_max") for run in results.runs if run.optimizer == "adam"]
    band = plots.tail_band(tails)
    by_hand = np.array(
        [
            [c.records["eigenpairs"].values[0] for c in run.checkpoints]
            for run in results.runs
            if run.optimizer == "adam"
        ]
    )
    np.testing.assert_allclose(band.low, by_hand.min(0))
    np.testing.assert_allclose(band.high, by_hand.max(0))
    np.testing.assert_allclose(band.mean, by_hand.prod(0) ** (1 / len(by_hand)))  # λ_max is positive


def test_bands_of_more_than_three_groups_stand_side_by_side_at_their_steps(results):
    runs = [
        replace(run, info={**run.info, "config": {**run.config, "label": f"{run.optimizer}-{copy}"}})
        for run in results.runs
        for copy in range(2)
    ]
    for listed, apart in ((results.runs, False), (runs, True)):
        ax = plots.plot_tail(listed, "lambda_max")
        means = [line for line in ax.lines if not line.get_label().startswith("_")]
        assert len(means) == (6 if apart else 3)
        last = [line.get_xdata()[-1] for line in means]
        assert (len(set(last)) == len(means)) is apart
        assert max(map(abs, last)) <= 0.3 * 10  # steps are 10 apart here


def test_an_optimizer_has_one_colour_whichever_others_are_there():
    alone = plots.optimizer_styles(["adam"])["adam"].color
    for others in (["sgd", "adam"], ["adam", "momentum", "sgd"], ["rmsprop", "adam", "gd"]):
        assert plots.optimizer_styles(others)["adam"].color == alone
    colors = {to_hex(s.color) for s in plots.optimizer_styles(["adam", "momentum", "sgd", "gd", "rmsprop"]).values()}
    assert len(colors) == 5


def test_every_figure_of_the_issue_is_drawn(drawn):
    assert {"summary", "last_iterations", "slice_eigenvector", "slice_random", "contour", "surface", "class_accuracy",
            "interpolation"} <= set(drawn)  # fmt: skip
    assert {"spectrum_adam", "spectrum_momentum", "spectrum_sgd"} <= set(drawn)


def test_captions_are_sentences_that_say_what_is_shown(drawn):
    for figure in drawn.values():
        assert figure.caption[0].isupper()
        assert figure.caption.endswith(".")
        assert len(figure.caption.split()) > 12
        assert figure.title
    assert "2 seeds" in drawn["last_iterations"].caption


def test_what_was_not_measured_is_not_drawn(tmp_path):
    results = load_results(make_results(tmp_path / "r", optimizers=("sgd",), seeds=(0,), steps=(10,)))
    run = results.runs[0]
    bare = replace(run.last, records={"eigenpairs": run.last.records["eigenpairs"]})
    names = {
        f.name for f in plots.draw_all(replace(results, runs=(replace(run, checkpoints=(bare,)),), pairs=()), tmp_path)
    }
    assert not names & {"contour", "surface", "slice_random", "slice_eigenvector", "interpolation"}


@pytest.mark.slow
def test_saving_twice_gives_the_same_bytes_and_embeds_truetype(drawn, results, tmp_path):
    again = {f.name: f for f in plots.draw_all(results, tmp_path)}
    for name in ("summary", "contour"):
        assert again[name].png.read_bytes() == drawn[name].png.read_bytes()
        assert again[name].pdf.read_bytes() == drawn[name].pdf.read_bytes()
    assert b"/FontFile2" in drawn["summary"].pdf.read_bytes()
    assert b"/Type3" not in drawn["summary"].pdf.read_bytes()


@pytest.mark.slow
def test_drawing_changes_no_setting_of_the_caller(results, tmp_path):
    before = dict(matplotlib.rcParams)
    plots.draw_all(results, tmp_path)
    assert dict(matplotlib.rcParams) == before


def test_drawing_needs_no_pyplot_and_no_torch():
    code = "import sys, landscape.plots; print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]


def test_the_edge_of_stability_figure_labels_its_threshold():
    ax = plots.plot_sharpness_path([0, 100, 200], [5.0, 18.0, 20.1], 20.0, label="η = 0.1")
    levels = [line for line in ax.lines if np.allclose(np.asarray(line.get_ydata(), float), 20.0)]
    assert levels, "no line at 2/η"
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    texts = " ".join(t.get_text() for t in ax.figure.findobj(matplotlib.text.Text))
    assert re.search(r"2\s*/\s*η", texts)


def cut_off(figure):
    """Texts of a figure, ticks beyond the view left aside, that do not lie within it."""
    figure.canvas.draw()
    ticks = {
        label for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels(which="both")
    }
    ticks |= {label for ax in figure.axes if hasattr(ax, "zaxis") for label in ax.zaxis.get_ticklabels()}
    # Names stand at ticks, too: these must be seen.
    shown = {t for ax in figure.axes for t in ax.get_yticklabels() if re.search("[a-zA-Z]", t.get_text())}
    texts = [t for t in figure.findobj(matplotlib.text.Text) if t.get_visible() and t.get_text().strip()]
    boxes = {t: t.get_window_extent() for t in texts if t not in ticks or t in shown}
    whole = figure.bbox
    return [
        t.get_text()[:60]
        for t, box in boxes.items()
        if box.width and (min(box.x0, box.y0) < -1 or box.x1 > whole.width + 1 or box.y1 > whole.height + 1)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arms",
    [tuple(f"arm-{i}-with-lr=0.{i}" for i in range(12)), NAMES[::3], NAMES[1::3]],
    ids=["twelve", "hostile", "others"],
)
@pytest.mark.filterwarnings("error")  # a glyph that the font lacks, a layout that collapsed
def test_no_label_is_cut_off_whatever_the_names(arms, tmp_path):
    results = load_results(make_results(tmp_path, optimizers=arms, seeds=(0,), steps=(1, 2), vectors=False))
    with plots.house_style():
        for drawing in plots.drawings(results, ("summary", "tails", "lines", "interpolation")):
            assert cut_off(drawing.figure) == [], drawing.name


@pytest.mark.parametrize("house", [True, False])
def test_the_legend_of_paths_is_whole_in_our_style_and_in_the_callers(house):
    names = (*(f"a path with a long name, number {i}" for i in range(10)), NAMES[17], NAMES[3])
    points = np.tile(np.linspace(0, 1, 3)[:, None], (len(names), 2))
    x, y = np.linspace(-1, 2, 9), np.linspace(-1, 2, 9)
    found = PathSlice(
        x, y, x[None] ** 2 + y[:, None] ** 2 + 0.1, ("w_{$", "y" * 200), names, np.full(len(names), 3), points,
        np.zeros(len(points)), 1.0,
    )  # fmt: skip
    with plots.house_style() if house else matplotlib.rc_context():
        ax = plots.plot_paths(found)
        assert cut_off(ax.figure) == []
        (legend,) = ax.figure.legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert len(set(shown)) == len(names)
    box, whole = legend.get_window_extent(), ax.figure.bbox
    assert box.x0 >= -1
    assert box.x1 <= whole.width + 1


def test_names_with_dollars_are_not_mathematics_and_hidden_ones_are_seen():
    name = "_run $x^2$ {$"
    figure = plots.new_figure()
    text = figure.text(0, 0, drawn_text(name))
    figure.canvas.draw()  # bad mathematics would end here
    assert text.get_text().replace("\\$", "$") == f" {name}"
    ax = figure.add_subplot()
    ax.plot([0, 1], label=drawn_text(name))
    assert len(ax.get_legend_handles_labels()[0]) == 1


def test_different_labels_never_share_a_figure(tmp_path):
    arms = ("α", "β", "a", "A", "a/b", "a_b", "x" * 240, "x" * 239)
    results = load_results(make_results(tmp_path, optimizers=arms, seeds=(0,), steps=(1,), vectors=False))
    names = [drawing.name for drawing in plots.drawings(results, ("spectra",))]
    assert len({name.casefold() for name in names}) == len(arms)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", name) for name in names)
    assert "spectrum_a_b" in names  # a plain name stays what it was


def test_a_full_disk_is_one_clear_error_and_the_old_figure_stays(tmp_path, monkeypatch):
    before = [path.read_bytes() for path in plots.save(plots.new_figure(), tmp_path, "figure")]

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResultsError, match="No space left"):
        plots.save(plots.new_figure(), tmp_path, "figure")
    monkeypatch.undo()
    assert [(tmp_path / f"figure.{kind}").read_bytes() for kind in ("pdf", "png")] == before
    assert len(list(tmp_path.iterdir())) == 2
