"""What the seeds of a study decide, in sentences: spreads, differences between arms, ranks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from landscape.comparison import LOG, ranks
from landscape.comparison.ranks import cannot_tell
from landscape.plots.drawing import join_words
from landscape.store import Results
from landscape.store.catalogue import MEASURES, Measure
from landscape.study.findings import Material
from landscape.study.numbers import number, two_decimals, unit_of, verdicts


def spread_sentences(spreads: pd.DataFrame | None) -> list[str]:
    """How far the runs of each arm lie apart, and whether the arms differ in it."""
    if spreads is None:
        return []
    said = []
    for measure, name in (("test_accuracy", "the test accuracy"), ("lambda_max", "λ_max"), ("trace", "the trace")):
        rows = spreads[spreads["measure"] == measure]
        factors = bool((rows["scale"] == LOG).any())
        keys = ("gstd", "gstd_low", "gstd_high") if factors else ("std", "low", "high")
        rows = rows.dropna(subset=[keys[1]])
        if rows.empty:
            continue
        scale, unit = unit_of(measure)
        listed = []
        for _, row in rows.sort_values(keys[0], ascending=False).iterrows():
            std, low, high = (number(scale * row[key], digits=3 if factors else 2) for key in keys)
            listed.append(f"{row['group']} {std} [{low}, {high}]{unit}")
        p = float(rows.iloc[0]["p_holm"])
        verdict = f"; adjusted p that they are one: {number(p, digits=2)}" if np.isfinite(p) else ""
        what = "geometric standard deviation (a factor)" if factors else "standard deviation"
        said.append(f"The {what} over seeds of {name}: {', '.join(listed)}{verdict}.")
    return said


def primary_sentence(material: Material) -> str:
    """Which measure the study was made for."""
    primary = MEASURES[material.study.primary]
    missing = "" if primary.key in set(material.means["measure"]) else ", which was not measured"
    return (
        f"the primary measure, for which the study was made, is {_named(primary)}{missing}; all others are secondary."
    )


def difference_sentences(material: Material) -> list[str]:
    """How many pairs of arms differ, in the primary measure and in the others: at equal loss, and at the ends."""
    primary, matched = material.study.primary, material.at_equal_loss
    frames = {
        "at equal training loss": None if matched is None else matched.contrasts,
        "where training stopped": material.pairs,
    }
    said = []
    for name, is_first in ((f"in the primary measure, {_named(MEASURES[primary])}", True),
                           ("in secondary measures", False)):  # fmt: skip
        parts = []
        for where, pairs in frames.items():
            rows = None if pairs is None else pairs[(pairs["measure"] == primary) == is_first]
            if rows is not None and len(rows):
                parts.append(f"{where} {verdicts(rows)}")
        if parts:
            said.append(f"of the comparisons of two arms {name}: {'; '.join(parts)}.")
    return said


def _named(measure: Measure) -> str:
    """Its symbol, or its words where that is but one of them."""
    return measure.words if measure.symbol in measure.words else measure.symbol


def rank_sentences(found: Results) -> list[str]:
    """Whether flatness goes with the test loss, over arms and over the seeds within them."""
    frame, lines = ranks(found), []
    names = {
        "lambda_max": "λ_max", "sharpness_adaptive_worst": "adaptive sharpness",
        "sharpness_normalized_worst": "logit-normalised sharpness",
    }  # fmt: skip
    told = frame[(frame["target"] == "test_loss") & frame["measure"].isin(names)]
    where = {"between": "over arms", "within": "within arms, over seeds,"}
    for kind, words in where.items():
        rows = told.dropna(subset=[f"tau_{kind}"])
        if rows.empty:
            continue
        of_target = frame[frame["target"] == "test_loss"]
        listed = join_words(
            [
                f"{two_decimals(row[f'tau_{kind}'])} for {names[row['measure']]}"
                f" (adjusted p = {number(row[f'p_{kind}_holm'])})"
                for _, row in rows.iterrows()
            ]
        )
        limit = cannot_tell(of_target, kind)
        lines.append(f"{words} Kendall's τ with the test loss is {listed}.{f' {limit}' if limit else ''}")
    if not lines:
        return []
    notes = "".join(f" {note}" for note in frame.attrs["notes"])
    return [*lines[:-1], f"{lines[-1]}{notes} This is not a generalization claim."]
