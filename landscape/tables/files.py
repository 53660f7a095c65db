"""The tables on disk."""

from __future__ import annotations

from pathlib import Path

from landscape.checks import check_positive
from landscape.errors import UsageError
from landscape.escaping.spreadsheet import frame_csv
from landscape.store import Results
from landscape.store.outputs import write_whole
from landscape.store.rows import final_checkpoint
from landscape.tables.latex import comparison_latex, summary_latex
from landscape.tables.predictions import prediction_texts
from landscape.tables.spreadsheet import eigenvalues_csv, summary_csv

#: Inches: a name and the widest number with its error.
NARROWEST = 2.5
_SOMETIMES = {"comparison.csv", "comparison.tex", "classes.csv", "confusion.csv", "measures.csv"}


def write_tables(results: Results, folder: str | Path, *, width: float | None = None) -> list[Path]:
    """Write ``folder/tables/*.csv`` and ``*.tex``; each appears whole or not at all.

    ``summary.csv`` has all rows in full precision, ``summary.tex`` the last checkpoint of each run with errors,
    ``eigenvalues.csv`` every eigenvalue with its residual; ``comparison.csv`` and ``.tex``, where there are at least
    two optimizers, means and intervals over seeds; ``classes.csv``, ``confusion.csv`` and ``measures.csv``, where the
    problem has classes or measures of its own, what was predicted and measured. One that no longer applies is removed.

    Parameters
    ----------
    folder : path
        The folder that holds ``results.h5``.
    width : float, optional
        Inches of a column of the paper, into which the LaTeX tables fit, in letters of 8 points: 3.25 of ICML's, 5.5 of
        NeurIPS's. At least 2.5. Left out, they are as wide as a page of the article class.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ResultsError
        If the disk is full or the folder read-only.
    UsageError
        If ``width`` is no number of at least 2.5.
    """
    if width is not None:
        width = check_positive("width", width, hint="inches of a column of the paper, such as 3.25")
        if width < NARROWEST:
            raise UsageError(f"width={width!r}: a table needs at least {NARROWEST} inches; give those of a column")
    texts = {
        "summary.csv": summary_csv(results),
        "summary.tex": summary_latex(results, width),
        "eigenvalues.csv": eigenvalues_csv(results),
        **_comparison_texts(results, width),
        **prediction_texts(results),
    }
    target = Path(folder) / "tables"
    written = [write_whole(target / name, text) for name, text in texts.items()]
    for stale in _SOMETIMES - set(texts):
        (target / stale).unlink(missing_ok=True)
    return written


def _comparison_texts(results: Results, width: float | None) -> dict[str, str]:
    """The comparison of the groups as CSV and LaTeX; nothing where there is nothing to compare."""
    labels = {run.label for run in results.runs if final_checkpoint(run) is not None} - {None}
    if len(labels) < 2:
        return {}
    from landscape import comparison  # here, because only this needs pandas

    frame = comparison.compare(results, by="label")
    tex = comparison_latex(*comparison.cells(frame), frame.attrs["notes"], frame.attrs["scope"], width)
    return {"comparison.csv": frame_csv(frame), "comparison.tex": tex}
