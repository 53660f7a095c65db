"""Every study of ``scripts/studies``: its design stands, and it runs in small from beginning to paper."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.mnist import write_digits_as_mnist

FOLDER = Path(__file__).parents[2] / "scripts" / "studies"
STUDIES = sorted(path for path in FOLDER.glob("*.py") if "STUDY = Study(" in path.read_text())


@pytest.fixture(params=STUDIES, ids=lambda path: path.stem)
def script(request, monkeypatch):
    path = request.param
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"study_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def follows_steps(script):
    """Its product is a figure along the training, not a paper over seeds."""
    return script.__name__ == "study_trajectory"


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """For studies on MNIST, which no test downloads."""
    return str(write_digits_as_mnist(tmp_path_factory.mktemp("mnist")))


def test_the_design_of_every_study_stands(script, mnist):
    study = replace(script.STUDY, data=mnist) if script.STUDY.problem.endswith("-mnist") else script.STUDY
    assert study.name == script.__name__.removeprefix("study_").replace("_", "-")
    assert len(study.arms) >= 2
    assert len(study.seeds) >= (3 if follows_steps(script) else 5)
    quick = study.quick()
    assert all(quick.settings_of(arm)["epochs"] == 2 for arm in quick.arms)


@pytest.mark.slow
def test_every_study_runs_in_small(script, tmp_path, mnist):
    wanted = ["--quick", "--workers", "1", "--out", str(tmp_path)]
    wanted += ["--data", mnist] if script.STUDY.problem.endswith("-mnist") else []
    assert (script.main(wanted) if follows_steps(script) else script.main(script.STUDY, wanted)) == 0
    made = tmp_path / ("trajectory.pdf" if follows_steps(script) else "paper/report.tex")
    assert made.stat().st_size > 1000
