"""The edge of stability against the step: the numbers of the tables, each with its threshold in its colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from landscape import plots
from landscape.results import Estimate
from landscape.store import ResultStore, load_results
from tests.support.record_examples import examples
from tests.support.synthetic_results import provenance, run_info

TABLE = examples()["Stability"]
STEPS = (100, 200, 300)


def stored(folder, *, seeds=(0,), **changed):
    """Runs of Adam whose values double at each checkpoint; ``changed`` are fields of their tables."""
    with ResultStore(folder) as store:
        for seed in seeds:
            run = f"adam-s{seed}"
            store.describe_run(run, run_info("adam", seed))
            for i, step in enumerate(STEPS):
                store.describe_checkpoint(run, step, {})
                table = replace(TABLE, **({"values": TABLE.values * 2.0**i * 4.0**seed, "step": step} | changed))
                noise = Estimate(30.0 * 2**i, sem=3.0, method="tr Σ/‖g‖², 64 batches of 20")
                share = Estimate(0.4 + 0.1 * i, method="share of the gradient in the span of the 2 top eigenvectors")
                for name, record in (("stability", table), ("noise_scale", noise), ("gradient_share", share)):
                    store.write(run, step, name, record, provenance(name, record))
    return load_results(folder)


def lines(ax):
    """Label → (x, y) of the lines that have one."""
    return {line.get_label(): line.get_data() for line in ax.lines if not line.get_label().startswith("_")}


def test_the_decisive_curvature_and_those_along_the_steps_are_drawn_with_their_thresholds(tmp_path):
    (run,) = stored(tmp_path).runs
    ax = plots.plot_stability_path(run)
    drawn = lines(ax)
    assert {"λ_max(P⁻¹H)", "critical sharpness", "batch sharpness", "threshold of the same colour"} == set(drawn)
    for label, measure in (("λ_max(P⁻¹H)", "preconditioned_sharpness"), ("critical sharpness", "critical_sharpness")):
        x, y = drawn[label]
        assert list(x) == [*STEPS]
        np.testing.assert_allclose(y, TABLE[measure].value * np.array([1, 2, 4]))
        color = next(line.get_color() for line in ax.lines if line.get_label() == label)
        flat = [line.get_ydata() for line in ax.lines if line.get_color() == color and len(line.get_ydata()) == 3]
        assert any(np.array_equal(y, np.full(3, TABLE[measure].threshold)) for y in flat)
    assert ax.get_yscale() == "log"


def test_without_a_threshold_lambda_max_stands_for_the_curvature(tmp_path):
    (run,) = stored(tmp_path, thresholds=np.full(5, np.nan)).runs
    assert {"λ_max", "critical sharpness", "batch sharpness"} <= set(lines(plots.plot_stability_path(run)))


def test_of_several_seeds_the_thick_line_is_their_geometric_mean(tmp_path):
    runs = stored(tmp_path, seeds=(0, 1)).runs
    _, y = lines(plots.plot_stability_path(runs))["critical sharpness"]
    np.testing.assert_allclose(y, TABLE["critical_sharpness"].value * 2 * np.array([1, 2, 4]))


def test_the_report_has_a_figure_of_stability_and_one_of_noise_where_there_is_more_than_one_checkpoint(tmp_path):
    results = stored(tmp_path / "along")
    found = {drawing.name: drawing for drawing in plots.drawings(results, ("stability", "noise"))}
    assert set(found) == {"stability", "noise"}
    assert [ax.get_title() for ax in found["stability"].figure.axes] == ["adam"]
    assert [ax.get_ylabel() for ax in found["noise"].figure.axes] == ["tr Σ/‖g‖² (examples)", "‖Uᵀg‖²/‖g‖² (%)"]
    assert found["noise"].figure.axes[1].lines[0].get_ydata() == pytest.approx([40, 50, 60])
    (run,) = results.runs
    alone = replace(results, runs=(replace(run, checkpoints=run.checkpoints[-1:]),))
    assert not list(plots.drawings(alone, ("stability", "noise")))
