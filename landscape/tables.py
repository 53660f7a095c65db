"""Results as tables: rows of plain numbers, a table for the terminal, CSV in full precision, LaTeX for a paper."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.results import Eigenpairs, Estimate
from landscape.rounding import format_brief, format_value
from landscape.store import CheckpointResults, Results, final_rows, rows
from landscape.store.files import unwritable
from landscape.store.metrics import mismatch_lines
from landscape.store.rows import COLUMNS, final_checkpoint
from landscape.store.scope import SAVED, saved_line, scope_lines

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["caption_lines", "final_rows", "latex_table", "rows", "text_table", "write_tables"]

HEADINGS = ("test\nacc%", "train\nloss", "‖g‖", "λ_max", "λ₁/λ₂", "trace", "λ_min", "worst\nsharp.")
# Characters of a number in a terminal of 80 columns; more decimals than fit are rounded away.
WIDEST = 10
# Digits of a number whose error is below them: in a terminal of 80 columns, and elsewhere.
NARROW, WIDE = 4, 5
_LATEX_HEADINGS = (
    r"test acc.\,\%",
    r"train loss",
    r"$\|\nabla L\|$",
    r"$\lambda_{\max}$",
    r"$\lambda_1/\lambda_2$",
    r"$\operatorname{tr} H$",
    r"$\lambda_{\min}$",
    r"worst sharpness $\ge$",
)
_EIGENVALUE_COLUMNS = ("run", "step", "index", "value", "residual", "converged", "which")


@dataclass(frozen=True)
class Cell:
    """A number as a table shows it, rounded to its error, and whether it converged."""

    text: str
    converged: bool = True

    def narrow(self) -> str:
        """For a narrow column: the error below the number."""
        value, sign, error = self.text.partition(" ± ")
        decimals = value.partition(".")[2]
        if len(value) > WIDEST and decimals.isdigit():
            value = f"{float(value):.{max(len(decimals) - (len(value) - WIDEST), 0)}f}"
        value += "" if self.converged else " *"
        if not sign:
            return value
        if error != "∞" and not value.startswith("("):
            short = format_value(float(error), digits=2)
            error = short if "e" in short and len(short) < len(error) else error
        return f"{value}\n± {error}"


def text_table(results: Results) -> Table:
    """The last analysed checkpoint of each run as a ``rich`` table that fits 80 columns.

    Below each number stands its error, unless it changes no digit shown: the residual bound of an eigenvalue, one
    standard error of a trace. The worst-case sharpness is a lower bound. ``*`` marks what did not converge; the caption
    names it, and the files skipped.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, caption_justify="left", caption_style="")
    table.add_column("run", overflow="fold", min_width=min(14, max((len(run.name) for run in results.runs), default=1)))
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, line in final_cells(results, digits=NARROW):
        table.add_row(Text(name or "."), *(Text(c.narrow(), style="" if c.converged else "bold yellow") for c in line))
    table.caption = Text("\n".join(caption_lines(results)))
    return table


def caption_lines(results: Results) -> list[str]:
    """What stands under a table: what the signs mean, what did not converge, which files were skipped."""
    steps = sorted({c.step for run in results.runs if (c := final_checkpoint(run)) is not None})
    at = f"at step {steps[0]}" if len(steps) == 1 else "at the last checkpoint of each run"
    lines = [
        f"{at}; ± of λ and λ₁/λ₂: bound from residuals, where it shows",
        "± of the trace: one standard error",
        "worst sharp.: the largest rise of the loss found in a ball, a lower bound",
    ]
    lines += [*remarks(results), *mismatch_lines(results.runs)]
    failed = [
        f"* not converged: {run.name} step {c.step}: {', '.join(c.not_converged)}"
        for run in results.runs
        for c in run.checkpoints
        if c.not_converged
    ]
    skipped = [f"skipped: {s.get('file')}: {s.get('reason')}" for s in results.info.get("skipped") or ()]
    return [*(lines if steps else ["nothing was analysed"]), *_shortened(failed), *_shortened(skipped)]


def remarks(results: Results) -> list[str]:
    """What the columns are of, where that does not go without saying; short enough for lines below a table."""
    return [*scope_lines(results.runs), *saved_line(results.runs)]


