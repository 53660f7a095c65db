"""What character models write at the end of a study, side by side, where it asks for that."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from landscape.checkpoints import CheckpointDir
from landscape.escaping.latex import latex_text
from landscape.escaping.spreadsheet import frame_csv
from landscape.problems.builtin.writing import alphabet_of, share_of_words, text_of, written
from landscape.store.outputs import write_whole
from landscape.study.design import Study
from landscape.study.extras import Writing
from landscape.study.numbers import over_seeds

#: Characters of the test text that are the prompt where none is given.
PROMPT = 32
THE_TEXT = "the text"
#: A word that is longer is broken anywhere.
_LONG = 16


def read_samples(study: Study, runs: Path) -> pd.DataFrame | None:
    """What the last checkpoint of every run writes: ``arm``, ``seed``, ``text`` without the prompt, ``words``, the
    share of its words that occur in the training text; and the test text itself, as an arm of seed −1, where that is
    the prompt. None where the study does not ask, or has no run.
    """
    if study.writing is None:
        return None
    rows: list[tuple[Any, ...]] = []
    for arm, seed, folder in study.runs_in(runs):
        problem = study.problem_of(arm)
        alphabet = alphabet_of(problem.config, study.data)
        prompt = prompt_of(study)
        known = text_of(problem, alphabet, "train")
        if not rows and not study.writing.prompt:
            after = text_of(problem, alphabet, "test")[len(prompt) : len(prompt) + study.writing.length]
            rows.append((THE_TEXT, -1, after, share_of_words(after, known)))
        model = CheckpointDir(folder)[-1].model(problem)
        text = written(model, alphabet, prompt, **_how(study.writing))[len(prompt) :]
        rows.append((arm.label, seed, text, share_of_words(text, known)))
    return pd.DataFrame(rows, columns=["arm", "seed", "text", "words"]) if rows else None


def prompt_of(study: Study) -> str:
    """What all models go on from."""
    assert study.writing is not None
    if study.writing.prompt:
        return study.writing.prompt
    problem = study.problem_of(study.arms[0])
    return text_of(problem, alphabet_of(problem.config, study.data), "test")[:PROMPT]


def _how(writing: Writing) -> dict[str, Any]:
    return {"length": writing.length, "temperature": writing.temperature, "seed": writing.seed}


def samples_sentences(samples: pd.DataFrame | None) -> list[str]:
    """How many of the words that an arm writes are words of the training text."""
    if samples is None:
        return []
    by_arm: dict[str, list[float]] = {}
    for label, share in zip(samples["arm"].map(str), samples["words"].map(float), strict=True):
        if not math.isnan(share):  # it wrote words
            by_arm.setdefault(label, []).append(100 * share)
    said = [
        f"{label} {over_seeds(shares) if len(shares) > 1 else f'{shares[0]:.0f}'} %" for label, shares in by_arm.items()
    ]
    return [f"Of the words that they write after the prompt, these occur in the training text: {', '.join(said)}."]


def write_samples(study: Study, samples: pd.DataFrame, folder: Path) -> str:
    """``samples.tex``, of the first seed, and ``samples.csv``, of all; the caption."""
    assert study.writing is not None
    first = samples[samples["seed"].isin((-1, study.seeds[0]))]
    shown = zip(first["arm"].map(str), first["text"].map(str), strict=True)
    lines = [rf"{latex_text(label)} & {{\ttfamily {_broken(text)}}} \\" for label, text in shown]
    table = [r"\begin{tabular}{@{}lp{0.86\textwidth}@{}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}", ""]
    write_whole(folder / "samples.tex", "\n".join(table))
    write_whole(folder / "samples.csv", frame_csv(samples))
    how = (
        "the likeliest character each time"
        if study.writing.temperature == 0
        else f"drawn at temperature {study.writing.temperature:g} with one seed"
    )
    itself = "" if study.writing.prompt else f"; {THE_TEXT}: how the test text goes on there"
    return (
        f"What the runs of seed {study.seeds[0]} write after “{_in_line(prompt_of(study))}”: {study.writing.length} "
        f"characters, {how}, a slash for a new line{itself}."
    )


def _in_line(text: str) -> str:
    return text.replace("\n", " / ")


def _broken(text: str) -> str:
    r"""In LaTeX, on one line; words that are none may be long, and are broken anywhere."""
    pieces = [
        r"\hspace{0pt}".join(map(latex_text, word)) if len(word) > _LONG else latex_text(word)
        for word in _in_line(text).split(" ")
    ]
    return " ".join(piece or "{}" for piece in pieces)
