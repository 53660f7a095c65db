"""The paper of a study: three pages at most and nothing over the edge, whether there are two arms or twelve."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from landscape.study import Arm, Study, Tuning
from landscape.study.material import Material
from landscape.study.paper import write_paper
from landscape.study.sentences import over_seeds
from landscape.study.tuning import Choice
from tests.synthetic_results import make_results

NAMES = ("adagrad", "adam", "momentum", "nesterov", "rmsprop", "sgd", "adamw", "lion", "sam", "asam", "gd", "signsgd")


def paper(folder: Path, arms: int, **changes) -> Path:
    """Of synthetic results, with five seeds, at the end and at equal loss."""
    names = NAMES[:arms]
    results = make_results(folder / "runs", optimizers=names, seeds=(0, 1, 2, 3, 4), vectors=False, steps=(8, 9, 10))
    settings = {
        "name": "many-arms", "question": "Which of them? " * 8, "problem": "lenet-digits",
        "arms": tuple(Arm(name, {"optimizer": name}) for name in names), "seeds": (0, 1, 2, 3, 4),
        "tuning": Tuning(seeds=(1000,)),
    }  # fmt: skip
    study = Study(**settings | changes)
    choices = [Choice(name, 0.1, {0.01: 1.0, 0.1: 0.5}) for name in names]
    return write_paper(Material(study, choices, ["sgd-s9: it diverged"], results, results), folder / "paper")


def compiled(tex: Path) -> str:
    for _ in range(2):
        made = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", tex.name],
            cwd=tex.parent, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        assert made.returncode == 0, made.stdout[-2000:]
    return made.stdout


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX here")
@pytest.mark.parametrize("arms", [2, 7, 8, 12])
def test_a_paper_has_three_pages_at_most_and_nothing_over_the_edge(arms, tmp_path):
    said = compiled(paper(tmp_path, arms, spread=arms == 2))
    assert int(re.search(r"Output written on report.pdf \((\d+) page", said)[1]) <= 3
    over = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", said)]
    assert max(over, default=0.0) < 5, "something stands over the edge of its column by more than a hair"


def test_the_table_of_means_says_n_only_where_groups_differ_in_it(tmp_path):
    folder = paper(tmp_path, 2).parent
    assert "n=5" not in (folder / "means.tex").read_text()
    assert "Means over 5 seeds" in (folder / "report.tex").read_text()


def test_sentences_leave_out_an_interval_below_their_digits():
    assert over_seeds([0.25 + 1e-12 * i for i in range(5)]) == "0.25"
    assert over_seeds([1.0, 2.0, 3.0, 4.0, 5.0]) == "3.0 ± 2.0"
