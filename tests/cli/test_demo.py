"""``landscape demo``: trains what is missing, analyzes it, says what to do next; from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from landscape.analysis.plan import Plan
from landscape.checkpoints import CheckpointDir
from landscape.cli import main
from landscape.errors import UsageError
from landscape.jobs import ThisProcess
from landscape.training import demo

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small(monkeypatch):
    """A problem of three parameters in the place of LeNet-5, in this process."""
    monkeypatch.setattr(demo, "PROBLEM", "quadratic")
    return ThisProcess()


def saved(folder: Path) -> dict[str, int]:
    return {path.name: len(list(path.glob("step_*.h5"))) for path in sorted(folder.iterdir())}


def test_every_optimizer_is_trained_from_every_seed_and_reported(small, tmp_path):
    told: list[str] = []
    folders = demo.train_demo(
        tmp_path, seeds=2, epochs=3, executor=small, finished=lambda name, seconds: told.append(name)
    )
    names = [f"{optimizer}-s{seed}" for optimizer in ("sgd", "momentum", "adam") for seed in (0, 1)]
    assert told == names == [folder.name for folder in folders]
    for name, folder in zip(names, folders, strict=True):
        config = CheckpointDir(folder)[-1].config
        assert f"{config['optimizer']}-s{config['seed']}" == name
        assert (config["threads"], config["epochs"], config["save_last"]) == (1, 3, 5)


def test_seeds_share_their_initial_weights(small, tmp_path):
    folders = demo.train_demo(tmp_path, seeds=1, epochs=1, executor=small)
    first = [CheckpointDir(folder)[0].theta() for folder in folders]
    assert all((theta == first[0]).all() for theta in first)


def test_what_is_trained_stays_and_what_is_missing_is_trained(small, tmp_path):
    demo.train_demo(tmp_path, seeds=1, epochs=2, executor=small)
    before = {path: path.read_bytes() for path in tmp_path.rglob("step_*.h5")}
    demo.train_demo(tmp_path, seeds=2, epochs=2, executor=small)
    assert {path: path.read_bytes() for path in before} == before
    assert len(saved(tmp_path)) == 6
    with pytest.raises(UsageError, match="epochs was 2, asked for is 1"):
        demo.train_demo(tmp_path, seeds=1, epochs=1, executor=small)


def test_a_wrong_number_of_seeds_is_refused():
    with pytest.raises(UsageError, match="seeds=0 must be a whole number of at least 1"):
        demo.demo_runs(0)


def called(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["landscape", "demo", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, error = capsys.readouterr()
    return int(ended.value.code or 0), out, error


def test_the_command_trains_analyzes_by_the_plan_and_says_what_comes_next(monkeypatch, capsys, tmp_path):
    seen: list[object] = []

    def analyze(folder: Path, plan: str) -> None:
        seen.append((folder, plan))
        raise typer.Exit(1)

    def train_demo(folder, *, finished, **options):
        seen.append((folder, options["seeds"], options["epochs"]))
        finished("adam-s0", 12.3)

    monkeypatch.setattr("landscape.cli.demo.analyze", analyze)
    monkeypatch.setattr(demo, "train_demo", train_demo)
    status, out, error = called(monkeypatch, capsys, tmp_path / "here", "--seeds", 3, "--epochs", 2)
    assert (status, error) == (1, "")
    assert seen == [(tmp_path / "here", 3, 2), (tmp_path / "here", "quick")]
    assert "sgd, momentum, adam × seeds 0, 1, 2" in out
    assert "adam-s0        12 s" in out
    assert "--open" in out


def test_what_cannot_be_analyzed_is_refused_before_it_is_trained(monkeypatch, capsys, tmp_path):
    status, out, error = called(monkeypatch, capsys, tmp_path / "here", "--plan", "slow")
    assert (status, out) == (2, "")
    assert "slow" in error
    assert not (tmp_path / "here").exists()


def test_the_script_of_make_demo_trains_by_the_same_code():
    text = (ROOT / "scripts" / "run.py").read_text()
    assert "from landscape.training.demo import" in text
    assert "momentum" not in text


@pytest.mark.slow
def test_from_a_folder_outside_the_checkout_it_makes_a_report(tmp_path):
    """Real LeNet-5, an epoch of each optimizer; processes, analysis and report as a user has them."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "landscape", "demo", "--seeds", "1", "--epochs", "1"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    made = tmp_path / "checkpoints" / "demo"
    assert set(saved(made)) >= {"sgd-s0", "momentum-s0", "adam-s0"}
    for name in ("report.html", "results.h5", "figures/figures.py", "figures/captions.tex", "paper/references.bib"):
        assert (made / name).stat().st_size > 0
    assert Plan(plan="quick")
