"""What training saved is its own word: what was measured is shown, and what differs from it is named."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape import comparison, tables
from landscape.analysis import measuring
from landscape.plots.arrays import measured
from landscape.plots.figures import drawings
from landscape.problems.metrics import evaluate
from landscape.report.methods import methods
from landscape.store import final_rows, load_results, rows
from landscape.store.metrics import class_accuracies
from tests.support.problems import classifier
from tests.support.runs import SMALL
from tests.support.synthetic_results import make_results

ONE = ls.Plan(**{**SMALL.fields(), "last": 2, "barriers": 0})


def own_problem(folder, monkeypatch, body):
    """A module of the user's in the current folder, and its name."""
    name = f"own_{abs(hash(str(folder))) % 10**8}"
    (folder / f"{name}.py").write_text("import torch\nfrom landscape.problems import Problem\n" + body)
    monkeypatch.chdir(folder)
    return f"{name}:factory"


@pytest.fixture(scope="module", autouse=True)
def report_without_figures():
    """Drawing takes most of the time, and test_plots looks at that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landscape.plots.draw_all", lambda results, folder: [])
        yield


def test_a_problem_without_test_data_trains_and_is_measured(tmp_path, monkeypatch):
    problem = classifier(test=None)
    assert set(evaluate(problem, problem.make_model(0))) == {"train_loss", "grad_norm", "param_norm", "train_accuracy"}
    with pytest.raises(ls.UsageError, match="no test data"):
        problem.data("test")
    name = own_problem(
        tmp_path, monkeypatch,
        "def factory():\n"
        "    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))\n"
        "    return Problem(build=lambda: torch.nn.Linear(2, 2), loss_fn=torch.nn.functional.cross_entropy,\n"
        "                   loss_name='ce', train=(x, (x[:, 0] > 0).long()), num_classes=2)\n",
    )  # fmt: skip
    with torch.random.fork_rng():
        ls.save_checkpoint("run", nn.Linear(2, 2), step=1, metrics={"test_accuracy": 91.0, "test_loss": 0.25})
    results = load_results(ls.analyze("run", replace(ONE, problem=name)))
    (row,) = rows(results)
    assert results.info["skipped"] == []
    assert (row["test_loss"], row["test_loss_source"]) == (0.25, "saved")
    assert (row["test_accuracy"], row["test_accuracy_source"]) == (0.91, "saved")
    assert row["warning"] == "test_accuracy: saved 91, read as percent"
    assert "† as training saved it, not measured" in tables.caption_lines(results)
    assert tables.final_cells(results)[0][1][0].text == "91.0†"
    assert r"$91.0^{\dagger}$" in (tmp_path / "run" / "tables" / "summary.tex").read_text()


# --- a liar's checkpoints ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lied(tmp_path_factory):
    """Checkpoints whose metrics are what a script typed, analysed."""
    folder = tmp_path_factory.mktemp("lied")
    problem = ls.get_problem("mlp-digits", {"hidden": [4], "num_train": 60})
    said = {"train_loss": 123, "test_accuracy": 97.4, "test_loss": [1, 2], "accuracy_per_class": "all of them"}
    for step in (1, 2):
        ls.save_checkpoint(folder / "run", problem.make_model(step), step=step, problem=problem, metrics=said)
    right = evaluate(problem, problem.make_model(5))
    percent = right | {"test_accuracy": round(100 * right["test_accuracy"], 1)}
    ls.save_checkpoint(folder / "percent", problem.make_model(5), step=2, problem=problem, metrics=percent)
    ls.analyze(folder, ONE)
    return folder


def test_tables_show_what_was_measured_and_name_what_was_saved(lied):
    results = load_results(lied)
    for row in rows(results):
        checkpoint = next(c for c in ls.CheckpointDir(lied / row["run"]) if c.step == row["step"])
        truth = checkpoint.objective(dtype=torch.float64).loss()
        assert row["train_loss"] == pytest.approx(truth, rel=1e-5)
        assert row["test_loss"] == pytest.approx(
            checkpoint.objective(split="test", dtype=torch.float64).loss(), rel=1e-5
        )
        x, y = checkpoint.find_problem().test
        assert row["test_accuracy"] == pytest.approx(float((checkpoint.model()(x).argmax(1) == y).double().mean()))
        assert row["test_accuracy_source"] == row["train_loss_source"] == row["test_loss_source"] == "measured"
    by_run = {row["run"]: row["warning"] for row in final_rows(results)}
    assert by_run["run"].startswith("train_loss: saved 123, measured 2.")
    assert "test_accuracy: saved 97.4, measured 0." in by_run["run"]
    assert "saved in percent" not in by_run["run"]
    assert by_run["percent"].startswith("test_accuracy: saved ")
    assert " in percent, measured 0." in by_run["percent"]


def test_the_warning_is_one_line_for_each_metric_in_terminal_report_and_latex(lied):
    results = load_results(lied)
    lines = [line for line in tables.caption_lines(results) if "saved" in line]
    assert len(lines) == 3  # train loss, an accuracy that is wrong, one in percent
    assert any("train_loss as training saved it is not that of the checkpoint: saved 123" in line for line in lines)
    assert any("the worst of 2" in line for line in lines)
    report, latex = ((lied / name).read_text() for name in ("report.html", "tables/summary.tex"))
    for text in (report, latex):
        assert "saved 123, measured" in text
    assert "test examples" in methods(results)[0]


def test_figures_and_comparison_read_the_same_numbers(lied):
    results = load_results(lied)
    for run, row in zip(results.runs, final_rows(results), strict=True):
        assert measured(run.last, "test_accuracy").value == 100 * row["test_accuracy"]
        assert measured(run.last, "test_loss").value == row["test_loss"]
        accuracies, source = class_accuracies(run.last)
        assert (len(accuracies), source) == (10, "measured")
    table = comparison.compare(results, by="problem")
    (mean,) = table[table["measure"] == "test_accuracy"]["mean"]
    assert mean == pytest.approx(np.mean([row["test_accuracy"] for row in final_rows(results)]))


def test_changed_test_data_are_measured_again_and_nothing_else(tmp_path, monkeypatch):
    name = own_problem(
        tmp_path, monkeypatch,
        "def factory():\n"
        "    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))\n"
        "    data, shift = (x, (x[:, 0] > 0).long()), float(open('shift').read())\n"
        "    return Problem(build=lambda: torch.nn.Linear(2, 2), loss_fn=torch.nn.functional.cross_entropy,\n"
        "                   loss_name='ce', train=data, test=(data[0] + shift, data[1]), num_classes=2)\n",
    )  # fmt: skip
    with torch.random.fork_rng():
        ls.save_checkpoint("run", nn.Linear(2, 2), step=1)
    names, original = [], measuring.measure

    def spy(store, run, step, quantity, *rest):
        names.append(quantity.name)
        return original(store, run, step, quantity, *rest)

    monkeypatch.setattr(measuring, "measure", spy)
    losses = []
    for shift in ("0", "0", "3"):
        (tmp_path / "shift").write_text(shift)
        names.clear()
        results = load_results(ls.analyze("run", replace(ONE, problem=name)))
        losses.append((results.runs[0].last.records["test"].loss, list(names)))
    (first, all_names), (again, none), (shifted, one) = losses
    assert "test" in all_names
    assert (none, one) == ([], ["test"])
    assert first == again != shifted
    assert results.runs[0].last.records["point"].loss == pytest.approx(first)


def test_test_data_that_the_model_cannot_take_stop_nothing_else(tmp_path, monkeypatch):
    name = own_problem(
        tmp_path, monkeypatch,
        "def factory():\n"
        "    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))\n"
        "    return Problem(build=lambda: torch.nn.Linear(2, 2), loss_fn=torch.nn.functional.cross_entropy,\n"
        "                   loss_name='ce', train=(x, (x[:, 0] > 0).long()), test=(x[:, :1], (x[:, 0] > 0).long()))\n",
    )  # fmt: skip
    with torch.random.fork_rng():
        ls.save_checkpoint("run", nn.Linear(2, 2), step=1, metrics={"test_loss": 0.4})
    results = load_results(ls.analyze("run", replace(ONE, problem=name)))
    (skipped,) = results.info["skipped"]
    assert "test data could not be evaluated" in skipped["reason"]
    (row,) = rows(results)
    assert (row["test_loss"], row["test_loss_source"]) == (0.4, "saved")
    assert row["lambda_max"] is not None


# --- columns say what they are of ----------------------------------------------------------------------------------


def test_on_drawn_examples_every_column_says_what_it_is_of(lied, tmp_path, monkeypatch):
    folder = shutil.copytree(lied, tmp_path / "runs")
    results = load_results(ls.analyze(folder, replace(ONE, examples=20)))
    for row in final_rows(results):
        assert (row["num_examples"], row["of_examples"], row["num_test_examples"]) == (20, 60, 540)
        assert "train_loss" not in (row["warning"] or "")  # that of training was on all
    said = [
        "on 20 of 60 training examples, drawn at random: train loss, ‖g‖, λ, trace, sharpness",
        "on all 540 test examples: test loss and accuracy",
    ]
    assert [line for line in tables.caption_lines(results) if "examples" in line] == said
    latex = (folder / "tables" / "summary.tex").read_text()
    visible = "\n".join(line for line in latex.splitlines() if not line.startswith("%"))
    assert "on 20 of 60 training examples, drawn at random: train loss" in visible
    assert "on all 540 test examples: test loss and accuracy" in visible
    assert all(line in (folder / "report.html").read_text() for line in said)
    table = comparison.compare(results, by="problem")
    assert any("20 of 60 training examples" in note for note in table.attrs["notes"])


def test_options_of_the_objective_and_a_check_left_out_are_said(lied, tmp_path):
    folder = shutil.copytree(lied, tmp_path / "runs")
    results = load_results(ls.analyze(folder, replace(ONE, check=False, params="*.weight", chunk=16)))
    for run in results.runs:
        objective = ls.CheckpointDir(folder / run.name)[-1].objective(params="*.weight", dtype=torch.float64)
        dense = np.linalg.eigvalsh(ls.HessianOperator(objective).dense().numpy())
        eigs = run.last.records["eigenpairs"]
        assert run.info["num_parameters"] == objective.layout.size
        assert abs(eigs.values[0] - dense[-1]) <= eigs.residuals[0] + 1e-5 * abs(dense).max()
        assert run.info["checked"] is False
        assert run.last.provenance["point"]["chunk"] <= 16
    said = tables.caption_lines(results)
    assert "the loss was not examined before it was measured (--no-check)" in said
    assert "over the parameters *.weight alone, the others fixed: ‖g‖, λ, trace, sharpness" in said
    report = (folder / "report.html").read_text()
    assert "The loss was not examined before it was measured (--no-check)." in report
    assert "check=False" in report  # among the plan's settings


def test_a_loss_that_preflight_refuses_is_measured_where_the_check_is_left_out(tmp_path, monkeypatch):
    name = own_problem(
        tmp_path, monkeypatch,
        "def summed(output, target):\n"
        "    return torch.nn.functional.mse_loss(output, target, reduction='sum')\n"
        "def factory():\n"
        "    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))\n"
        "    return Problem(build=lambda: torch.nn.Linear(2, 1), loss_fn=summed, loss_name='sum',\n"
        "                   train=(x, x[:, :1]), test=(x, x[:, :1]))\n",
    )  # fmt: skip
    with torch.random.fork_rng():
        ls.save_checkpoint("run", nn.Linear(2, 1), step=1)
    with pytest.raises(ls.CheckpointError, match="not a mean over examples"):
        ls.analyze("run", replace(ONE, problem=name))
    results = load_results(ls.analyze("run", replace(ONE, problem=name, check=False)))
    assert results.runs[0].last.records["eigenpairs"].converged.all()


def test_figures_say_what_their_numbers_are_of(tmp_path):
    make_results(tmp_path, optimizers=("adam",), steps=(1344,), skipped=False)
    results = load_results(tmp_path, vectors=False)
    assert " Test loss" not in next(drawings(results, {"summary"})).caption
    drawn = {"num_examples": 100, "of_examples": 1437}
    runs = tuple(replace(run, info=run.info | drawn, checkpoints=(saved_only(run.last),)) for run in results.runs)
    summary, classes = drawings(replace(results, runs=runs), {"summary", "classes"})
    assert "On 100 of 1,437 training examples, drawn at random: train loss" in summary.caption
    assert "Test loss and test accuracy as training saved them, not measured." in summary.caption
    assert "as training saved them" in classes.caption


def saved_only(checkpoint):
    records = {name: record for name, record in checkpoint.records.items() if name != "test"}
    return replace(checkpoint, records=records)
