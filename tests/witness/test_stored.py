"""``landscape crosscheck``: which checkpoint, which question, and where the table goes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

import landscape as ls
from landscape.results import Crosscheck
from landscape.witness import ours, stored
from tests.support.command_line import call
from tests.support.runs import SMALL, save_run

CHEAP = {"witnesses": ("float64", "probes"), "num_probes": 4, "density_probes": 2, "num_steps": 5}


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crosscheck") / "runs"
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            save_run(folder / f"sgd-s{seed}", optimizer="sgd", seed=seed)
    ls.analyze(folder, SMALL)
    return folder


@pytest.fixture
def runs(analysed, tmp_path):
    return shutil.copytree(analysed, tmp_path / "runs")


def tables(folder, **options):
    found = ls.load_results(folder, **options)
    return {
        run.name: record
        for run in found.runs
        for checkpoint in run.checkpoints
        if isinstance(record := checkpoint.records.get("crosscheck"), Crosscheck)
    }


def test_a_folder_stands_for_the_last_checkpoint_of_its_first_run_and_a_file_for_itself(runs):
    first = stored.crosscheck_on_disk(runs, **CHEAP)
    assert (first.run, first.among, first.checkpoint.step) == ("sgd-s0", 2, 3)
    second = stored.crosscheck_on_disk(runs / "sgd-s1", **CHEAP)
    assert (second.run, second.among, second.checkpoint.step) == ("sgd-s1", 1, 3)
    assert set(tables(runs)) == {"sgd-s0", "sgd-s1"}
    early = stored.crosscheck_on_disk(runs / "sgd-s1" / "step_00000001.h5", **CHEAP)
    assert early.checkpoint.step == 1
    assert early.results is None
    assert early.remark == "not stored, for step 1 has not been analysed"


@pytest.mark.slow
def test_it_is_stored_where_it_answers_the_question_and_outlives_another_analysis(runs):
    checked = stored.crosscheck_on_disk(runs, **CHEAP)
    assert checked.results == runs.resolve() / "results.h5"
    (table,) = tables(runs).values()
    assert str(table) == str(checked.table)
    how = ls.load_results(runs).run("sgd-s0").last.provenance["crosscheck"]
    assert how["route"] == table.route != ""
    assert how["versions"] == list(table.versions)
    ls.analyze(runs, SMALL)
    assert set(tables(runs)) == {"sgd-s0"}


@pytest.mark.slow
def test_it_asks_what_the_last_analysis_asked_and_is_not_shown_beside_answers_to_another_question(runs):
    stored.crosscheck_on_disk(runs, **CHEAP)
    ls.analyze(runs, replace(SMALL, examples=60))
    assert tables(runs) == {}
    assert set(tables(runs, everything=True)) == {"sgd-s0"}
    again = stored.crosscheck_on_disk(runs, **CHEAP)
    assert again.table.num_examples == 60
    assert set(tables(runs)) == {"sgd-s0"}


def test_a_checkpoint_that_was_trained_further_is_measured_and_not_stored(runs):
    checkpoint = ls.CheckpointDir(runs / "sgd-s0")[-1]
    model = checkpoint.model()
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    ls.save_checkpoint(runs / "sgd-s0", model, step=3, problem=checkpoint.find_problem())
    checked = stored.crosscheck_on_disk(runs / "sgd-s0", **CHEAP)
    assert checked.results is None
    assert checked.remark == "not stored, for what was analysed had another question (params)"


def test_the_command_prints_the_table_and_the_report_shows_it(runs, capsys, monkeypatch):
    monkeypatch.setattr("landscape.plots.draw_all", lambda results, folder: [])
    status, out, err = call(capsys, monkeypatch, "crosscheck", runs, "--quick")
    assert status == 0, out + err
    assert "sgd-s0, the first of 2 runs, step 3" in out
    assert "none disagrees without one" in out
    page = (runs / "report.html").read_text()
    assert "Beside other tools" in page
    assert "dense float64 Hessian" in page
    assert "Other tools disagree" not in page


def test_a_fault_is_status_1_and_stands_at_the_top_of_the_report(runs, capsys, monkeypatch):
    monkeypatch.setattr("landscape.plots.draw_all", lambda results, folder: [])
    right = ours.HessianOperator
    monkeypatch.setattr(ours, "HessianOperator", lambda objective: 1.02 * right(objective))
    status, out, _ = call(capsys, monkeypatch, "crosscheck", runs, "--quick")
    assert status == 1
    assert "DISAGREES" in out
    page = (runs / "report.html").read_text()
    assert "Other tools disagree" in page
    assert page.index("Other tools disagree") < page.index("Beside other tools")


def test_without_an_analysis_nothing_is_written_and_json_is_strict(runs, capsys, monkeypatch, tmp_path):
    alone = shutil.copytree(runs / "sgd-s0", tmp_path / "alone")
    before = sorted(alone.iterdir())
    status, out, _ = call(capsys, monkeypatch, "crosscheck", alone, "--quick", "--json")
    rows = json.loads(out, parse_constant=lambda c: pytest.fail(f"{c} is not JSON"))
    assert status == 0
    assert {"run", "step", "quantity", "ours", "theirs", "witness", "verdict", "cause"} <= set(rows[0])
    assert rows[0]["theirs_error"] is None
    assert sorted(alone.iterdir()) == before


@pytest.mark.parametrize(("arguments", "said"), [(["nowhere"], "nowhere"), ([".", "--problem", "no.such:thing"], "no")])
def test_bad_input_is_one_line_and_status_2(arguments, said, runs, capsys, monkeypatch):
    monkeypatch.chdir(runs / "sgd-s0")
    status, out, err = call(capsys, monkeypatch, "crosscheck", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("landscape: ")
    assert err.count("\n") == 1
    assert said in err
