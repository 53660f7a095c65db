"""Figures for a paper: its widths and letters, fonts inside, captions and a script beside them."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

from landscape import load_results, plots
from landscape.errors import UsageError
from landscape.plots import paper_styles, recipes, recipes_of_slices, script
from landscape.plots.figures import drawings
from landscape.plots.latex_text import figure_latex
from tests.support.latex import compiled, needs_latex
from tests.support.synthetic_results import make_results

KINDS = ("summary", "lines", "interpolation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two groups, one of them with a name that means something to Python, LaTeX and Markdown."""
    where = tmp_path_factory.mktemp("runs")
    make_results(where, optimizers=("adam", "'$\\_*`"), seeds=(0,), steps=(9, 10), vectors=False)
    with plots.paper_style("icml"):
        plots.draw_all(load_results(where, vectors=False), where / "figures")
    return where


#: Of the style files: width of the text, of a column, and what they call their letters.
@pytest.mark.parametrize(
    ("name", "column", "text"),
    [("icml", 3.25, 6.75), ("ieee", 252 / 72.27, 516 / 72.27), ("neurips", 5.5, 5.5), ("iclr", 5.5, 5.5),
     ("thesis", 16 / 2.54, 16 / 2.54)],
)  # fmt: skip
def test_no_figure_is_wider_than_the_column_or_the_text_for_which_it_is_drawn(folder, name, column, text):
    results = load_results(folder, vectors=False)
    with plots.paper_style(name) as style, plots.house_style():
        widths = {drawing.name: drawing.figure.get_figwidth() for drawing in drawings(results, KINDS)}
    assert style.column <= column
    assert style.full == pytest.approx(text, abs=0.02)
    assert style.full <= text
    assert {round(width, 3) for width in widths.values()} == {round(style.column, 3), round(style.full, 3)}
    assert widths["slice_random"] == style.column


def test_letters_are_of_the_size_and_family_of_the_style(folder):
    results = load_results(folder, vectors=False)
    with plots.paper_style("thesis"), plots.house_style():
        (drawing,) = drawings(results, ("interpolation",))
        drawing.figure.canvas.draw()
        texts = [text for text in drawing.figure.findobj(Text) if text.get_text()]
    assert {text.get_fontfamily()[0] for text in texts} == {"STIXGeneral"}
    assert drawing.figure.axes[0].xaxis.label.get_fontsize() == 9
    assert min(text.get_fontsize() for text in texts) >= 7


def test_a_style_of_ones_own_is_taken_and_nothing_outside_its_block_changes():
    from dataclasses import replace

    before = dict(matplotlib.rcParams)
    with plots.paper_style(replace(plots.STYLES["thesis"], column=2.0)):
        assert plots.new_figure().get_figwidth() == 2.0
    assert plots.new_figure().get_figwidth() == plots.SINGLE
    assert dict(matplotlib.rcParams) == before


def test_a_style_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(UsageError, match=r"style='nature'.*neurips"), plots.paper_style("nature"):
        pass


