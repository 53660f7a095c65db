"""Every study of ``scripts/studies``: its design stands, and it runs in small from beginning to paper."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from landscape.operators.parametric import partition
from tests.support.mnist import write_digits_as_mnist

FOLDER = Path(__file__).parents[2] / "scripts" / "studies"
#: Five seeds of these do not fit into two and a half hours on two cores.
HOURS = ("study_lenet_mnist",)
STUDIES = sorted(path for path in FOLDER.glob("*.py") if "STUDY = Study(" in path.read_text())


@pytest.fixture(params=STUDIES, ids=lambda path: path.stem)
def script(request, monkeypatch):
    return loaded(request.param, monkeypatch)


def loaded(path, monkeypatch):
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
    assert len(study.seeds) >= (3 if follows_steps(script) or script.__name__ in HOURS else 5)
    quick = study.quick()
    assert all(quick.settings_of(arm)["epochs"] == 2 for arm in quick.arms)


@pytest.mark.slow
def test_every_study_runs_in_small(script, tmp_path, mnist):
    wanted = ["--quick", "--workers", "1", "--out", str(tmp_path)]
    wanted += ["--data", mnist] if script.STUDY.problem.endswith("-mnist") else []
    assert (script.main(wanted) if follows_steps(script) else script.main(script.STUDY, wanted)) == 0
    made = tmp_path / ("trajectory.pdf" if follows_steps(script) else "paper/report.tex")
    assert made.stat().st_size > 1000


def test_the_transformer_is_studied_on_a_text_of_one_s_own(monkeypatch, tmp_path):
    script = loaded(FOLDER / "transformer_optimizers.py", monkeypatch)
    (tmp_path / "a book.txt").write_text("It was a dark and stormy night. " * 400, encoding="utf-8")
    asked = []
    monkeypatch.setattr(script, "run_study", lambda study, out, **how: asked.append((study, out)))
    text = ["--text", str(tmp_path / "a book.txt")]
    for more in ([], ["--large"], ["--quick"]):
        assert script.main(script.STUDY, [*text, *more]) == 0
    assert [out.name for _, out in asked] == [
        "transformer-optimizers-a-book", "transformer-optimizers-large-a-book", "transformer-optimizers-a-book-quick",
    ]  # fmt: skip
    for study, _ in asked:
        problem = study.problem_of(study.arms[0])
        assert problem.config["file"] == "a book.txt"
        assert problem.num_classes == len(set("It was a dark and stormy night. "))
    assert [len(study.arms) for study, _ in asked] == [5, 3, 2]
    trials = {
        len(asked[0][0].tuning.grid) * len(asked[0][0].tuning.over["batch_size"])
        + sum(len([v for v in values if v not in (1.0, {"lowest": 0.0})]) for values in arm.over.values())
        for arm in script.STUDY.arms
    }  # fmt: skip
    assert len(trials) == 1
    with pytest.raises(SystemExit):
        script.main(script.STUDY, ["--large", "--quick"])


def test_the_blocks_of_both_transformers_hold_every_parameter_once(monkeypatch):
    script = loaded(FOLDER / "transformer_optimizers.py", monkeypatch)
    for study in (script.STUDY, script.LARGE):
        problem = study.problem_of(study.arms[0])
        sizes = [p.numel() for p in problem.make_model(0).parameters()]
        found = partition(problem.objective(problem.make_model(0), check=False), study.blocks.groups)
        assert sum(map(len, found.values())) == len(sizes)
