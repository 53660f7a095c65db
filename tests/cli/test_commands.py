"""The command line: flags are the plan's fields, exit codes and streams as they should be, errors in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
import typer

import landscape as ls
from landscape import cli
from tests.support.command_line import call
from tests.support.runs import CONFIG, SMALL, make_runs

QUICK = [
    "--plan", "quick", "--last", "2", "--eigs", "2", "--trace-probes", "4", "--density-probes", "2", "--steps", "5",
    "--points", "5", "--plane-points", "5", "--directions", "1", "--samples", "2", "--restarts", "1", "--tol", "1e-3",
    "--workers", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = make_runs(tmp_path_factory.mktemp("cli") / "runs")
    ls.analyze(folder, SMALL)
    return folder


def test_each_flag_is_a_field_of_plan_and_each_field_a_flag():
    command = typer.main.get_command(cli.app).commands["analyze"]
    flags = {p.name: p for p in command.params if p.name not in ("ckpt_dir", "as_json", "executor", "shared")}
    assert set(flags) == set(ls.Plan().fields())
    for name, flag in flags.items():
        assert flag.opts == [f"--{name.replace('_', '-')}"]
        assert flag.default is None or name == "plan"  # left out, it is as the plan says


@pytest.mark.parametrize("plan", ["quick", "standard", "thorough"])
def test_a_flag_overrules_its_field_of_the_plan_and_no_other(plan, monkeypatch, tmp_path):
    other = {
        "last": 9,
        "eigs": 9,
        "tol": 0.5,
        "points": 9,
        "seed": 9,
        "dtype": "float64",
        "data": "d",
        "problem": "m:f",
        "params": "fc*.weight,head.*",
        "chunk": 9,
        "mode": "train",
    }
    seen = []

    def fake(path, chosen, **_):
        seen.append(chosen)
        raise ls.CheckpointError("stop here")

    monkeypatch.setattr("landscape.analysis.pipeline.analyze", fake)
    for name, value in other.items():
        monkeypatch.setattr(sys, "argv", ["landscape", "analyze", "x", "--plan", plan, f"--{name}", str(value)])
        with pytest.raises(SystemExit):
            cli.main()
        assert seen[-1] == ls.Plan(plan, **{name: value})
    for flag, field in (("--no-check", {"check": False}), ("--interacting", {"interacting": True})):
        monkeypatch.setattr(sys, "argv", ["landscape", "analyze", "x", "--plan", plan, flag])
        with pytest.raises(SystemExit):
            cli.main()
        assert seen[-1] == ls.Plan(plan, **field)


def test_analyze_prints_the_table_and_where_the_report_is(runs, capsys, monkeypatch, tmp_path):
    folder = shutil.copytree(runs, tmp_path / "runs")
    status, out, err = call(capsys, monkeypatch, "analyze", folder, *QUICK)
    assert status == 0, err
    assert "adam-s0" in out
    assert "λ" in out
    assert str(folder / "report.html") in out


def test_a_skipped_file_is_listed_and_the_status_is_1(runs, capsys, monkeypatch, tmp_path):
    folder = shutil.copytree(runs, tmp_path / "runs")
    (folder / "adam-s0" / "step_00000009.h5").write_bytes(b"garbage")
    status, out, _ = call(capsys, monkeypatch, "analyze", folder, *QUICK)
    assert status == 1
    assert "step_00000009.h5" in out


def test_json_is_strict_and_alone_on_stdout(runs, capsys, monkeypatch):
    status, out, _ = call(capsys, monkeypatch, "show", runs, "--json")
    rows = json.loads(out, parse_constant=lambda c: pytest.fail(f"{c} is not JSON"))
    assert status == 0
    assert [row["run"] for row in rows[:2]] == ["adam-s0", "adam-s0"]
    assert rows[0]["trace"] is None  # measured only at the last checkpoint
    assert rows[1]["trace"] is not None


def test_show_loads_no_torch(runs):
    code = (
        "import sys; sys.argv = ['landscape', 'show', sys.argv[1]]\n"
        "from landscape.cli import main\n"
        "try: main()\n"
        "except SystemExit as e: print('status', e.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(runs)], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("status 0 False")
    assert "adam-s0" in done.stdout


def test_report_redraws_what_was_deleted(runs, capsys, monkeypatch, tmp_path):
    folder = shutil.copytree(runs, tmp_path / "runs")
    (folder / "report.html").unlink()
    shutil.rmtree(folder / "figures")
    status, _, _ = call(capsys, monkeypatch, "report", folder)
    assert status == 0
    assert (folder / "report.html").stat().st_size > 10_000
    assert list((folder / "figures").glob("*.png"))


@pytest.mark.parametrize("there_is_a_browser", [True, False])
def test_report_is_shown_in_the_browser_where_there_is_one(there_is_a_browser, runs, capsys, monkeypatch, tmp_path):
    shown, page = [], tmp_path / "a b" / "report.html"
    monkeypatch.setattr("landscape.report.write_report", lambda results, **how: page)
    monkeypatch.setattr("webbrowser.open", lambda address: shown.append(address) or there_is_a_browser)
    status, out, _ = call(capsys, monkeypatch, "report", runs, "--open")
    assert status == 0
    assert shown == [page.as_uri()]
    assert ("no browser" in out) is not there_is_a_browser


def test_match_chooses_a_checkpoint_of_each_run_and_says_what_to_do_next(tmp_path, capsys, monkeypatch):
    for name, losses in (("a", (1.0, 0.5)), ("b", (1.0, 0.8))):
        for step, loss in enumerate(losses):
            with torch.random.fork_rng():
                model = torch.nn.Linear(2, 1)
            ls.save_checkpoint(tmp_path / "runs" / name, model, step=step, metrics={"train_loss": loss})
    status, out, _ = call(capsys, monkeypatch, "match", tmp_path / "runs", tmp_path / "matched")
    assert status == 0
    assert f"landscape analyze {tmp_path / 'matched'}" in out
    assert "level 0.8" in out
    assert "differ by a factor of 1.6 in loss, so by themselves they rank nothing" in out
    assert "now: landscape analyze " in out
    assert "training loss 0.5 (as saved)" in out
    assert "losses as training saved them, not measured:" in out
    assert {p.parent.name for p in (tmp_path / "matched").rglob("step_*.h5")} == {"a", "b"}
    status, _, error = call(capsys, monkeypatch, "match", tmp_path / "runs", tmp_path / "runs" / "x")
    assert status == 2
    assert "lies within" in error


def test_match_says_which_saved_losses_are_wrong(runs, capsys, monkeypatch, tmp_path):
    folder = shutil.copytree(runs, tmp_path / "runs")
    model = ls.CheckpointDir(folder / "adam-s0")[0].model()
    for step in (1, 2, 3):
        problem = ls.get_problem("mlp-digits", CONFIG)
        ls.save_checkpoint(folder / "adam-s0", model, step=step, problem=problem, metrics={"train_loss": 0.01})
    status, out, _ = call(capsys, monkeypatch, "match", folder, tmp_path / "matched")
    assert status == 0
    assert "its saved losses are wrong (at step 1 0.01 was saved and" in " ".join(out.split())
    assert "(as saved)" not in out


def test_compare_prints_groups_with_intervals(runs, capsys, monkeypatch):
    status, out, _ = call(capsys, monkeypatch, "compare", runs, "--by", "optimizer")
    assert status == 0
    assert "adam" in out
    assert "±" in out


def test_inspect_tells_a_checkpoint_from_a_results_file(runs, capsys, monkeypatch):
    status, out, _ = call(capsys, monkeypatch, "inspect", runs / "adam-s0" / "step_00000003.h5")
    assert status == 0
    assert "mlp-digits" in out
    status, out, _ = call(capsys, monkeypatch, "inspect", runs / "results.h5")
    assert status == 0
    assert "adam-s0" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["analyze", "nowhere"], "nowhere"),
        (["show", "nowhere"], "nowhere"),
        (["report", "nowhere"], "nowhere"),
        (["compare", "nowhere"], "nowhere"),
        (["inspect", "nowhere.h5"], "nowhere.h5"),
        (["analyze", ".", "--points", "4"], "points=4 must be odd"),
        (["analyze", ".", "--plan", "fast"], "plan='fast' is not one of 'quick', 'standard', 'thorough'"),
        (["analyze", ".", "--tol", "3"], "tol=3.0 must lie between 0 and 1"),
        (["analyze", ".", "--eigs", "0"], "eigs=0 must be a whole number of at least 2"),
    ],
)
def test_bad_usage_is_one_line_on_stderr_and_status_2(arguments, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(capsys, monkeypatch, *arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("landscape: ")
    assert err.count("\n") == 1
    assert said in err
    assert list(tmp_path.iterdir()) == []  # and nothing was left behind


def test_selfcheck_holds_on_this_machine(capsys, monkeypatch):
    status, out, _ = call(capsys, monkeypatch, "selfcheck")
    assert status == 0
    assert "all hold" in out
    assert "FAILS" not in out


def test_an_interrupt_is_one_line_and_status_130(runs, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("landscape.analysis.pipeline.analyze", interrupted)
    status, _, err = call(capsys, monkeypatch, "analyze", runs)
    assert status == 130
    assert err.strip() == "landscape: interrupted; what was measured is kept, and the same command goes on"


def test_an_error_that_nobody_foresaw_is_one_line_too_and_its_traceback_there_for_the_asking(runs, capsys, monkeypatch):
    def broken(*_, **__):
        raise KeyError("unforeseen")

    monkeypatch.setattr("landscape.store.load_results", broken)
    status, out, err = call(capsys, monkeypatch, "show", runs)
    assert (status, out) == (2, "")
    assert err.startswith("landscape: KeyError: 'unforeseen' (tests/cli/test_commands.py:")
    assert err.count("\n") == 1
    assert "LANDSCAPE_TRACEBACK=1" in err
    monkeypatch.setenv("LANDSCAPE_TRACEBACK", "1")
    status, _, err = call(capsys, monkeypatch, "show", runs)
    assert status == 2
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("landscape: KeyError: 'unforeseen'")


@pytest.mark.parametrize("command", ["show", "report", "compare", "inspect"])
def test_an_interrupt_of_any_command_is_no_traceback_and_status_130(command, runs, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("landscape.store.load_results", interrupted)
    monkeypatch.setattr("landscape.store.describe_results", interrupted)
    status, _, err = call(capsys, monkeypatch, command, runs)
    assert status == 130
    assert err == ""
