"""analyze: checkpoints in, results and report out; resumable, and nothing bad in a folder stops the rest."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape import tables
from landscape.analysis import measuring, pipeline, quantities
from landscape.report.methods import methods
from landscape.store import rows
from tests.support.runs import CONFIG, SMALL, make_runs, save_run
from tests.support.tables import PROMISED

WORST = {"sharpness_worst", "sharpness_adaptive_worst", "sharpness_keskar", "sharpness_normalized_worst"}
#: What a quick plan leaves out.
NOT_QUICK = [
    "sharpness_relative_flatness", "sharpness_relative_flatness_sem", "sharpness_fisher_rao",
    "sharpness_flatness_radius", "sharpness_flatness_radius_sem", "sharpness_flatness_radius_magnitude",
    "sharpness_flatness_radius_magnitude_sem",
]  # fmt: skip


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory):
    """Two optimizers × two seeds, analysed once; tests that change anything copy it."""
    folder = make_runs(tmp_path_factory.mktemp("runs"))
    ls.analyze(folder, SMALL, command="landscape analyze runs")
    return folder


@pytest.fixture
def copy_of_analyzed(analyzed, tmp_path, monkeypatch):
    """To be analysed again; drawing takes most of the time, and test_report looks at that."""
    monkeypatch.setattr(pipeline, "write_report", lambda results: None)
    return shutil.copytree(analyzed, tmp_path / "runs")


def measured_in(monkeypatch, folder, plan=SMALL):
    """Names of the records that an analysis measures anew."""
    names = []
    original = measuring.measure

    def spy(store, run, step, quantity, *rest):
        names.append((run, step, quantity.name))
        return original(store, run, step, quantity, *rest)

    monkeypatch.setattr(measuring, "measure", spy)
    ls.analyze(folder, plan)
    return names


def test_it_leaves_results_report_tables_and_figures(analyzed):
    made = {path.name for path in analyzed.rglob("*") if path.is_file()}
    assert {"results.h5", "report.html", "summary.csv", "summary.tex"} <= made
    assert any(name.endswith(".pdf") for name in made)
    assert not list(analyzed.glob("results.h5.parts/*"))


#: A quick plan does not look at it.
ALONG = (
    "stability_ratio", "critical_sharpness", "batch_sharpness", "directional_sharpness", "noise_scale",
    "noise_scale_sem", "gradient_share", "update_share", "distance_from_start", "distance_from_end",
)  # fmt: skip


def test_the_table_has_one_row_per_analysed_checkpoint_in_the_documented_order(analyzed):
    found = rows(ls.load_results(analyzed))
    assert len(found) == 4 * SMALL.last
    assert list(found[0]) == PROMISED
    json.dumps(found, allow_nan=False)
    final = [row for row in found if row["step"] == 3]
    assert {name for row in final for name in row if row[name] is None} == {"warning", *NOT_QUICK, *ALONG}


def test_its_numbers_are_those_of_the_dense_hessian(analyzed):
    for run in ls.load_results(analyzed).runs:
        checkpoint = ls.CheckpointDir(analyzed / run.name)[-1]
        dense = ls.HessianOperator(checkpoint.objective(dtype=torch.float64)).dense().numpy()
        spectrum = np.linalg.eigvalsh(dense)
        records = run.last.records
        eigs, tr = records["eigenpairs"], records["trace"]
        slack = 1e-5 * abs(spectrum).max()  # the analysis ran in float32
        k = SMALL.eigs
        assert np.all(abs(eigs.values[:k] - spectrum[::-1][:k]) <= eigs.residuals[:k] + slack)
        assert np.all(abs(eigs.values[k:] - spectrum[:k][::-1]) <= eigs.residuals[k:] + slack)
        assert abs(tr.value - spectrum.sum()) <= 5 * tr.sem
        assert records["gap"].value == eigs.values[0] - eigs.values[1]
        assert records["point"].grad_norm == pytest.approx(float(checkpoint.objective().gradient().norm()), rel=1e-5)


def test_earlier_checkpoints_get_eigenvalues_and_gap_only(analyzed):
    run = ls.load_results(analyzed).runs[0]
    assert set(run.checkpoints[0].records) == {"point", "train", "test", "eigenpairs", "gap"}
    assert run.checkpoints[0].records["eigenpairs"].vectors.shape[1] == 0
    assert run.last.records["eigenpairs"].vectors.shape[1] == 2 * SMALL.eigs


def test_minima_of_one_seed_or_one_optimizer_are_joined(analyzed):
    pairs = ls.load_results(analyzed).pairs
    of_one_seed, of_one_optimizer = (
        (("adam-s0", "sgd-s0"), ("adam-s1", "sgd-s1")),
        (("adam-s0", "adam-s1"), ("sgd-s0", "sgd-s1")),
    )
    assert {(p.run_a, p.run_b) for p in pairs} == {*of_one_seed, *of_one_optimizer}
    for pair in pairs:
        a, b = (ls.CheckpointDir(analyzed / name)[-1].objective() for name in (pair.run_a, pair.run_b))
        assert pair.record.loss[[0, -1]] == pytest.approx([a.loss(), b.loss()], rel=1e-6)


def test_a_second_analysis_measures_nothing_and_says_the_same(copy_of_analyzed, monkeypatch):
    before = rows(ls.load_results(copy_of_analyzed))
    assert measured_in(monkeypatch, copy_of_analyzed) == []
    assert rows(ls.load_results(copy_of_analyzed)) == before


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        ({"trace_probes": 6}, {"trace"}),
        ({"steps": 7}, {"density"}),
        ({"points": 7}, {"line_eigenvector_1", "line_random_0"}),
        ({"restarts": 2}, WORST),
        ({"samples": 3}, {"sharpness_average", "sharpness_adaptive_average", "sharpness_normalized_average"}),
        ({"tol": 1e-4}, {"eigenpairs", "gap", "second_order_gain", "trace", "density", "line_eigenvector_1"}),
        ({"plane_points": 7}, {"plane"}),
        ({"directions": 2}, {"line_random_1"}),
    ],
)
def test_a_changed_plan_measures_only_what_it_concerns(copy_of_analyzed, monkeypatch, change, concerned):
    plan = ls.Plan(**{**SMALL.fields(), **change})
    assert {name for _, _, name in measured_in(monkeypatch, copy_of_analyzed, plan)} == concerned


def test_an_analysis_on_fewer_examples_says_so_and_is_that_of_those_examples(copy_of_analyzed):
    plan = ls.Plan(**{**SMALL.fields(), "examples": 9, "last": 1})
    ls.analyze(copy_of_analyzed, plan)
    results = ls.load_results(copy_of_analyzed)
    run = results.runs[0]
    whole = ls.CheckpointDir(copy_of_analyzed / run.name)[-1].objective(dtype=torch.float64)
    assert (run.info["num_examples"], run.info["of_examples"]) == (9, whole.num_examples)
    drawn = np.sort(np.random.default_rng(SMALL.seed).choice(whole.num_examples, 9, replace=False))
    spectrum = np.linalg.eigvalsh(ls.HessianOperator(whole.subset(drawn)).dense().numpy())
    eigs = run.last.records["eigenpairs"]
    assert abs(eigs.values[0] - spectrum[-1]) <= eigs.residuals[0] + 1e-5 * abs(spectrum).max()
    note = f"on 9 of {whole.num_examples} training examples, drawn at random"
    assert any(line.startswith(note) for line in tables.caption_lines(results))
    assert f"over 9 of {whole.num_examples} training examples" in methods(results)[0]


def test_parts_of_the_data_show_how_far_the_numbers_depend_on_them(copy_of_analyzed, monkeypatch):
    plan = ls.Plan(**{**SMALL.fields(), "subsets": 3})
    measured = measured_in(monkeypatch, copy_of_analyzed, plan)
    assert {name for _, _, name in measured} == {"sampling_lambda_max", "sampling_trace"}
    run = ls.load_results(copy_of_analyzed).runs[0]
    spread = run.last.records["sampling_lambda_max"]
    assert spread.full == run.last.records["eigenpairs"].values[0]
    objective = ls.CheckpointDir(copy_of_analyzed / run.name)[-1].objective(dtype=torch.float64)
    order, size = np.random.default_rng(SMALL.seed).permutation(objective.num_examples), objective.num_examples // 3
    for i, value in enumerate(spread.values):
        part = objective.subset(np.sort(order[i * size : (i + 1) * size]))
        exact = np.linalg.eigvalsh(ls.HessianOperator(part).dense().numpy())[-1]
        assert value == pytest.approx(exact, rel=2 * SMALL.tol)
    with pytest.raises(ls.UsageError, match="subsets=1"):
        ls.Plan(subsets=1)


def test_a_route_that_is_named_is_taken_and_what_is_there_stays(copy_of_analyzed, monkeypatch):
    save_run(copy_of_analyzed / "adam-s2", seed=2, optimizer="adam")
    plan = ls.Plan(**{**SMALL.fields(), "route": "differences", "barriers": 0})
    measured = measured_in(monkeypatch, copy_of_analyzed, plan)
    assert {run for run, _, _ in measured} == {"adam-s2"}
    last = ls.load_results(copy_of_analyzed / "results.h5")["adam-s2"][-1]
    assert last.provenance["eigenpairs"]["route"] == "differences"


def test_changed_parameters_are_measured_again(copy_of_analyzed, monkeypatch):
    save_run(copy_of_analyzed / "sgd-s1", optimizer="sgd", seed=1, shift=0.1)
    measured = measured_in(monkeypatch, copy_of_analyzed)
    assert {run for run, _, _ in measured} == {"sgd-s1"}
    assert {step for _, step, _ in measured} == {2, 3}


def test_another_dtype_is_another_question(copy_of_analyzed, monkeypatch):
    plan = ls.Plan(**{**SMALL.fields(), "dtype": "float64"})
    assert len(measured_in(monkeypatch, copy_of_analyzed, plan)) > 4 * 10


def test_bad_files_are_skipped_listed_and_stop_nothing(copy_of_analyzed):
    truncated = copy_of_analyzed / "adam-s0" / "step_00000003.h5"
    truncated.write_bytes(truncated.read_bytes()[:500])
    (copy_of_analyzed / "adam-s1" / "step_00000004.h5").write_bytes(b"no HDF5 at all")
    results = ls.load_results(ls.analyze(copy_of_analyzed, SMALL))
    assert {s["file"] for s in results.info["skipped"]} == {"adam-s0/step_00000003.h5", "adam-s1/step_00000004.h5"}
    assert {run.name: run.last.step for run in results.runs} == {"adam-s0": 2, "adam-s1": 3, "sgd-s0": 3, "sgd-s1": 3}


def test_a_run_of_another_architecture_is_skipped_with_the_difference(copy_of_analyzed):
    with torch.random.fork_rng():
        other = nn.Linear(3, 3)
    shutil.rmtree(copy_of_analyzed / "adam-s0")
    ls.save_checkpoint(copy_of_analyzed / "adam-s0", other, step=3, problem="mlp-digits")
    results = ls.load_results(ls.analyze(copy_of_analyzed, SMALL))
    (skipped,) = results.info["skipped"]
    assert skipped["file"] == "adam-s0/step_00000003.h5"
    assert "weight" in skipped["reason"]
    assert [run.name for run in results.runs] == ["adam-s1", "sgd-s0", "sgd-s1"]


def test_an_unknown_problem_is_refused_when_nothing_else_is_there(tmp_path):
    with torch.random.fork_rng():
        ls.save_checkpoint(tmp_path / "run", nn.Linear(3, 3), step=1, problem="made-up")
    with pytest.raises(ls.CheckpointError, match="'made-up', which is not a registered problem.*--problem"):
        ls.analyze(tmp_path, SMALL)


def test_a_problem_of_the_users_own_is_used_where_they_name_it(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom landscape.problems import Problem\n"
        "def factory():\n"
        "    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))\n"
        "    data = x, (x[:, 0] > 0).long()\n"
        "    return Problem(build=lambda: torch.nn.Linear(3, 2), loss_fn=torch.nn.functional.cross_entropy,\n"
        "                   loss_name='cross_entropy', train=data, test=data, num_classes=2)\n"
    )
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        ls.save_checkpoint("run", nn.Linear(3, 2), step=1)
    results = ls.load_results(ls.analyze("run", ls.Plan(**{**SMALL.fields(), "problem": "mine:factory"})))
    assert results.runs[0].last.records["eigenpairs"].converged.all()


def test_one_run_alone_is_named_after_its_folder(copy_of_analyzed):
    results = ls.load_results(ls.analyze(copy_of_analyzed / "adam-s0", SMALL))
    assert [run.name for run in results.runs] == ["adam-s0"]


@pytest.mark.slow
def test_runs_measured_side_by_side_give_the_same_numbers(analyzed, copy_of_analyzed):
    (copy_of_analyzed / "results.h5").unlink()
    ls.analyze(copy_of_analyzed, ls.Plan(**{**SMALL.fields(), "workers": 2}))
    alone, together = (rows(ls.load_results(folder)) for folder in (analyzed, copy_of_analyzed))
    for a, b in zip(alone, together, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


@pytest.mark.slow
def test_a_process_that_dies_takes_only_its_own_run_with_it(tmp_path, monkeypatch):
    folder = make_runs(tmp_path / "runs")
    (tmp_path / "deadly.py").write_text(
        "import os\nfrom landscape.problems import get_problem\n"
        "def factory(*, checkpoint_config):\n"
        "    if (checkpoint_config['optimizer'], checkpoint_config['seed']) == ('sgd', 1):\n"
        "        os._exit(3)\n"
        f"    return get_problem('mlp-digits', {CONFIG})\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    plan = ls.Plan(**{**SMALL.fields(), "workers": 2, "problem": "deadly:factory", "barriers": 0})
    results = ls.load_results(ls.analyze(folder, plan))
    (skipped,) = results.info["skipped"]
    assert "process ended with status 3" in skipped["reason"]
    assert "tried again" in skipped["reason"]
    assert [run.name for run in results.runs] == ["adam-s0", "adam-s1", "sgd-s0"]


def test_what_does_not_converge_is_said(copy_of_analyzed):
    plan = ls.Plan(**{**SMALL.fields(), "max_matvecs": 10, "tol": 1e-6})
    results = ls.load_results(ls.analyze(copy_of_analyzed, plan))
    assert "eigenpairs" in results.runs[0].last.not_converged
    assert rows(results)[-1]["converged"] is False


def test_progress_ends_where_it_said_it_would(copy_of_analyzed):
    class Listener:
        seen: list[tuple[float, float, str]]

        def __init__(self):
            self.seen = []

        def update(self, *, done, total, doing):
            self.seen.append((done, total, doing))

    listener = Listener()
    plan = ls.Plan(**{**SMALL.fields(), "seed": 1})
    ls.analyze(copy_of_analyzed, plan, reporter=listener)
    dones = [done for done, _, _ in listener.seen]
    assert dones == sorted(dones)
    assert all(done <= total * 1.0001 for done, total, _ in listener.seen)
    assert listener.seen[-1][0] >= 0.99 * listener.seen[-1][1]


def test_every_quantity_names_the_plan_fields_it_uses():
    """A field that changes a record's value must be in its key: walk all, change each, compare the keys."""
    plan = ls.Plan(**{**SMALL.fields(), "subsets": 2})
    keyed = {f for is_last in (True, False) for q in quantities.quantities(plan, is_last=is_last) for f in q.fields}
    elsewhere = {
        "examples",
        "plan",
        "last",
        "along",
        "every",
        "levels",
        "eigs",
        "directions",
        "planes",  # which; each is a record of its own
        "barriers",
        "pairs",  # which; each has its ends in its key
        "dtype",
        "device",
        "workers",
        "threads",
        "data",
        "problem",
        "problem_config",
        "params",
        "mode",
        "chunk",
        "route",
        "interacting",
        "batch_statistics",
        "check",
        "accuracy",  # SMALL has counts for everything but slices, which call it so: of_range
        "time",
    }
    assert keyed - {"pairs", "both_ends", "against", "with", "of_range"} | elsewhere == set(SMALL.fields())