def latex_table(
    headings: Sequence[str], body: Iterable[Sequence[str]], notes: Iterable[str] = (), below: Iterable[str] = ()
) -> str:
    r"""A ``tabular`` with booktabs rules for ``\input`` in a paper.

    Headings and cells are LaTeX already; notes become comments, and each text ``below`` a line of its own.
    """
    rows_of_cells = [" & ".join(row) + r" \\" for row in body]
    starred = ["$^{*}$ not converged"] if any("^{*}" in row for row in rows_of_cells) else []
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,amsmath}",
            *(f"% {' '.join(note.split())}" for note in notes),
            r"{\small\setlength{\tabcolsep}{4pt}%",
            rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
            r"\toprule",
            " & ".join(headings) + r" \\",
            r"\midrule",
            *rows_of_cells,
            r"\bottomrule",
            *(
                rf"\multicolumn{{{len(headings)}}}{{l}}{{\footnotesize {line}}} \\"
                for line in [*starred, *map(latex_text, below)]
            ),
            r"\end{tabular}}",
            "",
        ]
    )


def write_tables(results: Results, folder: str | Path) -> list[Path]:
    """Write ``folder/tables/*.csv`` and ``*.tex``; each appears whole or not at all.

    ``summary.csv`` has all rows in full precision, ``summary.tex`` the last checkpoint of each run with errors,
    ``eigenvalues.csv`` every eigenvalue with its residual, and ``comparison.csv`` and ``.tex``, where there are at
    least two optimizers, means and intervals over seeds. A comparison that no longer applies is removed.

    Parameters
    ----------
    folder : path
        The folder that holds ``results.h5``.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ResultsError
        If the disk is full or the folder read-only.
    """
    texts = {
        "summary.csv": _csv(COLUMNS, rows(results)),
        "summary.tex": latex_table(
            ["run", *_LATEX_HEADINGS],
            ([latex_text(name or "."), *(latex_number(c) for c in line)] for name, line in final_cells(results)),
            caption_lines(results),
            remarks(results),
        ),
        "eigenvalues.csv": _csv(_EIGENVALUE_COLUMNS, _eigenvalue_rows(results)),
        **_comparison_texts(results),
    }
    target = Path(folder) / "tables"
    written = [_write(target / name, text) for name, text in texts.items()]
    for stale in {"comparison.csv", "comparison.tex"} - set(texts):
        (target / stale).unlink(missing_ok=True)
    return written


#: Signs of our captions that pdfTeX knows only as mathematics; others, such as letters with accents, it has.
_SIGNS = {
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\varepsilon", "η": r"\eta", "θ": r"\theta",
    "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "π": r"\pi", "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau",
    "Δ": r"\Delta", "Σ": r"\Sigma", "∇": r"\nabla", "×": r"\times", "·": r"\cdot", "±": r"\pm", "−": "-", "≤": r"\le",
    "≥": r"\ge", "≈": r"\approx", "≠": r"\ne", "∞": r"\infty", "√": r"\surd", "‖": r"\|", "→": r"\to", "∈": r"\in",
    "†": r"^{\dagger}",
    "½": r"\tfrac12", "²": "^2", "³": "^3", "⁻": "^-", "¹": "^1", "ᵀ": r"^{\mathsf T}", "₀": "_0", "₁": "_1", "₂": "_2",
}  # fmt: skip
_MARKS = {"…": r"\dots{}", "’": "'", "–": "--", "—": "---", "⁄": "/"}


