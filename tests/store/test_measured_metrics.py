"""What training saved is its own word: what was measured is shown, and what differs from it is named."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import landscape as ls
from landscape import comparison, tables
from landscape.analysis import measuring
from landscape.plots.figures import drawings
from landscape.plots.gather import measured
from landscape.problems import Problem
from landscape.problems.metrics import evaluate, evaluate_test
from landscape.report.methods import methods
from landscape.results import Evaluation, PointValue
from landscape.rounding import same_number
from landscape.store import ResultStore, final_rows, load_results, rows
from landscape.store.metrics import class_accuracies, mismatches, read_metric
from tests.support.runs import SMALL
from tests.support.synthetic_results import make_results

ONE = ls.Plan(**{**SMALL.fields(), "last": 2, "barriers": 0})


def stored(folder, metrics, *, test=None, point=0.5, info=None):
    """One run with one checkpoint: what training saved, and what was measured."""
    with ResultStore(folder) as store:
        store.describe_run("a", {"config": {"optimizer": "sgd"}, **(info or {})})
        store.describe_checkpoint("a", 3, metrics)
        store.write("a", 3, "point", PointValue(point, 0.1, 1.0), {})
        if test is not None:
            store.write("a", 3, "test", test, {})
    return load_results(folder)


def classifier(seed=0, *, classes=3, count=60, **more):
    """Three classes of points in the plane, with a third of them for testing."""
    x = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    cut = 2 * count // 3
    facts = {
        "build": lambda: nn.Linear(2, classes), "loss_fn": functional.cross_entropy, "loss_name": "cross_entropy",
        "train": (x[:cut], y[:cut]), "test": (x[cut:], y[cut:]), "num_classes": classes,
    }  # fmt: skip
    return Problem(**{**facts, **more})


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


# --- the number of the model, by another route ---------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [7, 512])
def test_test_loss_and_accuracy_are_those_of_the_definition(at_once):
    problem = classifier(at_once=at_once)
    model = problem.make_model(1)
    score = evaluate_test(problem, model)
    x, y = problem.test
    logits = x.double().numpy() @ model.weight.detach().double().numpy().T + model.bias.detach().double().numpy()
    log_z = np.log(np.exp(logits).sum(1))
    assert score.loss == pytest.approx(float(np.mean(log_z - logits[np.arange(len(y)), y.numpy()])), rel=1e-6)
    right = logits.argmax(1) == y.numpy()
    assert score.accuracy == pytest.approx(right.mean(), abs=0)
    assert score.accuracy_per_class == pytest.approx([right[y.numpy() == c].mean() for c in range(3)])
    assert evaluate(problem, model)["test_loss"] == score.loss


@pytest.mark.parametrize("whole", [True, False])
def test_one_logit_for_two_classes_has_no_accuracy_by_the_largest_score(whole):
    """The largest of one is always the first: it would say that every example is of class 0."""
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    data = x, ((x[:, 0] > 0).long() if whole else (x[:, :1] > 0).float())

    def loss(output, target):
        return functional.binary_cross_entropy_with_logits(output, target.reshape(-1, 1).to(output))

    problem = classifier(build=lambda: nn.Linear(2, 1), loss_fn=loss, train=data, test=data, num_classes=2)
    found = evaluate(problem, problem.make_model(0))
    assert "test_accuracy" not in found
    assert "train_accuracy" not in found
    assert found["test_loss"] > 0


def test_scores_of_every_token_count_each_token():
    tokens = torch.arange(24).reshape(4, 6) % 5

    class Repeat(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x):  # (N, T) -> (N, C, T): says the token before, which is right but for four of 24
            shifted = torch.cat([x[:, :1], x[:, :-1]], 1)
            return self.scale * functional.one_hot((shifted + 1) % 5, 5).float().transpose(1, 2)

    problem = classifier(build=Repeat, train=(tokens, tokens), test=(tokens, tokens), num_classes=5)
    assert evaluate_test(problem, Repeat()).accuracy == pytest.approx(20 / 24)


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


# --- one place says how a metric is read ---------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ["text", [1.0], {"a": 1}, True, None, math.nan, 10**400])
def test_what_is_no_number_is_none_and_stops_nothing(tmp_path, odd):
    names = ("train_loss", "test_loss", "test_accuracy", "grad_norm", "accuracy_per_class")
    with ResultStore(tmp_path) as store:
        store.describe_run("a", {})
        store.describe_checkpoint("a", 3, dict.fromkeys(names, odd))
        store.write("a", 3, "gap", ls.spectral_gap(ls.top_eigenpairs(ls.MatrixOperator(np.eye(3)), 2)), {})
    results = load_results(tmp_path)
    assert all(read_metric(results.runs[0].last, name).value is None for name in names[:-1])
    accuracies, _ = class_accuracies(results.runs[0].last)
    assert accuracies is None or accuracies.tolist() == [1.0]
    (row,) = json.loads(json.dumps(rows(results), allow_nan=False))
    assert row["train_loss"] is row["test_accuracy_source"] is row["warning"] is None
    assert tables.caption_lines(results)


@pytest.mark.parametrize(
    ("saved", "shown", "odd"),
    [
        (0.9, 0.9, None),
        (1, 1, None),
        (90, 0.9, "read as percent"),
        (250, None, "no accuracy"),
        (-1, None, "no accuracy"),
    ],
)
def test_an_accuracy_that_was_not_measured_is_shown_as_a_share_or_not_at_all(tmp_path, saved, shown, odd):
    (row,) = rows(stored(tmp_path, {"test_accuracy": saved}))
    assert row["test_accuracy"] == shown
    assert (odd in row["warning"]) if odd else row["warning"] is None


@pytest.mark.parametrize(
    ("saved", "right"),
    [
        (0.5, True), (0.5004, True), (0.500001, True), (0.501, False), (0.52, False), (123, False), (0, False),
        (math.inf, False), (0.5 * (1 + 2**-20), True),
    ],
)  # fmt: skip
def test_a_saved_loss_differs_beyond_rounding_or_not_at_all(tmp_path, saved, right):
    results = stored(tmp_path, {"train_loss": saved}, point=0.5)
    assert (mismatches(results.runs[0].last, {}) == []) == right


def test_a_saved_number_may_be_rounded_to_the_digits_it_has():
    assert same_number(0.33, 1 / 3)
    assert same_number(97.35, 97.3529)
    assert not same_number(0.32, 1 / 3)
    assert not same_number(0.0, 0.04)  # one decimal says nothing
    assert not same_number(1.0, 0.96)
    assert same_number(2e-8, 3e-7)  # both are rounding
    assert not same_number(math.nan, 0.5)
    assert same_number(math.inf, math.inf)


def test_one_example_at_the_border_of_two_classes_is_no_mismatch(tmp_path):
    one_off = stored(tmp_path / "a", {"test_accuracy": 9 / 10}, test=Evaluation(0.5, 10, 0.8))
    assert mismatches(one_off.runs[0].last, {}) == []
    two_off = stored(tmp_path / "b", {"test_accuracy": 1.0}, test=Evaluation(0.5, 10, 0.8))
    assert [str(found) for found in mismatches(two_off.runs[0].last, {})] == ["test_accuracy: saved 1, measured 0.8"]


@pytest.mark.parametrize("info", [{"num_examples": 50, "of_examples": 200}, {"mode": "train"}])
def test_a_loss_on_other_examples_or_in_another_mode_is_not_held_against_the_saved_one(tmp_path, info):
    results = stored(tmp_path, {"train_loss": 0.7}, point=0.5, info=info)
    (row,) = rows(results)
    assert (row["train_loss"], row["warning"]) == (0.5, None)


def test_a_measured_loss_that_is_not_finite_is_missing_and_not_replaced_by_the_saved_one(tmp_path):
    (row,) = rows(stored(tmp_path, {"train_loss": 0.7}, point=math.nan))
    assert (row["train_loss"], row["train_loss_source"]) == (None, "measured")
    assert row["warning"] == "train_loss: saved 0.7, measured not a number"


def test_saved_class_accuracies_in_percent_are_shares(tmp_path):
    last = stored(tmp_path, {"accuracy_per_class": [90.0, None, 100.0]}).runs[0].last
    accuracies, source = class_accuracies(last)
    assert source == "saved"
    assert accuracies == pytest.approx([0.9, math.nan, 1.0], nan_ok=True)


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


# --- the plan ------------------------------------------------------------------------------------------------------


def test_only_options_that_were_asked_for_reach_the_objective():
    assert ls.Plan().objective_options() == {}
    plan = ls.Plan(params="fc*", chunk=8, device="cpu")
    assert plan.objective_options() == {"params": "fc*", "chunk": 8, "device": "cpu"}
    assert ls.Plan(interacting=True).objective_options() == {"interacting": True}
    assert ls.Plan(mode="train").objective_options() == {"mode": "train"}


def test_interacting_examples_are_part_of_the_question_and_leave_out_parts_of_the_data():
    plan = ls.Plan("thorough", interacting=True)
    assert plan.subsets == 0
    assert ls.Plan(**plan.fields()) == plan
    seen = {}

    class Checkpoint:
        def objective(self, problem, **options):
            seen.update(options)
            return "objective"

    assert measuring.objective_of(Checkpoint(), plan, check=True) == "objective"
    assert seen["interacting"] is True
    assert seen["check"] is True


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"chunk": 0}, "chunk=0 must be a whole number of at least 1"),
        ({"chunk": True}, "chunk=True must be"),
        ({"chunk": 8, "interacting": True}, "would cut the batches that interacting=True asks to keep whole"),
        ({"chunk": 8, "mode": "train"}, "would cut the batches that mode='train'"),
        ({"examples": 5, "interacting": True}, "examples=5 would measure parts of batches"),
        ({"subsets": 2, "interacting": True}, "subsets=2 would measure parts of batches"),
        ({"params": " "}, "must be globs"),
        ({"params": ["fc"]}, "must be globs"),
        ({"check": "no"}, "check='no' must be True or False"),
        ({"mode": "test"}, "mode='test' is not one of"),
    ],
)
def test_options_that_contradict_each_other_are_refused(fields, said):
    with pytest.raises(ls.UsageError, match=said.replace("(", r"\(")):
        ls.Plan(**fields)
