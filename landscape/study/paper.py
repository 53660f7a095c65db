"""A study as three pages of LaTeX: question, methods with every setting, tables, figures, limits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader

from landscape.comparison import cells, compare, contrasts, ranks_with_gap
from landscape.rounding import format_value
from landscape.store import Results, load_results
from landscape.study.design import Study
from landscape.study.tuning import Choice
from landscape.tables import latex_number, latex_table, latex_text
from landscape.version import __version__

#: Figures of the analysis that a paper about minima shows, in this order, where they were drawn.
FIGURES = {
    "class_accuracy": "Test accuracy per class; points are seeds, bars 95\\,\\% intervals of the mean.",
    "spectra": "Spectral density of the Hessian at the last checkpoint.",
    "lines": "Loss along the top eigenvector and random directions; bands over seeds.",
    "tail": "Spectral gap over the last iterations.",
}
#: Settings said once for all arms.
_COMMON = ("batch_size", "epochs", "schedule", "order", "batch_schedule")
_SHOWN = (
    "train_loss",
    "test_accuracy",
    "test_loss",
    "lambda_max",
    "spectral_ratio",
    "trace",
    "sharpness_adaptive_worst",
)


def write_paper(study: Study, choices: list[Choice], diverged: list[str], results: Path, folder: Path) -> Path:
    """``report.tex`` with its tables beside it; the figures are those of the analysis.

    Returns
    -------
    Path
        ``folder/report.tex``; it compiles with pdflatex and booktabs.
    """
    found = load_results(results, vectors=False)
    means = compare(found, by="label")
    pairs = contrasts(found, by="label") if means["group"].nunique() > 1 else None
    folder.mkdir(parents=True, exist_ok=True)
    headings, body = cells(means)
    (folder / "means.tex").write_text(
        latex_table(
            ["measure", *map(latex_text, headings)],
            ([latex_text(m), *map(latex_number, texts)] for m, texts in body if m in _SHOWN),
        )
    )
    if pairs is not None:
        (folder / "contrasts.tex").write_text(_contrast_rows(pairs))
        pairs.to_csv(folder / "contrasts.csv", index=False, lineterminator="\n")
    means.to_csv(folder / "means.csv", index=False, lineterminator="\n")
    text = _environment().get_template("report.tex.j2").render(
        title=latex_text(study.name.replace("-", " ").capitalize()),
        version=__version__,
        question=latex_text(study.question),
        methods=methods(study, choices),
        results=_sentences(means, pairs, found),
        means_caption=f"Means over {len(study.seeds)} seeds $\\pm$ half the 95\\,\\% interval (Student's t).",
        contrasts=pairs is not None,
        contrasts_caption=_contrast_caption(pairs),
        figures=_figures(results.parent / "figures", folder),
        notes=[latex_text(note) for note in _notes(study, choices, diverged, means, pairs)],
    )  # fmt: skip
    path = folder / "report.tex"
    path.write_text(text)
    return path


def methods(study: Study, choices: list[Choice]) -> str:
    """The methods paragraph in LaTeX: every setting that determines a run."""
    settings = [study.settings_of(arm) for arm in study.arms]
    same = {key: settings[0][key] for key in _COMMON if all(s[key] == settings[0][key] for s in settings)}
    config = ", ".join(f"{k} = {v}" for k, v in settings[0]["problem_config"].items())
    common = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in same.items())
    seeds = ", ".join(map(str, study.seeds))
    lines = [f"Problem: {study.problem} ({config}). All arms: {common}. Seeds {seeds}, paired across arms."]
    for arm, choice, full in zip(study.arms, choices, settings, strict=True):
        own = {key: full[key] for key in _COMMON if key not in same} | full["options"]
        told = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in own.items())
        lines.append(f"{arm.label}: {full['optimizer']}, learning rate {choice.lr:g}{', ' + told if told else ''}.")
    if study.tuning is not None:
        grid = ", ".join(f"{factor:g}" for factor in study.tuning.grid)
        lines.append(
            f"Learning rates: the best of {grid} times each optimizer's usual one by mean "
            f"{study.tuning.by.replace('_', ' ')} over seeds {', '.join(map(str, study.tuning.seeds))}, "
            "which are not evaluated."
        )
    lines.append(
        "Eigenpairs by thick-restart Lanczos accepted on true residuals, traces with known eigenpairs taken out, all "
        "on the training loss at the last checkpoint. p values: permutation tests, Holm-adjusted over pairs of arms."
    )
    return latex_text(" ".join(lines))


def _sentences(means: pd.DataFrame, pairs: pd.DataFrame | None, found: Results) -> str:
    """What stands out, each with its uncertainty."""
    said = []
    for measure, best, wording in (
        ("test_accuracy", "idxmax", "highest mean test accuracy"),
        ("lambda_max", "idxmin", "smallest top eigenvalue"),
        ("sharpness_adaptive_worst", "idxmin", "smallest scale-invariant sharpness"),
        ("spectral_ratio", "idxmax", r"largest spectral gap $\lambda_1/\lambda_2$"),
    ):
        lines = means[means["measure"] == measure]
        if lines.empty:
            continue
        top = lines.loc[getattr(lines["mean"], best)()]
        interval = "" if np.isnan(top["low"]) else f" [{_number(top['low'])}, {_number(top['high'])}]"
        said.append(f"The {wording} has {latex_text(str(top['group']))}: {_number(top['mean'])}{interval}.")
    if pairs is not None:
        count = int((pairs["p_holm"] < 0.05).sum())
        said.append(f"Of {len(pairs)} differences between arms {count} have an adjusted p below 0.05.")
    ranks = ranks_with_gap(found).dropna(subset=["tau"])
    row: Any
    for row in ranks[ranks["measure"].isin(["lambda_max", "sharpness_adaptive_worst"])].itertuples():
        said.append(
            rf"Over all runs Kendall's $\tau$ of {latex_text(row.measure)} with the generalisation gap is "
            f"${row.tau:.2f}$ $[{row.low:.2f}, {row.high:.2f}]$."
        )
    return " ".join(said)


def _notes(
    study: Study, choices: list[Choice], diverged: list[str], means: pd.DataFrame, pairs: pd.DataFrame | None
) -> list[str]:
    notes = [
        f"{c.label}: its learning rate is at the edge of the grid; a wider one may hold a better."
        for c in choices
        if c.at_edge
    ]
    notes += [f"Diverged: {line}" for line in diverged]
    if pairs is not None:
        notes += pairs.attrs.get("notes", [])
        floor = float(pairs["smallest_p"].max())
        if floor > 0.05:
            notes.append(f"With {len(study.seeds)} seeds p cannot fall below {floor:.2g}.")
    return notes + means.attrs.get("notes", [])


def _contrast_rows(pairs: pd.DataFrame) -> str:
    shown = pairs[pairs["measure"].isin(("test_accuracy", "lambda_max", "sharpness_adaptive_worst"))]
    headings = ["measure", "arms", "difference", r"95\,\% interval", "$g$", "$p$", "Holm"]
    rows: list[list[str]] = []
    row: Any
    for row in shown.itertuples():
        interval = "--" if np.isnan(row.low) else f"[{_number(row.low)}, {_number(row.high)}]"
        numbers = map(_number, (row.effect, row.p, row.p_holm))
        names = latex_text(row.measure), latex_text(f"{row.a} - {row.b}")
        rows.append([*names, _number(row.difference), interval, *numbers])
    return latex_table(headings, rows)


def _contrast_caption(pairs: pd.DataFrame | None) -> str:
    if pairs is None:
        return ""
    detectable = float(pairs["detectable"].max())
    return (
        "Differences between arms, seeds paired; $g$: Hedges; $p$: permutation test. A t test of this size finds a "
        f"difference of {detectable:.2g} standard deviations in four cases of five."
    )


def _figures(drawn: Path, folder: Path) -> list[dict[str, Any]]:
    found = []
    for name, caption in FIGURES.items():
        path = drawn / f"{name}.pdf"
        if path.exists():
            found.append({"path": Path(os.path.relpath(path, folder)).as_posix(), "caption": caption})
    return found


def _number(value: float) -> str:
    return "--" if not np.isfinite(value) else latex_number(format_value(float(value), digits=3))


def _environment() -> Environment:
    """LaTeX is full of braces: other marks."""
    return Environment(
        loader=PackageLoader("landscape.study", "."),
        variable_start_string="<<", variable_end_string=">>", block_start_string="[%", block_end_string="%]",
        comment_start_string="[#", comment_end_string="#]", trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
