"""The LaTeX tables fit the columns of papers, and hold the same numbers there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from landscape.errors import UsageError
from landscape.plots.paper_styles import STYLES
from landscape.store import load_results
from landscape.tables import write_tables
from landscape.tables.latex import even
from tests.support.hostile import NAMES
from tests.support.latex import compiled, needs_latex
from tests.support.synthetic_results import make_results

WIDTHS = sorted({style.text for style in STYLES.values()} | {2.5})


def too_wide(folder: Path, width: float, names: tuple[str, ...] = ("summary", "comparison")) -> list[float]:
    """Points by which lines of so wide a column are too wide, in Computer Modern, which is wider than Times."""
    inputs = "".join(rf"\noindent\input{{tables/{name}}}\par" for name in names)
    (folder / "paper.tex").write_text(
        rf"\documentclass{{article}}\usepackage[textwidth={width}in,textheight=20in,paperheight=22in]{{geometry}}"
        rf"\usepackage{{booktabs,amsmath}}\begin{{document}}{inputs}\end{{document}}"
    )
    said = compiled(folder / "paper.tex").replace("\n", "")
    return [float(found) for found in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", said)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return load_results(make_results(tmp_path_factory.mktemp("runs"), vectors=False))


@needs_latex
@pytest.mark.parametrize("width", WIDTHS)
def test_tables_fit_a_column_of_every_paper(results, width, tmp_path):
    write_tables(results, tmp_path, width=width)
    assert too_wide(tmp_path, width) == []


@needs_latex
@pytest.mark.slow
@pytest.mark.parametrize("arms", [NAMES[:11], NAMES[11:]])
def test_tables_of_hostile_names_fit_a_column(arms, tmp_path):
    read = load_results(make_results(tmp_path / "r", optimizers=arms, seeds=(0,), steps=(1,), vectors=False))
    write_tables(read, tmp_path, width=3.25)
    assert too_wide(tmp_path, 3.25) == []


def numbers(tex: str) -> list[str]:
    """All but powers of ten, which a number may share with its error."""
    body = [line for line in tex.splitlines() if line.endswith(r"\\") and "shortstack" not in line]
    plain = re.sub(r"\\times 10\^\{-?\d+\}|\\addlinespace\[2pt\]|\\multicolumn\{\d\}", "", " ".join(body))
    return sorted(re.findall(r"-?\d[\d.]*", plain))


def test_a_narrow_comparison_holds_the_numbers_of_the_wide_one_in_symbols(results, tmp_path):
    wide, narrow = (
        {path.name: path.read_text() for path in write_tables(results, tmp_path / str(width), width=width)}
        for width in (6.5, 3.25)
    )
    assert numbers(wide["comparison.tex"]) == numbers(narrow["comparison.tex"])
    assert narrow["comparison.tex"].count(r"\begin{tabular}") <= 2
    for text in (wide["comparison.tex"], narrow["comparison.tex"]):
        assert r"$\lambda_{\max}$" in text
        assert "lambda_max" not in text


def test_a_narrow_summary_is_cut_by_measures_and_has_every_run_in_each_part(results, tmp_path):
    write_tables(results, tmp_path, width=3.25)
    parts = (tmp_path / "tables/summary.tex").read_text().split(r"\begin{tabular}")[1:]
    assert len(parts) == 2
    for part in parts:
        assert all(run.name in part for run in results.runs)
    assert sum(part.count(r"\lambda_{\max}") for part in parts) == 1


def test_parts_of_a_table_are_about_as_long_where_that_fits():
    assert even([range(7), range(7, 8)]) == [range(4), range(4, 8)]
    assert even([range(3)]) == [range(3)]
    assert even([range(2), range(2, 7)]) == [range(2), range(2, 7)]  # four would be more than the first had room for


@pytest.mark.parametrize("width", [0, -1, 2, float("nan"), "3 in"])
def test_a_width_that_is_none_is_refused(width, results, tmp_path):
    with pytest.raises(UsageError, match="width"):
        write_tables(results, tmp_path, width=width)
    assert not (tmp_path / "tables").exists()