def test_fonts_are_inside_the_pdf_as_truetype(folder):
    pdf = (folder / "figures" / "slice_random.pdf").read_bytes()
    assert b"STIXGeneral" in pdf
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_figures_are_drawn_again_by_the_script_alone_in_an_empty_folder(folder, tmp_path):
    """Byte by byte, in the style in which they were drawn, by what lies in the folder."""
    (tmp_path / "figures").mkdir()
    shutil.copy(folder / "results.h5", tmp_path)
    shutil.copy(folder / "figures" / "figures.py", tmp_path / "figures")
    made = sorted(path.stem for path in (folder / "figures").glob("*.png"))
    some = ["summary", "slice_random", "interpolation", *(name for name in made if name.startswith("spectrum_"))]
    run = subprocess.run(
        [sys.executable, "figures/figures.py", *some], cwd=tmp_path, capture_output=True, text=True
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert len(some) == 5
    for name in some:
        for kind in ("png", "pdf"):
            again, before = (where / "figures" / f"{name}.{kind}" for where in (tmp_path, folder))
            assert again.read_bytes() == before.read_bytes(), name
    text = (folder / "figures" / "figures.py").read_text()
    assert all(f"'{name}': lambda" in text for name in made), "each figure is in the script"


RECIPES = [
    found
    for module in (recipes, recipes_of_slices)
    for found in vars(module).values()
    if getattr(found, "__module__", "") == module.__name__
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.__name__)
def test_a_recipe_is_short_and_uses_public_names_alone(recipe):
    body = script.source_of(recipe).strip().splitlines()
    assert len(body) <= 18, body
    for name in script.names_in(recipe):
        assert name == "np" or not name.startswith("_")
        if name != "np":
            assert script.home_of(name)


def test_every_figure_has_its_caption_as_text_and_as_latex(folder):
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    text = (folder / "figures" / "captions.md").read_text()
    assert {re.sub(r"\.pdf$", "", name) for name in re.findall(r"^`(.*)`$", text, re.M)} == names
    assert r"Hessian spectrum, '\$\\\_\*\`" in text, "nothing in a name is a mark"
    code = (folder / "figures" / "captions.tex").read_text()
    assert set(re.findall(r"\\label\{fig:(.*)\}", code)) == names
    assert code.isascii()
    assert r"\begin{figure*}[t]" in code, "what is wider than a column goes over both"


@needs_latex
def test_the_captions_compile_with_their_figures_unscaled_and_no_line_is_too_wide(folder, tmp_path):
    head = (
        r"\documentclass[twocolumn]{article}\usepackage{graphicx,amsmath}\setlength\textwidth{6.75in}"
        r"\setlength\columnsep{0.25in}\setlength\columnwidth{3.25in}\extrafloats{50}\begin{document}"
    )
    for path in (folder / "figures").iterdir():
        (tmp_path / "figures").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "figures")
    (tmp_path / "report.tex").write_text(head + r"\input{figures/captions}\end{document}")
    compiled(tmp_path / "report.tex")
    assert "Overfull" not in (tmp_path / "report.log").read_text(errors="replace")


def test_labels_become_latex_and_keep_the_mathematics_that_they_have():
    assert figure_latex(r"50 % of $\lambda_{1}$, a_b") == r"50 \% of $\lambda_{1}$, a\_b"
    assert figure_latex("a\n‖∇L‖ − 1") == "a\n" + r"$\|$$\nabla$L$\|$ $-$ 1"
    assert figure_latex(r"cost \$5, \$6") == r"cost \$5, \$6"


def test_where_there_is_no_latex_this_is_said_and_no_file_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    figure = plots.new_figure()
    with (
        plots.paper_style("icml", latex=True),
        pytest.raises(UsageError, match="latex on the search path.*leave latex"),
    ):
        plots.save(figure, tmp_path / "figures", "nothing")
    assert not (tmp_path / "figures").exists()


@needs_latex
def test_latex_sets_every_text_of_a_figure_which_is_as_before_afterwards(tmp_path, monkeypatch):
    """Through matplotlib's own preamble, whose two packages for scaled fonts are not everywhere: empty ones do here."""
    for name in ("type1cm", "type1ec"):
        (tmp_path / f"{name}.sty").touch()
    monkeypatch.setenv("TEXINPUTS", f"{tmp_path}:")
    with plots.paper_style("thesis", latex=True), plots.house_style():
        figure = plots.new_figure()
        ax = figure.add_subplot()
        ax.plot([1e-3, 1e3], [0, 1], label="50 % & a_b")
        ax.set(xscale="log", xlabel="λ₁ − λ₂ (loss/parameter²)", ylabel=r"$\lambda_{\mathrm{max}}$")
        plots.legend_outside(figure)
        figure.savefig(before := io.BytesIO(), format="png")
        pdf, _ = plots.save(figure, tmp_path, "set")
        figure.savefig(after := io.BytesIO(), format="png")
    assert after.getvalue() == before.getvalue()
    fonts = set(re.findall(rb"/BaseFont /\w+\+(\w+)", pdf.read_bytes()))
    assert fonts
    assert all(font.startswith((b"CM", b"SF", b"MS")) for font in fonts)


def test_widths_in_a_block_inside_another_are_those_of_the_inner():
    with plots.paper_style("icml"):
        with plots.paper_style(None):
            assert paper_styles.full_width() == plots.DOUBLE
            assert np.isclose(paper_styles.letters(7), 7)
        assert paper_styles.current_setting().name == "icml"
