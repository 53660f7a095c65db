#!/usr/bin/env python
"""Do all studies of ``scripts/studies``, or what is left of them, and write the page of what they found.

    python scripts/papers.py --data DIR                 # hours on two cores; MNIST's files in DIR, or without it
    python scripts/papers.py --only two_wells schedules
    python scripts/papers.py --only two_wells --docs    # and write their sections of docs/studies.md, with figures

Each is a script of its own, which says more: ``python scripts/studies/two_wells.py``.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import pandas as pd

from landscape.store.outputs import write_whole
from landscape.study import Study
from landscape.study.trajectory import sentences

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ROOT / "scripts" / "studies"
DOCS = ROOT / "docs"
#: The first of these that a study has is its figure on the page.
FIGURES = (
    "trajectory", "forgetting", "relations", "doses", "costs", "histories", "paths", "against_loss", "differences",
    "class_accuracy",
)  # fmt: skip
#: Openings of the sentences that the page shows, as patterns; the paper has all.
SHOWN = ("By gradient flow", "The basin", "At equal training loss", "At higher training losses", "The arms were not",
         "The standard deviation over seeds of the test accuracy", "The training loss at the end", "With ", "Among ",
         "Test accuracy in", "Class by class", "Rise of the first", "Cost in losses", "As closed forms",
         "Arm", "Of the comparisons", r"\d+ of \d+ end points", "Second-order", "Steps at which", "Step sizes there",
         "Of ")  # fmt: skip
MOST_SHOWN = 12
#: Over the list of those that were not run; it names scripts as the sections do.
WAITING = "## Designed, and not yet run to the end"
#: The study that the project is modelled on stands first.
FIRST = "lenet_mnist"
HEAD = """# What the studies found

Each of these is a page of design over `landscape.study`, run to the end here. Arms that are trained on one problem
are compared first at one training loss, the lowest that most of them reach, each run read between its two checkpoints
around it; then where training stopped, each beside its loss. Seeds are paired; a difference is what a permutation
test finds below 0.05 after Holm's correction over all pairs of arms in one measure, and its bracket is an interval
that holds for all these pairs together. Other brackets, ± and ×/÷ (of geometric means, the factor to either end) are
95 % intervals over seeds. "Not distinguishable" and "this design cannot tell" are no finding that two arms are equal.

