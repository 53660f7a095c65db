"""Text of figures set by LaTeX: all labels of a figure as LaTeX, whichever wrote them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.texmanager import TexManager
from matplotlib.text import Text
from matplotlib.ticker import Formatter

from landscape.errors import UsageError
from landscape.escaping.latex import latex_text
from landscape.plots.paper_styles import PaperStyle

#: What our letters need beside the fonts.
_PREAMBLE = r"\usepackage{amsmath}\usepackage{amssymb}"
#: Mathematics as matplotlib marks it; a dollar that is meant has a backslash.
_MATHS = re.compile(r"((?<!\\)\$.*?(?<!\\)\$)")


def figure_latex(text: str) -> str:
    r"""A label of a figure as LaTeX: its own mathematics stays, all else is as :func:`latex_text` has it.

    >>> print(figure_latex("50 % of λ₁"), figure_latex(r"$10^{-3}$ \$"))
    50 \% of $\lambda$$_1$ $10^{-3}$ \$
    """
    lines = []
    for line in text.split("\n"):
        parts = _MATHS.split(line)  # mathematics stands at the odd places
        lines.append("".join(p if i % 2 else latex_text(p.replace(r"\$", "$")) for i, p in enumerate(parts)))
    return "\n".join(lines)


@contextmanager
def set_by_latex(figure: Figure, style: PaperStyle) -> Iterator[None]:
    """Within, saving this figure has LaTeX set its text; afterwards it is as it was.

    Raises
    ------
    UsageError
        If there is no LaTeX that could, with what LaTeX says.
    """
    settings: Any = {
        "text.usetex": True,
        "text.latex.preamble": _PREAMBLE,
        "font.family": "serif",
        "font.serif": [style.latex],
    }
    # Before anything is changed: a tick label that is made later goes by the settings.
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    before = [(text, text.get_text(), text.get_usetex(), text.get_fontfamily()) for text in texts]
    formatters = list(_formatters(figure))
    with matplotlib.rc_context(settings):
        _check(style)
        for text, said, _, _ in before:
            text.set_usetex(True)
            text.set_fontfamily("serif")
            text.set_text(figure_latex(said))
        for axis, major, minor in formatters:
            axis.set_major_formatter(_Translated(major))
            axis.set_minor_formatter(_Translated(minor))
        try:
            yield
        finally:
            for axis, major, minor in formatters:
                axis.set_major_formatter(major)
                axis.set_minor_formatter(minor)
            for text, said, was, family in before:
                text.set_usetex(was)
                text.set_fontfamily(family)
                text.set_text(said)


def _formatters(figure: Figure) -> Iterator[tuple[Axis, Formatter, Formatter]]:
    for axis in figure.findobj(Axis):
        assert isinstance(axis, Axis)
        yield axis, axis.get_major_formatter(), axis.get_minor_formatter()


class _Translated(Formatter):
    """What another formatter says, as LaTeX."""

    def __init__(self, of: Formatter) -> None:
        self.of = of

    def set_axis(self, axis: Any) -> None:
        super().set_axis(axis)
        self.of.set_axis(axis)

    def __call__(self, x: float, pos: int | None = None) -> str:
        return figure_latex(self.of(x, pos))

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        return [figure_latex(text) for text in self.of.format_ticks(values)]  # type: ignore[arg-type]

    def get_offset(self) -> str:
        return figure_latex(self.of.get_offset())


def _check(style: PaperStyle) -> None:
    """Have it set a word, rather than fail in the middle of a figure."""
    missing = "latex on the search path" if shutil.which("latex") is None else ""
    if not missing:
        try:
            TexManager().get_text_width_height_descent(r"$\lambda$ a", 8)
        except RuntimeError as error:
            said = re.findall(r"^! (.*)$|File `(.*)' not found", str(error), flags=re.M)
            missing = " ".join(word for words in said[:1] for word in words if word) or "a LaTeX that can"
    if missing:
        raise UsageError(
            f"LaTeX cannot set the text of figures in {style.latex} here: {missing}. It needs latex with type1cm, "
            "cm-super and psnfss (Debian: texlive-latex-extra, cm-super, texlive-fonts-recommended); or leave latex out"
        )
