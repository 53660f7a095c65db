"""What every fact's script does around its measurement: say the claim and whether it held, draw it, and keep it."""

from __future__ import annotations

import argparse
import json
import platform
import textwrap
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

import landscape as ls
from landscape import plots
from landscape.store.outputs import write_whole

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Change:
    """What was changed after results had been seen: a verdict under it counts apart.

    Attributes
    ----------
    what : {"claim", "set-up", "criterion"}
    words : str
        What it was before, and why it was changed.
    held_before : bool
        Whether the claim held by what was asked before, too: then the change has not made the verdict.
    """

    what: str
    words: str
    held_before: bool = False

    def __post_init__(self) -> None:
        if self.what not in ("claim", "set-up", "criterion"):
            raise ValueError(f"what={self.what!r} is no part of a fact: claim, set-up or criterion")

    def __str__(self) -> str:
        before = ", having held before" if self.held_before else ""
        return f"{self.what[0].upper()}{self.what[1:]} changed{before}: {self.words}"


@dataclass(frozen=True)
class Fact:
    """A published claim and how it is put to the test.

    Attributes
    ----------
    name : str
        That of the script.
    claim : str
        One sentence that can be false.
    source : str
        Authors, year and where in the paper.
    measure : callable
        ``measure(quick) -> found``; ``quick`` is to see that it runs, in seconds, and decides nothing.
    judge : callable
        ``judge(found) -> (words, holds)``: what was measured, in a sentence with its numbers, and whether the claim
        holds by them.
    draw : callable
        ``draw(found) -> Figure``.
    changes : tuple of Change
        Of the claim, its set-up or its criterion, since the first results were seen; the page counts such facts apart.
    caveat : str
        What else a reader of the verdict must know.
    """

    name: str
    claim: str
    source: str
    measure: Callable[[bool], Any]
    judge: Callable[[Any], tuple[str, bool]]
    draw: Callable[[Any], Figure]
    changes: tuple[Change, ...] = ()
    caveat: str = ""


def main(fact: Fact, argv: list[str] | None = None) -> int:
    """Measure, print claim · source · measured · holds, and write ``NAME.json``, ``NAME.pdf`` and ``NAME.png``.

    The exit status is 0 whether the claim holds or not: both are findings.
    """
    parser = argparse.ArgumentParser(description=fact.claim)
    parser.add_argument("--out", type=Path, default=ROOT / "checkpoints" / "reproduce", help="folder for the figure")
    parser.add_argument("--quick", action="store_true", help="in small, to see that it runs; decides nothing")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    started = time.process_time()  # of this process: what else runs beside it is no matter
    found = fact.measure(args.quick)
    measured, holds = fact.judge(found)
    seconds = time.process_time() - started
    with plots.house_style():
        figure = fact.draw(found)
    png = plots.save(figure, args.out, fact.name)[1]
    finding = {
        "name": fact.name,
        "claim": fact.claim,
        "source": fact.source,
        "measured": measured,
        "holds": bool(holds),
        "changes": [{**asdict(change), "said": str(change)} for change in fact.changes],
        "caveat": fact.caveat,
        "quick": args.quick,
        "seconds": round(seconds, 1),
        "versions": {"landscape": ls.__version__, "torch": str(torch.__version__), "python": platform.python_version()},
    }
    write_whole(args.out / f"{fact.name}.json", json.dumps(finding, indent=1, ensure_ascii=False))
    verdict = ("holds" if holds else "does not hold") + (" (quick: decides nothing)" if args.quick else "")
    rows: tuple[tuple[str, str], ...]
    rows = ("claim", fact.claim), ("source", fact.source), ("measured", measured), ("verdict", verdict)
    rows += tuple(("changed", str(change)) for change in fact.changes)
    if fact.caveat:
        rows += (("caveat", fact.caveat),)
    for heading, text in (*rows, ("figure", str(png))):
        print(textwrap.fill(text, 110, initial_indent=f"{heading:<10}", subsequent_indent=" " * 10))
    return 0
