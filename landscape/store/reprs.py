"""What results look like in a terminal of 80 columns and in a notebook: a small table, however many runs there are."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from landscape.escaping.control_characters import shortened, told_apart, visible
from landscape.rounding import format_brief, format_value
from landscape.store.catalogue import MEASURES, read
from landscape.store.tidy import readings, unit_of

if TYPE_CHECKING:
    from landscape.store.view import CheckpointResults, Results, RunResults

T = TypeVar("T")

#: Characters of a line, rows of a table, characters of a name, lines behind a table.
WIDTH, MOST_ROWS, MOST_NAME, MOST_MORE = 80, 18, 20, 3
#: Shown of a checkpoint beside others, as far as there is room.
_BRIEFLY = {"train_loss": "loss", "test_accuracy": "test %", "lambda_max": "λ_max", "trace": "trace"}
_NOT_CONVERGED = "*"


@dataclass(frozen=True)
class Table:
    """A title, a table of texts, of which rows may be left out in the middle, and a line behind it."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    left_out: int = 0
    more: str = ""

    def text(self) -> str:
        """At most 80 columns: the last ones go where there is no room."""
        lines = [self.headings, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        while len(widths) > 1 and sum(widths) + 2 * (len(widths) - 1) > WIDTH:
            widths.pop()
        shown = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=False)).rstrip() for line in lines]
        if self.left_out:
            shown.insert(1 + len(self.rows) // 2, f"… {self.left_out} more …")
        head = [shortened(self.title, WIDTH)]
        return "\n".join([*head, *(shown if self.rows else []), *_wrapped(self.more)])

    def html(self) -> str:
        """The same for a notebook, every text escaped."""
        rows = [_html_row("td", row) for row in self.rows]
        if self.left_out:
            span = f"<td colspan='{len(self.headings)}'>… {self.left_out} more …</td>"
            rows.insert(len(self.rows) // 2, f"<tr>{span}</tr>")
        caption = f"<caption style='text-align:left'>{html.escape(self.title)}</caption>"
        head = f"<thead>{_html_row('th', self.headings)}</thead>" if self.rows else ""
        more = f"<p>{html.escape(self.more)}</p>" if self.more else ""
        return f"<table>{caption}{head}<tbody>{''.join(rows)}</tbody></table>{more}"


def of_results(results: Results) -> Table:
    """A row for each run, with what its last analysed checkpoint says."""
    shown, left_out = _ends(results.runs)
    names = told_apart((visible(run.name) for run in shown), MOST_NAME)
    columns, cells = _briefly([_last(run) for run in shown])
    rows = [
        (names[visible(run.name)] or "(this run)", _steps(run), *line) for run, line in zip(shown, cells, strict=True)
    ]
    plan = results.info.get("plan_name")
    counts = [
        _count(len(results.runs), "run"),
        _count(sum(len(run.checkpoints) for run in results.runs), "checkpoint"),
        _count(len(results.pairs), "pair"),
    ]
    ending = f"{', '.join(counts)}{f'; plan {plan}' if plan else ''}"
    where = shortened(visible(str(results.path)), WIDTH - len(ending) - 2)
    return Table(f"{where}: {visible(ending)}", ("run", "steps", *columns), rows, left_out, _remark(cells))


def of_run(run: RunResults) -> Table:
    """A row for each checkpoint."""
    shown, left_out = _ends(run.checkpoints)
    columns, cells = _briefly(shown)
    rows = [
        (str(checkpoint.step), *line, str(len(checkpoint.records)))
        for checkpoint, line in zip(shown, cells, strict=True)
    ]
    about = [_count(len(run.checkpoints), "checkpoint")]
    about += [str(run.optimizer)] if run.optimizer is not None else []
    about += [f"seed {run.seed}"] if run.seed is not None else []
    title = f"{shortened(visible(run.name), 40) or 'this run'}: {visible(', '.join(about))}"
    return Table(title, ("step", *columns, "records"), rows, left_out, _remark(cells))


def of_checkpoint(checkpoint: CheckpointResults) -> Table:
    """A row for each number, and the names of the other records."""
    found = list(readings(checkpoint).items())
    shown, left_out = _ends(found)
    rows: list[tuple[str, ...]] = []
    for key, reading in shown:
        saved = "   as training saved it" if reading.saved else ""
        rows.append((key, f"{reading}{saved}", unit_of(MEASURES[key])))
    others = [visible(name) for name in checkpoint.records if name not in dict(found)]
    more = f"other records: {', '.join(others)}" if others else "" if found else "nothing measured"
    title = f"step {checkpoint.step}: {_count(len(checkpoint.records), 'record')}"
    return Table(title, ("measure", "value", "unit"), rows, left_out, more)


def _ends(items: Sequence[T]) -> tuple[list[T], int]:
    """The first and the last, and how many between them are left out."""
    if len(items) <= MOST_ROWS:
        return list(items), 0
    half = MOST_ROWS // 2
    return [*items[:half], *items[-half:]], len(items) - MOST_ROWS


def _briefly(checkpoints: Sequence[CheckpointResults | None]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and cells of the few measures that any of these has."""
    cells = {key: [_cell(checkpoint, key) for checkpoint in checkpoints] for key in _BRIEFLY}
    there = [key for key, column in cells.items() if any(text != "—" for text in column)]
    headings = tuple(_BRIEFLY[key] for key in there)
    return headings, [tuple(cells[key][i] for key in there) for i in range(len(checkpoints))]


def _cell(checkpoint: CheckpointResults | None, key: str) -> str:
    reading = None if checkpoint is None else read(checkpoint, key)
    if reading is None:
        return "—"
    measure = MEASURES[key]
    if measure.is_share:
        text = f"{100 * reading.value:.1f}"
    elif measure.digits is not None:
        text = format_value(reading.value, digits=measure.digits)
    else:
        text = format_brief(reading.value, reading.error, digits=4)
    return text + ("" if reading.converged else _NOT_CONVERGED)


def _last(run: RunResults) -> CheckpointResults | None:
    return next((c for c in reversed(run.checkpoints) if c.records), None)


def _steps(run: RunResults) -> str:
    steps = [checkpoint.step for checkpoint in run.checkpoints]
    if len(steps) > 2:
        return f"{steps[0]}…{steps[-1]} ({len(steps)})"
    return ", ".join(map(str, steps)) or "none"


def _remark(cells: Sequence[Sequence[str]]) -> str:
    failed = any(text.endswith(_NOT_CONVERGED) for line in cells for text in line)
    return f"{_NOT_CONVERGED} not converged" if failed else ""


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _wrapped(text: str) -> list[str]:
    lines = textwrap.wrap(text, WIDTH)
    return lines if len(lines) <= MOST_MORE else [*lines[: MOST_MORE - 1], "…"]


def _html_row(tag: str, texts: Sequence[str]) -> str:
    cells = (f"<{tag} style='text-align:left'>{html.escape(text)}</{tag}>" for text in texts)
    return f"<tr>{''.join(cells)}</tr>"