What surprised and what did not hold stands above the findings of newer studies, in the words of a person who read
them. The whole of it, with methods and limits, is in the three pages of `paper/report.tex` that a study leaves, and its
`runs/report.html`. None of it is a claim about generalisation. `python scripts/papers.py --docs` writes this page.
"""


def scripts() -> list[Path]:
    """Those of the folder that hold a study: ``FIRST``, then in alphabetical order."""
    found = (path for path in STUDIES.glob("*.py") if "STUDY = Study(" in path.read_text())
    return sorted(found, key=lambda path: (path.stem != FIRST, path))


def study_of(script: Path) -> Study:
    """The design that a script holds."""
    study: Study = _module(script).STUDY
    return study


def seen_of(script: Path) -> str:
    """What a person wrote into the script once it had run to the end: what surprised, and what did not hold."""
    return str(getattr(_module(script), "SEEN", ""))


@lru_cache(maxsize=64)
def _module(script: Path) -> ModuleType:
    sys.path.insert(0, str(STUDIES))
    try:
        spec = importlib.util.spec_from_file_location(f"study_{script.stem}", script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(STUDIES))
    return module


def do(script: Path, out: Path, data: Path | None) -> None:
    """Run a study, or the rest of it; its errors end the whole."""
    more = [] if data is None else ["--data", str(data.resolve())]
    done = subprocess.run([sys.executable, str(script), "--out", str(out), *more], cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"{script.name} failed; started again, this goes on there")


def said_by(out: Path) -> list[str]:
    """The findings of a study that is done, as sentences."""
    if (table := out / "trajectory.csv").exists():
        return sentences(pd.read_csv(table))
    return (out / "paper" / "findings.txt").read_text().splitlines()


def figure_of(out: Path) -> Path | None:
    """The figure that the page shows of a study."""
    places = [folder / f"{name}.png" for name in FIGURES for folder in (out, out / "paper" / "figures")]
    return next((place for place in places if place.exists()), None)


def section(script: Path, out: Path, figures: Path) -> str:
    """One study on the page: question, design, what it found, a figure."""
    study, found = study_of(script), said_by(out)
    arms = ", ".join(arm.label for arm in study.arms)
    shown = list(dict.fromkeys(sentence for opening in SHOWN for sentence in found if re.match(opening, sentence)))
    lines = [
        f"## {study.heading}",
        "",
        study.question,
        "",
        f"`{study.problem}`, {len(study.arms)} arms ({arms}) × {len(study.seeds)} seeds: "
        f"[`{script.relative_to(ROOT)}`](../{script.relative_to(ROOT)}).",
        "",
        *([seen, ""] if (seen := seen_of(script)) else []),
        *(f"- {sentence}" for sentence in shown[:MOST_SHOWN]),
        "",
    ]
    if (figure := figure_of(out)) is not None:
        write_whole(figures / f"{script.stem}.png", figure.read_bytes())
        lines += [f"![{study.heading}](figures/studies/{script.stem}.png)", ""]
    return "\n".join(lines)


def page(done: dict[Path, Path], before: str = "") -> str:
    """``docs/studies.md``; the figures go beside it.

    Parameters
    ----------
    done : dict of script to folder
        Whose sections are written anew.
    before : str
        The page as it was, from which all other sections are taken.
    """
    sections = sections_of(before) | {
        script: section(script, out, DOCS / "figures" / "studies") for script, out in done.items()
    }
    there = [sections[script].rstrip() + "\n" for script in scripts() if script in sections]
    return (
        "\n".join([HEAD, *there, *_waiting([script for script in scripts() if script not in sections])]).rstrip() + "\n"
    )


def sections_of(text: str) -> dict[Path, str]:
    """The sections of a page, by the script that each names."""
    parts = (f"## {part}" for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    named = ((re.search(r"\(\.\./(scripts/studies/\w+\.py)\)", part), part) for part in parts)
    return {ROOT / found[1]: part for found, part in named if found is not None and not part.startswith(WAITING)}


def _waiting(waiting: list[Path]) -> list[str]:
    """Those that were not run to the end."""
    if not waiting:
        return []
    listed = [
        f"- {study_of(script).question} [`{script.relative_to(ROOT)}`](../{script.relative_to(ROOT)})"
        for script in waiting
    ]
    said = "Each runs in small in the tests; what it would find is open."
    return [WAITING, "", said, "", *listed, ""]


def main(argv: list[str] | None = None) -> int:
    """Do what is left of the studies; the exit status is 0, or that of the first that fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of these scripts, such as two_wells")
    parser.add_argument("--docs", action="store_true", help="write docs/studies.md and docs/figures/studies")
    parser.add_argument("--out", type=Path, default=ROOT / "checkpoints" / "studies")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="where the files of MNIST lie; left out, so is its study"
    )
    args = parser.parse_args(argv)
    chosen = [script for script in scripts() if args.only is None or script.stem in args.only]
    if unknown := set(args.only or ()) - {script.stem for script in chosen}:
        names = ", ".join(script.stem for script in scripts())
        parser.error(f"no study {', '.join(sorted(unknown))}; there are {names}")
    if args.data is None:
        chosen = [script for script in chosen if not study_of(script).problem.endswith("-mnist")]
    done = {script: args.out / script.stem.replace("_", "-") for script in chosen}
    for script, out in done.items():
        do(script, out, args.data)
    if args.docs:
        place = DOCS / "studies.md"
        write_whole(place, page(done, place.read_text() if place.exists() else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
