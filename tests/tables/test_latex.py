"""LaTeX tables are well formed, fit a page, and show names and numbers as they are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from landscape.escaping.latex import latex_number, latex_sentence, latex_table, latex_text
from landscape.results import Estimate
from landscape.store import ResultStore, load_results
from landscape.tables import write_tables
from tests.support.hostile import NAMES
from tests.support.latex import needs_latex
from tests.support.synthetic_results import make_results
from tests.support.tables import one_run


def latex_body(text: str) -> list[str]:
    inside = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    return [line for line in inside.splitlines() if line.endswith(r"\\")]


@pytest.mark.parametrize("name", ["summary.tex", "comparison.tex"])
def test_latex_tables_have_equal_columns_and_balanced_braces(written, name):
    text = written[name]
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", code).group(1))
    header = next(line for line in code.splitlines() if line.endswith(r"\\"))
    for line in [header, *latex_body(code)]:
        assert len(re.split(r"(?<!\\)&", line)) == columns, line
        assert line.count("$") % 2 == 0
    plain = re.sub(r"\\[{}]", "", code)
    depth = np.cumsum([(c == "{") - (c == "}") for c in plain])
    assert (depth.min(), depth[-1]) == (0, 0)
    assert code.count(r"\begin{") == code.count(r"\end{")
    assert not re.search(r"(?<!\\)_(?!\{|\d|1|2)", re.sub(r"\$[^$]*\$", "", code))
    assert code.isascii()


def test_the_summary_in_latex_has_a_line_per_run_with_errors_and_stars(written):
    body = latex_body(written["summary.tex"])
    values, errors = body[::2], body[1::2]
    assert [line.split(" &")[0] for line in values] == [
        f"{o}-s{s}" for o in ("adam", "momentum", "sgd") for s in (0, 1)
    ]
    assert all(line.count(r"\pm") == 4 for line in errors)
    assert [line.count("^{*}") for line in values] == [0, 0, 0, 0, 0, 2]
    assert r"$^{*}$ not converged" in written["summary.tex"]


def test_names_with_special_characters_are_escaped_in_latex(tmp_path):
    name = "_&%#{$}\\~^"
    read = one_run(tmp_path, {"trace": Estimate(1.0)}, run=name)
    line = latex_body((write_tables(read, tmp_path)[1]).read_text())[0]
    assert line.startswith(r"\_\&\%\#\{\$\}\textbackslash{}\textasciitilde{}\textasciicircum{} &")
    assert latex_text("plain-1.5") == "plain-1.5"


def test_notes_in_latex_cannot_end_their_comment(tmp_path):
    with ResultStore(tmp_path) as store:
        store.describe({"skipped": [{"file": "a.h5", "reason": "two\nlines"}]})
    text = write_tables(load_results(tmp_path), tmp_path)[1].read_text()
    assert "% skipped: a.h5: two lines\n" in text


def test_numbers_within_a_sentence_become_math_and_digits_of_names_do_not():
    said = "lr1e-3 ends at (7.2 ± 1.3)e-7, local-0.5 at 2e-5, b-1 at 3.5; they differ by -0.04 [-0.1, 0.2] (4 %)."
    assert latex_sentence(said) == (
        r"lr1e-3 ends at $(7.2 \pm 1.3)\times 10^{-7}$, local-0.5 at $2\times 10^{-5}$, b-1 at 3.5; they differ by "
        r"$-0.04$ [$-0.1$, 0.2] (4 \%)."
    )


@pytest.mark.parametrize(
    ("printed_as", "latex"),
    [
        ("3.64 ± 0.23", r"$3.64 \pm 0.23$"),
        ("(1.235 ± 0.041)e-6", r"$(1.235 \pm 0.041)\times 10^{-6}$"),
        ("1.2e-5", r"$1.2\times 10^{-5}$"),
        ("1.5 ± ∞", r"$1.5 \pm \infty$"),
        ("−∞", r"$-\infty$"),
        ("—", "--"),
        ("not a number", "n/a"),
    ],
)
def test_printed_numbers_become_math(printed_as, latex):
    assert latex_number(printed_as) == latex


def overfull(folder: Path, tables: dict[str, str], packages: str = "booktabs,amsmath") -> list[float]:
    """Points by which lines of a normal article page are too wide, as pdflatex says."""
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8")
    inputs = "".join(rf"\noindent\input{{{name}}}\par" for name in tables)
    page = rf"\documentclass{{article}}\usepackage{{{packages}}}\begin{{document}}{inputs}\end{{document}}"
    (folder / "paper.tex").write_text(page)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=folder, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    log = (folder / "paper.log").read_text(errors="replace")
    return [float(found) for found in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", log)]


@needs_latex
def test_the_latex_tables_fit_a_page_of_the_article_class(written, tmp_path):
    assert overfull(tmp_path, {name: written[name] for name in ("summary.tex", "comparison.tex")}) == []


@needs_latex
@pytest.mark.parametrize("arms", [NAMES[:11], NAMES[11:]])
def test_tables_of_many_arms_with_hostile_names_compile_and_fit(arms, tmp_path):
    read = load_results(make_results(tmp_path, optimizers=arms, seeds=(0,), steps=(1,), vectors=False))
    texts = {path.name: path.read_text() for path in write_tables(read, tmp_path) if path.suffix == ".tex"}
    assert set(texts) == {"summary.tex", "comparison.tex"}
    assert overfull(tmp_path, texts) == []


def test_lines_below_a_table_are_no_wider_than_a_page():
    globs = ",".join(f"encoder.layers.{i}.attention.*" for i in range(12))
    text = latex_table(["run", "loss"], [["a", "$1$"]], below=[f"over the parameters {globs} alone", "short"])
    lines = re.findall(r"footnotesize (.*)} ", text)
    assert lines[-1] == "short"
    assert max(map(len, lines)) <= 80 + 10  # escapes are longer than what they show
    assert "".join(lines[:-1]).replace(" ", "").count("encoder.layers.") == 12
