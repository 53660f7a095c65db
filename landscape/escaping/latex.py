"""LaTeX in plain ASCII, for any encoding: words, sentences, numbers, and tables that fit a page."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

from landscape.escaping.control_characters import visible

#: What begins a command, a comment or a ligature.
_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "`": "{`}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip
#: Signs of our captions that pdfTeX knows only as mathematics.
_SIGNS = {
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\varepsilon", "ζ": r"\zeta", "η": r"\eta",
    "θ": r"\theta", "ι": r"\iota", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "µ": r"\mu", "ν": r"\nu", "ξ": r"\xi",
    "π": r"\pi", "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau", "υ": r"\upsilon", "φ": r"\varphi", "χ": r"\chi",
    "ψ": r"\psi", "ω": r"\omega", "Γ": r"\Gamma", "Δ": r"\Delta", "Θ": r"\Theta", "Λ": r"\Lambda", "Ξ": r"\Xi",
    "Π": r"\Pi", "Σ": r"\Sigma", "Φ": r"\Phi", "Ψ": r"\Psi", "Ω": r"\Omega", "∇": r"\nabla", "×": r"\times",
    "÷": r"\div",
    "·": r"\cdot", "±": r"\pm", "−": "-", "≤": r"\le", "≥": r"\ge", "≈": r"\approx", "≠": r"\ne", "∞": r"\infty",
    "√": r"\surd", "‖": r"\|", "→": r"\to", "←": r"\gets", "∈": r"\in", "½": r"\tfrac12", "²": "^2", "³": "^3",
    "⁻": "^-", "¹": "^1", "ᵀ": r"^{\mathsf T}", "₀": "_0", "₁": "_1", "₂": "_2", "₃": "_3", "°": r"^\circ",
    "•": r"\bullet", "ϵ": r"\epsilon", "†": r"^{\dagger}",
}  # fmt: skip
_MARKS = {
    "…": r"\dots{}", "’": "'", "‘": "{`}", "“": "``", "”": "''", "–": "--", "—": "---", "⁄": "/", "\u00a0": "~",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "§": r"\S{}", "£": r"\pounds{}", "©": r"\copyright{}",
}  # fmt: skip
#: Combining mark → the command that sets it over, or under, a letter.
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
_END = {"λ_max": r"$\lambda_{\max}$", "λ_min": r"$\lambda_{\min}$"}
_ENDS = re.compile("(λ_max|λ_min)")
_TRANSLATED = {**_SPECIAL, **{sign: f"${command}$" for sign, command in _SIGNS.items()}, **_MARKS}


def latex_text(text: str) -> str:
    r"""Text as it is named: commands escaped, mathematical signs as mathematics, other letters by their number.

    >>> print(latex_text("50 %_é β 日"))
    50 \%\_\'{e} $\beta$ (U+65E5)
    """
    # Two hyphens side by side would become a dash; a bracket or star after a line break would be its option.
    parts = re.split(r"(?<=-)(?=-)", visible(text))
    plain = "{}".join("".join(_END.get(piece) or "".join(map(_character, piece)) for piece in _ENDS.split(part))
                      for part in parts)  # fmt: skip
    return "{}" + plain if plain.startswith(("[", "*")) else plain


def _character(c: str) -> str:
    if c in _TRANSLATED:
        return _TRANSLATED[c]
    if c.isascii():
        return c
    letter, *marks = list(unicodedata.normalize("NFD", c))
    if letter.isascii() and letter.isalpha() and len(marks) == 1 and marks[0] in _ACCENTS:
        return rf"\{_ACCENTS[marks[0]]}{{{letter}}}"
    return f"(U+{ord(c):04X})"


#: Numbers of running text that need mathematics, below zero or with a power of ten; not the digits of names (lr1e-3).
_PLAIN = r"\d+(?:\.\d+)?"
_NUMBER = re.compile(
    rf"(?<![\w.-])(\({_PLAIN} ± {_PLAIN}\)e-?\d+|{_PLAIN}(?:e-?\d+)? ×/÷ {_PLAIN}|[-−]{_PLAIN}(?:e-?\d+)?"
    rf"|{_PLAIN}e-?\d+)(?![\w-]|\.\d)"
)


def latex_sentence(text: str) -> str:
    r"""A sentence as :func:`latex_text` gives it, with its numbers as :func:`latex_number` does.

    >>> print(latex_sentence("adam-b1 differs by -0.5 from sgd (1.2e-5)"))
    adam-b1 differs by $-0.5$ from sgd ($1.2\times 10^{-5}$)
    """
    parts = _NUMBER.split(text)  # what matched stands at the odd places
    return "".join(latex_number(part) if i % 2 else latex_text(part) for i, part in enumerate(parts))


_IN_NUMBERS = {
    " ×/÷ ": r"\mathbin{\times\!/\!\div}", "×/÷ ": r"\times\!/\!\div\,", " [": r"\;[", "× ": r"\times", "±": r"\pm",
    "∞": r"\infty", "−": "-", "†": r"^{\dagger}",
}  # fmt: skip


def latex_number(text: str, *, converged: bool = True) -> str:
    r"""A printed number in math mode: ``(1.2 ± 0.1)e-6`` becomes ``$(1.2 \pm 0.1)\times 10^{-6}$``."""
    if text == "—":
        return "--"
    if text == "not a number":
        return "n/a"
    if text == "n.r.":  # not resolved
        return text
    text = re.sub(r"(?<=[\d)])e(-?\d+)\b", r"\\times 10^{\1}", text)
    for sign, command in _IN_NUMBERS.items():
        text = text.replace(sign, command)
    return f"${text}{'' if converged else '^{*}'}$"


#: Letters beyond which a name is broken into lines, and the width of these.
_LONG, _WIDTH = 14, "1.9cm"
#: And beyond which words over numbers are.
_HEADING = 17
#: What a page of the article class holds, in letters of footnotesize; and between two columns.
_PAGE, _GAP = 86, 1.5
#: Of a column of a paper: points of its letters and of its lines, and of a letter on the average, widely taken.
_SMALL, _LETTER = (8, 9.6), 4.15


def letters_of(width: float) -> int:
    """How many letters a table holds that is so many inches wide."""
    return int(width * 72.27 / _LETTER)


def letters_in(text: str) -> float:
    """As which so many letters a printed number is set: powers of ten and the sign of factors are wider than here."""
    return len(text) + (2.5 if re.search(r"\d\)?e-?\d", text) else 0) + (1.5 if " ×/÷" in text else 0)


def latex_name(text: str) -> str:
    """A name for a cell of a table: on several lines, broken anywhere, where it is long."""
    if len(text) <= _LONG:
        return latex_text(text)
    broken = r"\hspace{0pt}".join(map(latex_text, visible(text)))
    return rf"\parbox[t]{{{_WIDTH}}}{{\raggedright {broken}}}"


def latex_heading(text: str) -> str:
    r"""Words over a column of numbers, on lines of their own where they are wider than these.

    >>> print(latex_heading("distance moved after it"))
    \shortstack[r]{distance moved\\after it}
    """
    lines = [latex_text(line) for line in textwrap.wrap(text, _HEADING, break_long_words=False)]
    return latex_text(text) if len(lines) < 2 else r"\shortstack[r]{" + r"\\".join(lines) + "}"


def latex_table(
    headings: Sequence[str],
    body: Iterable[Sequence[str]],
    notes: Iterable[str] = (),
    below: Iterable[str] = (),
    *,
    size: str = "small",
    letters: int | None = None,
) -> str:
    r"""A ``tabular`` with booktabs rules for ``\input`` in a paper.

    Headings and cells are LaTeX already; notes become comments, and texts ``below`` lines under the table. With
    ``letters``, which a column of a paper holds, these are as wide, and all is set in letters of 8 points.
    """
    font = rf"\fontsize{{{_SMALL[0]}}}{{{_SMALL[1]}}}\selectfont" if letters else rf"\{size}"
    smaller, edge = ("", "@{}") if letters else (r"\footnotesize ", "")
    rows_of_cells = [" & ".join(row) + r" \\" for row in body]
    lines = ["$^{*}$ not converged"] if any("^{*}" in row for row in rows_of_cells) else []
    lines += [latex_text(line) for text in below for line in textwrap.wrap(text, (letters or _PAGE) - 2)]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,amsmath}",
            *(f"% {visible(' '.join(note.split()))}" for note in notes),
            rf"{{{font}\setlength{{\tabcolsep}}{{{'4pt' if size == 'small' else '2.5pt'}}}%",
            rf"\begin{{tabular}}{{{edge}l{'r' * (len(headings) - 1)}{edge}}}",
            r"\toprule",
            " & ".join(headings) + r" \\",
            r"\midrule",
            *rows_of_cells,
            r"\bottomrule",
            *(rf"\multicolumn{{{len(headings)}}}{{{edge}l{edge}}}{{{smaller}{line}}} \\" for line in lines),
            r"\end{tabular}}",
            "",
        ]
    )


def side_by_side(labels: Sequence[str], columns: Sequence[Sequence[str]], letters: int | None = None) -> list[range]:
    """Columns cut into tables as wide as a page, by the letters of their longest cells; the labels stand in each.

    With ``letters``, as wide as these, of numbers as :func:`letters_in` has them.
    """
    page, size = (letters, letters_in) if letters else (_PAGE, len)
    first = max(map(len, labels), default=0) + _GAP
    tables: list[range] = []
    begun, used = 0, first
    for i, cells in enumerate(columns):
        width = min(max(map(size, cells), default=0), _LONG + 6) + _GAP
        if i > begun and used + width > page:
            tables.append(range(begun, i))
            begun, used = i, first
        used += width
    return [*tables, range(begun, len(columns))]
