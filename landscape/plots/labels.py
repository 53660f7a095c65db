"""Names in figures: as they are named, no wider than there is room, never taken for mathematics."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from landscape.escaping.control_characters import told_apart, visible
from landscape.rounding import format_value

#: Inches of a letter at 7 points, the widest of usual names.
LETTER = 0.062


def figure_text(text: object) -> str:
    r"""A name for a figure: no ``$…$``, no steering characters, no boxes for what the font lacks.

    >>> print(figure_text("a$b$"), figure_text("_seen"), figure_text("日 λ"))
    a\$b\$  _seen U+65E5 λ
    """
    text = "".join(_glyph(c) for c in visible(str(text))).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text  # matplotlib hides such labels from legends


def figure_names(names: Iterable[str], *, inches: float) -> dict[str, str]:
    """Each name as it is drawn where so much room is; those cut to one look are told apart by number."""
    most = max(8, int(inches / LETTER))
    names = list(dict.fromkeys(names))
    shown = {name: "".join(_glyph(c) for c in visible(name)) for name in names}
    cut = told_apart(shown.values(), most)
    return {name: figure_text(cut[shown[name]]) for name in names}


def legend_text(name: str) -> str:
    """A name for a legend, which cuts it where it is too wide."""
    return figure_text(name) or " "  # one without any is left out


@cache
def _glyph(character: str) -> str:
    if character.isascii() or _font().get_char_index(ord(character)):
        return character
    return f"U+{ord(character):04X}"


@cache
def _font() -> FT2Font:
    return font_manager.get_font(font_manager.findfont("DejaVu Sans"))


#: Symbols with an index of letters, which Unicode has not.
_INDEXED = {
    "λ_max": r"$\lambda_{\mathrm{max}}$",
    "λ_min": r"$\lambda_{\mathrm{min}}$",
    "η_c": r"$\eta_{\mathrm{c}}$",
    "θ_a": r"$\theta_{a}$",
    "θ_b": r"$\theta_{b}$",
    "θ_T": r"$\theta_{T}$",
}


def symbols(text: str) -> str:
    r"""A label of ours with its indices set as such; for text that is no name of others.

    >>> print(symbols("λ_max ± residual"))
    $\lambda_{\mathrm{max}}$ ± residual
    """
    for written, drawn in _INDEXED.items():
        text = text.replace(written, drawn)
    return text


def unit_words(length: float, param_norm: float) -> str:
    """What one unit of an axis is, in parameter space and in ‖θ‖, on a line of its own; empty where ‖θ‖ is not known.

    >>> unit_words(3.0, 12.0)
    '\\n1 = 3 in θ = 0.25 ‖θ‖'
    """
    if not param_norm > 0:
        return ""
    share = f"{format_value(length / param_norm, digits=2)} ‖θ‖"
    return f"\n1 = {share}" if abs(length - 1) < 1e-3 else f"\n1 = {format_value(length, digits=3)} in θ = {share}"
