"""Results as tables: rows of plain numbers, a table for the terminal, CSV in full precision, LaTeX for a paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.escaping.latex import latex_name, latex_number, latex_table, latex_text, side_by_side
from landscape.escaping.spreadsheet import csv_text, frame_csv
from landscape.escaping.terminal import cell as terminal_cell
from landscape.results import Eigenpairs
from landscape.rounding import format_brief, format_value
from landscape.store import CheckpointResults, Results, final_rows, rows
from landscape.store.catalogue import IN_TABLE, MEASURES, Measure, read
from landscape.store.metrics import mismatch_lines
from landscape.store.rows import COLUMNS, final_checkpoint
from landscape.store.scope import SAVED, saved_line, scope_lines
from landscape.store.whole import write_whole

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["caption_lines", "final_rows", "latex_table", "rows", "text_table", "write_tables"]

SHOWN = tuple(MEASURES[key] for key in IN_TABLE)
HEADINGS = tuple(measure.heading for measure in SHOWN)
TERMINAL = 80  # columns
# What may stand in such a terminal, until it fits: digits of a number whose error is below them, characters of a number
# (more decimals than fit are rounded away), spaces between columns. Elsewhere there is room for more digits.
NARROW = ((4, 10, 2), (4, 10, 1), (3, 9, 1), (3, 8, 1), (3, 7, 1), (2, 6, 1), (1, 5, 1))
_WIDEST = NARROW[0][1]
WIDE = 5
_EIGENVALUE_COLUMNS = ("run", "step", "index", "value", "residual", "converged", "which")


@dataclass(frozen=True)
class Cell:
    """A number as a table shows it, rounded to its error, and whether it converged."""

    text: str
    converged: bool = True

    def parts(self, widest: int = _WIDEST) -> tuple[str, str]:
        """For a narrow column: the number, and its error with the sign, empty where it has none or they are one."""
        value, sign, error = self.text.partition(" ± ")
        if value.startswith("("):  # (1.2 ± 0.1)e-6
            error, _, power = error.partition(")")
            value, error = value[1:] + power, format_value(float(error + power), digits=2)
        value = _shortest(value, widest)
        if not sign:
            return value, ""
        if error != "∞":
            short = _shortest(format_value(float(error), digits=2), widest - len("± "))
            error = short if len(short) < len(error) and ("e" in short or len(error) > widest - 2) else error
        return value, f"± {error}"

    def narrow(self, widest: int = _WIDEST) -> str:
        """The error below the number, and a star where it did not converge."""
        value, error = self.parts(widest)
        return value + ("" if self.converged else " *") + (f"\n{error}" if error else "")


def _shortest(number: str, widest: int) -> str:
    """A number without the decimals for which there is no room.

    >>> _shortest("1234567.891", 10), _shortest("-0.00193", 7), _shortest("1.2346e-7", 7), _shortest("12345678", 6)
    ('1234567.89', '-0.0019', '1.23e-7', '12345678')
    """
    mantissa, mark, power = number.partition("e")
    decimals = mantissa.partition(".")[2]
    if len(number) > widest and decimals.isdigit():
        mantissa = f"{float(mantissa):.{max(len(decimals) - (len(number) - widest), 0)}f}"
    return mantissa + mark + power


def text_table(results: Results) -> Table:
    """The last analysed checkpoint of each run as a ``rich`` table that fits 80 columns.

    Below each number stands its error, unless it changes no digit shown: the residual bound of an eigenvalue, one
    standard error of a trace. The worst-case sharpness is a lower bound. ``*`` marks what did not converge; the caption
    names it, and the files skipped.
    """
    from rich import box
    from rich.table import Table

    names = min(14, max((len(run.name) for run in results.runs), default=1))
    gap, lines = _fitting(results, TERMINAL - max(names, len("run")) - 1)  # a space before it; one behind may be cut
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 0, 0, gap - 1), pad_edge=False, caption_justify="left", caption_style=""
    )
    table.add_column("run", overflow="fold", min_width=names)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, line in lines:
        styled = (terminal_cell(text, style="" if converged else "bold yellow") for text, converged in line)
        table.add_row(terminal_cell(name or "."), *styled)
    table.caption = terminal_cell("\n".join(caption_lines(results)))
    return table


def _fitting(results: Results, room: int) -> tuple[int, list[tuple[str, list[tuple[str, bool]]]]]:
    """Gap between columns, and names and cells of a table whose numbers fit ``room`` characters, if fewer digits do."""
    gap, lines = 1, list[tuple[str, list[tuple[str, bool]]]]()
    for digits, widest, gap in NARROW:
        cells = final_cells(results, digits=digits)
        lines = [(name, [(cell.narrow(widest), cell.converged) for cell in line]) for name, line in cells]
        columns = zip(HEADINGS, *([text for text, _ in line] for _, line in lines), strict=True)
        if sum(gap + max(len(row) for text in column for row in text.split("\n")) for column in columns) <= room:
            break
    return gap, lines


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
        "summary.csv": csv_text(COLUMNS, rows(results)),
        "summary.tex": latex_table(
            ["run", *(measure.tex_heading or measure.tex for measure in SHOWN)],
            _latex_rows(results),
            caption_lines(results),
            remarks(results),
            size="footnotesize",
        ),
        "eigenvalues.csv": csv_text(_EIGENVALUE_COLUMNS, _eigenvalue_rows(results)),
        **_comparison_texts(results),
    }
    target = Path(folder) / "tables"
    written = [write_whole(target / name, text) for name, text in texts.items()]
    for stale in {"comparison.csv", "comparison.tex"} - set(texts):
        (target / stale).unlink(missing_ok=True)
    return written


def final_cells(results: Results, *, digits: int = WIDE) -> list[tuple[str, list[Cell]]]:
    """Per run, its name and one cell for each of ``HEADINGS``; errors below ``digits`` digits are left out."""
    final = [(run, c) for run in results.runs if (c := final_checkpoint(run)) is not None]
    return [(run.name, [_cell(measure, c, digits) for measure in SHOWN]) for run, c in final]


def _latex_rows(results: Results) -> list[list[str]]:
    """A line per run, and below it one of errors where there are any, so that the table fits a page."""
    lines = []
    for name, cells in final_cells(results):
        parts = [(c.parts(), c.converged) for c in cells]
        lines.append([latex_name(name or "."), *(latex_number(value, converged=ok) for (value, _), ok in parts)])
        if any(error for (_, error), _ in parts):
            lines.append(["", *(latex_number(error) if error else "" for (_, error), _ in parts)])
    return lines


def _cell(measure: Measure, checkpoint: CheckpointResults, digits: int) -> Cell:
    reading = read(checkpoint, measure.key)
    if reading is None:
        return Cell("—", measure.key not in checkpoint.not_converged)
    if measure.is_share:
        text = f"{100 * reading.value:.1f}"
    elif measure.digits is not None:
        text = format_value(reading.value, digits=measure.digits)
    else:
        text = format_brief(reading.value, reading.error, digits=digits)
    return Cell(text + (SAVED if reading.saved else ""), reading.converged)


def _shortened(lines: list[str], most: int = 12) -> list[str]:
    more = len(lines) - most
    return lines if more <= 0 else [*lines[:most], f"… and {more} more; landscape inspect results.h5 lists all"]


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
    measures = [measure.replace("_", " ") for measure, _ in body]
    columns = [[heading, *(texts[i] for _, texts in body)] for i, heading in enumerate(headings)]
    tables: list[str] = []
    for chosen in side_by_side(measures, columns):
        lines = (
            [latex_text(measure), *(latex_number(texts[i]) for i in chosen)]
            for measure, (_, texts) in zip(measures, body, strict=True)
        )
        notes, scope = ((), ()) if tables else (frame.attrs["notes"], frame.attrs["scope"])
        titles = ["measure", *(latex_name(headings[i]) for i in chosen)]
        tables.append(latex_table(titles, lines, notes, scope, size="footnotesize"))
    return {"comparison.csv": frame_csv(frame), "comparison.tex": "\n\\par\\medskip\\noindent\n".join(tables)}
