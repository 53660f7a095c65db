"""What every table of runs shows: a cell for each measure, rounded to its error, and the lines below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from landscape.rounding import NOT_RESOLVED, format_brief, format_resolved, format_value, is_resolved
from landscape.store import CheckpointResults, Results
from landscape.store.catalogue import IN_TABLE, IN_WIDE_TABLE, MEASURES, Measure, read
from landscape.store.metrics import mismatch_lines
from landscape.store.rows import final_checkpoint
from landscape.store.scope import SAVED, saved_line, scope_lines

SHOWN = tuple(MEASURES[key] for key in IN_TABLE)
HEADINGS = tuple(measure.heading for measure in SHOWN)
#: Digits of a number whose error is below them, where there is room.
WIDE = 5
#: Characters of a number in a narrow column.
WIDEST = 10
#: For ``NOT_RESOLVED``, in a narrow column.
SHORT = "n.r."


@dataclass(frozen=True)
class Cell:
    """A number as a table shows it, rounded to its error, and whether it converged."""

    text: str
    converged: bool = True

    def parts(self, widest: int = WIDEST) -> tuple[str, str]:
        """For a narrow column: the number, and its error with the sign, empty where it has none or they are one."""
        if self.text.startswith(NOT_RESOLVED):
            return SHORT, self.text.removeprefix(NOT_RESOLVED).strip(" ()")
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

    def narrow(self, widest: int = WIDEST) -> str:
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


def final_cells(
    results: Results, *, measures: Sequence[Measure] = SHOWN, digits: int = WIDE
) -> list[tuple[str, list[Cell]]]:
    """Per run, its name and one cell for each of the measures; errors below ``digits`` digits are left out."""
    final = [(run, c) for run in results.runs if (c := final_checkpoint(run)) is not None]
    return [(run.name, [_cell(measure, c, digits) for measure in measures]) for run, c in final]


def wide_measures(results: Results) -> list[Measure]:
    """What a table shows where there is room; none of which no run has any."""
    final = [c for run in results.runs if (c := final_checkpoint(run)) is not None]
    return [m for key in IN_WIDE_TABLE if key in IN_TABLE or any(read(c, key) for c in final) for m in [MEASURES[key]]]


def _cell(measure: Measure, checkpoint: CheckpointResults, digits: int) -> Cell:
    reading = read(checkpoint, measure.key)
    if reading is None:
        return Cell("—", measure.key not in checkpoint.not_converged)
    if measure.is_share:
        text = f"{100 * reading.value:.1f}"
    elif measure.digits is not None:
        text = format_value(reading.value, digits=measure.digits)
    elif measure.is_positive and reading.reach is not None and not is_resolved(reading.value, reading.reach):
        text = format_resolved(reading.value, reading.reach)
    else:
        text = format_brief(reading.value, reading.error, digits=digits)
    return Cell(text + (SAVED if reading.saved else ""), reading.converged)


def caption_lines(results: Results) -> list[str]:
    """What stands under a table: what the signs mean, what did not converge, which files were skipped."""
    steps = sorted({c.step for run in results.runs if (c := final_checkpoint(run)) is not None})
    at = f"at step {steps[0]}" if len(steps) == 1 else "at the last checkpoint of each run"
    first, *more = (measure.note for measure in SHOWN if measure.note)
    cells = [cell for _, line in final_cells(results) for cell in line]
    swallowed = [f"{SHORT}: {NOT_RESOLVED}: its 95 % interval reaches zero"]
    unresolved = swallowed if any(cell.text.startswith(NOT_RESOLVED) for cell in cells) else []
    lines = [f"{at}; {first}", *more, *unresolved, *remarks(results), *mismatch_lines(results.runs)]
    failed = [line for run in results.runs for c in run.checkpoints for line in _unsettled(run.name, c)]
    skipped = [f"skipped: {s.get('file')}: {s.get('reason')}" for s in results.info.get("skipped") or ()]
    return [*(lines if steps else ["nothing was analysed"]), *_shortened(failed), *_shortened(skipped)]


def remarks(results: Results) -> list[str]:
    """What the columns are of, where that does not go without saying; short enough for lines below a table."""
    return [*scope_lines(results.runs), *saved_line(results.runs)]


def _unsettled(run: str, checkpoint: CheckpointResults) -> list[str]:
    """What did not converge, and what is not as accurate as was asked, with the reason."""
    why = checkpoint.not_reached
    others = [name for name in checkpoint.not_converged if name not in why]
    lines = [f"* not converged: {run} step {checkpoint.step}: {', '.join(others)}"] if others else []
    return [*lines, *(f"* {run} step {checkpoint.step}: {name} {text}" for name, text in why.items())]


def _shortened(lines: list[str], most: int = 12) -> list[str]:
    more = len(lines) - most
    return lines if more <= 0 else [*lines[:most], f"… and {more} more; landscape inspect results.h5 lists all"]
