"""What is stored can be shown and reported, also of a training that was killed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch.nn.functional as F

import landscape as ls
from landscape.report import write_report
from landscape.results import Eigenpairs, Estimate, PointValue
from landscape.store import rows
from tests.support.loops import small_data, small_model


def watched(folder, *, steps=3, subset=20, **options):
    with ls.Monitor(
        small_model(), F.cross_entropy, small_data(), out=folder, subset=subset, config={"seed": 4, "label": "mine"},
        **options,
    ) as monitor:  # fmt: skip
        for step in range(steps):
            monitor.step(10 * step)
            monitor.measure()
    return monitor


def test_what_was_logged_is_what_is_stored(tmp_path):
    monitor = watched(tmp_path / "m")
    (run,) = ls.load_results(tmp_path / "m").runs
    assert (run.name, run.label, run.seed) == ("m", "mine", 4)
    assert (run.info["num_examples"], run.info["of_examples"]) == (20, 60)
    assert [c.step for c in run.checkpoints] == [0, 10, 20]
    for logged, checkpoint, row in zip(
        monitor.history, run.checkpoints, rows(ls.load_results(tmp_path / "m")), strict=True
    ):
        kinds = {"point": PointValue, "eigenpairs": Eigenpairs, "trace": Estimate, "critical_sharpness": Estimate}
        assert {name: type(record) for name, record in checkpoint.records.items()} == kinds
        assert row["lambda_max"] == logged["landscape/lambda_max"]
        assert row["lambda_max_residual"] == logged["landscape/lambda_max_error"]
        assert (row["trace"], row["trace_sem"]) == (logged["landscape/trace"], logged["landscape/trace_sem"])
        assert row["train_loss"] == logged["landscape/loss"]
        assert checkpoint.records["critical_sharpness"].value == logged["landscape/critical_sharpness"]


def test_the_commands_read_it(tmp_path):
    watched(tmp_path / "m")
    command = [sys.executable, "-m", "landscape", "show", str(tmp_path / "m")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "on 20 of 60 training examples, drawn at random" in " ".join(shown.split())
    assert "at step 20" in shown


@pytest.mark.slow
def test_the_report_reads_it(tmp_path):
    watched(tmp_path / "m")
    page = write_report(tmp_path / "m").read_text()
    assert "20 of 60 training examples, drawn at random" in page
    assert "critical sharpness" in page


def test_a_training_that_goes_on_adds_to_it_and_another_question_is_refused(tmp_path):
    watched(tmp_path / "m", steps=1)
    watched(tmp_path / "m", steps=2)
    assert [c.step for c in ls.load_results(tmp_path / "m").runs[0].checkpoints] == [0, 10]
    with pytest.raises(ls.UsageError, match="holds measurements of run 'm' on other examples"):
        watched(tmp_path / "m", subset=10)
    with ls.Monitor(small_model(), F.cross_entropy, small_data(), out=tmp_path / "m", run="other", subset=10):
        pass


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_measured(tmp_path):
    code = f"""
        import os, signal, torch.nn.functional as F, landscape as ls
        from tests.support.loops import small_data, small_model
        monitor = ls.Monitor(small_model(), F.cross_entropy, small_data(), out={str(tmp_path / "m")!r}, subset=20)
        for step in range(2):
            monitor.step(step)
            monitor.measure()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -9
    (run,) = ls.load_results(tmp_path / "m").runs
    assert [(c.step, len(c.records)) for c in run.checkpoints] == [(0, 4), (1, 4)]