def latex_text(text: str) -> str:
    """Text with the characters escaped that LaTeX reads as commands, and mathematical signs as mathematics."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"}
    special |= {sign: f"${command}$" for sign, command in _SIGNS.items()} | _MARKS
    return "".join(special.get(c, c) for c in text)


#: Numbers of running text that need mathematics, below zero or with a power of ten; not the digits of names (lr1e-3).
_PLAIN = r"\d+(?:\.\d+)?"
_NUMBER = re.compile(
    rf"(?<![\w.-])(\({_PLAIN} ± {_PLAIN}\)e-?\d+|[-−]{_PLAIN}(?:e-?\d+)?|{_PLAIN}e-?\d+)(?![\w-]|\.\d)"
)


def latex_sentence(text: str) -> str:
    r"""A sentence as :func:`latex_text` gives it, with its numbers as :func:`latex_number` does.

    >>> print(latex_sentence("adam-b1 differs by -0.5 from sgd (1.2e-5)"))
    adam-b1 differs by $-0.5$ from sgd ($1.2\times 10^{-5}$)
    """
    parts = _NUMBER.split(text)  # what matched stands at the odd places
    return "".join(latex_number(part) if i % 2 else latex_text(part) for i, part in enumerate(parts))


def latex_number(cell: Cell | str) -> str:
    r"""A printed number in math mode: ``(1.2 ± 0.1)e-6`` becomes ``$(1.2 \pm 0.1)\times 10^{-6}$``."""
    if isinstance(cell, str):
        cell = Cell(cell)
    if cell.text == "—":
        return "--"
    if cell.text == "not a number":
        return "n/a"
    text = re.sub(r"e(-?\d+)$", r"\\times 10^{\1}", cell.text)
    for sign, command in (("±", r"\pm"), ("∞", r"\infty"), ("−", "-"), (SAVED, r"^{\dagger}")):
        text = text.replace(sign, command)
    return f"${text}{'' if cell.converged else '^{*}'}$"


def final_cells(results: Results, *, digits: int = WIDE) -> list[tuple[str, list[Cell]]]:
    """Per run, its name and one cell for each of ``HEADINGS``; errors below ``digits`` digits are left out."""
    final = [(run, c) for run in results.runs if (c := final_checkpoint(run)) is not None]
    lines = zip(final, final_rows(results), strict=True)
    return [(run.name, _cells(checkpoint, row, digits)) for (run, checkpoint), row in lines]


def _cells(checkpoint: CheckpointResults, row: dict[str, Any], digits: int) -> list[Cell]:
    records = checkpoint.records
    gap, trace = records.get("gap"), records.get("trace")
    top, bottom = _eigenvalue_cells(records.get("eigenpairs"), digits)
    failed = set(checkpoint.not_converged)
    accuracy = row["test_accuracy"]
    saved = {name: SAVED if row[f"{name}_source"] == "saved" else "" for name in ("test_accuracy", "train_loss")}
    return [
        Cell("—" if accuracy is None else f"{100 * accuracy:.1f}{saved['test_accuracy']}"),
        Cell(format_value(row["train_loss"], digits=2) + saved["train_loss"]),
        Cell(format_value(row["grad_norm"], digits=3)),
        top,
        Cell(_brief(getattr(gap, "ratio", None), digits), "gap" not in failed),
        Cell(_brief(trace, digits), "trace" not in failed),
        bottom,
        Cell(format_value(row["sharpness_worst"], digits=3), "sharpness_worst" not in failed),
    ]


def _brief(estimate: Any, digits: int) -> str:
    return format_brief(estimate.value, estimate.error, digits=digits) if isinstance(estimate, Estimate) else "—"


def _shortened(lines: list[str], most: int = 12) -> list[str]:
    more = len(lines) - most
    return lines if more <= 0 else [*lines[:most], f"… and {more} more; landscape inspect results.h5 lists all"]


def _eigenvalue_cells(eigs: Any, digits: int) -> tuple[Cell, Cell]:
    """λ_max and λ_min, each with the residual and the convergence of its own pair."""
    if not isinstance(eigs, Eigenpairs):
        return Cell("—"), Cell("—")
    top, bottom = (
        Cell("—") if end is None else Cell(format_brief(end.value, end.error, digits=digits), end.converged)
        for end in (eigs.largest, eigs.smallest)
    )
    return top, bottom


def _eigenvalue_rows(results: Results) -> list[dict[str, Any]]:
    """One row per eigenvalue, in the order of the record; ``index`` counts from 1."""
    found = []
    for run in results.runs:
        for checkpoint in run.checkpoints:
            eigs = checkpoint.records.get("eigenpairs")
            if isinstance(eigs, Eigenpairs):
                triples = zip(eigs.values.tolist(), eigs.residuals.tolist(), eigs.converged.tolist(), strict=True)
                found += [
                    dict(zip(_EIGENVALUE_COLUMNS, (run.name, checkpoint.step, i, *triple, eigs.which), strict=True))
                    for i, triple in enumerate(triples, start=1)
                ]
    return found


def _comparison_texts(results: Results) -> dict[str, str]:
    """The comparison of the groups as CSV and LaTeX; nothing where there is nothing to compare."""
    labels = {run.label for run in results.runs if final_checkpoint(run) is not None} - {None}
    if len(labels) < 2:
        return {}
    from landscape import comparison  # here, because only this needs pandas

    frame = comparison.compare(results, by="label")
    headings, body = comparison.cells(frame)
    table = latex_table(
        ["measure", *map(latex_text, headings)],
        ([latex_text(measure), *map(latex_number, texts)] for measure, texts in body),
        frame.attrs["notes"],
        frame.attrs["scope"],
    )
    return {"comparison.csv": frame.to_csv(index=False, lineterminator="\n"), "comparison.tex": table}


def _csv(columns: Sequence[str], lines: Iterable[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _write(path: Path, text: str) -> Path:
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error
    return path
