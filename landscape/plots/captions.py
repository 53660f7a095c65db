"""Captions beside the figures: as text, and as LaTeX in which each figure stands ready to be copied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from landscape.escaping.latex import latex_text
from landscape.escaping.markdown import markdown_text
from landscape.plots.files import FigureFile
from landscape.plots.paper_styles import current_setting
from landscape.store.outputs import write_whole


def write_captions(figures: Sequence[FigureFile], folder: Path) -> list[Path]:
    """Write ``captions.md`` and ``captions.tex`` into the folder of the figures.

    Raises
    ------
    ResultsError
        If the disk is full or the folder read-only.
    """
    texts = {"captions.md": captions_markdown(figures), "captions.tex": captions_latex(figures)}
    return [write_whole(folder / name, text) for name, text in texts.items()]


def captions_markdown(figures: Sequence[FigureFile]) -> str:
    """A heading and a paragraph for each figure."""
    parts = ["# Captions\n"]
    parts += [
        f"## {markdown_text(figure.title)}\n\n`{figure.pdf.name}`\n\n{markdown_text(figure.caption)}\n"
        for figure in figures
    ]
    return "\n".join(parts)


def captions_latex(figures: Sequence[FigureFile]) -> str:
    r"""A float for each figure, in plain ASCII; no figure is scaled: it was drawn for the page."""
    setting = current_setting()
    for_what = f"style {setting.name}" if setting.name else f"columns of {setting.style.column:g} inches"
    head = [
        r"% needs \usepackage{graphicx,amsmath}; copy what you need, or \input all of it",
        f"% Drawn for {for_what}; not scaled, so that letters have their size",
        r"\providecommand{\figures}{figures}% the folder of the files, as seen from your paper",
    ]
    return "\n".join([*head, "", *(_float(figure, columns=setting.style.columns) for figure in figures)])


def _float(figure: FigureFile, *, columns: int) -> str:
    kind = "figure*" if figure.is_wide and columns > 1 else "figure"
    title = latex_text(figure.title)
    return "\n".join(
        [
            rf"\begin{{{kind}}}[t]",
            r"\centering",
            rf"\includegraphics{{\figures/{figure.pdf.name}}}",
            rf"\caption{{\textbf{{{title}.}} {latex_text(figure.caption)}}}",
            rf"\label{{fig:{figure.name}}}",
            rf"\end{{{kind}}}",
            "",
        ]
    )
