"""What every study's script does once its design is written: run it, into a folder, from a command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from landscape.errors import LandscapeError
from landscape.study import Study, run_study

ROOT = Path(__file__).resolve().parents[2]
Say = Callable[[str], None]


def main(study: Study, argv: list[str] | None = None) -> int:
    """Run the study; the exit status is 0, or 2 where the folder or the settings cannot be used."""
    args = parser(study.name, study.question).parse_args(argv)
    chosen = replace(study.quick() if args.quick else study, data=args.data)
    out = args.out or ROOT / "checkpoints" / "studies" / (study.name + ("-quick" if args.quick else ""))
    return exit_status(
        study.name, out, lambda say: run_study(chosen, out, workers=args.workers, executor=args.executor, say=say)
    )


def parser(name: str, question: str) -> argparse.ArgumentParser:
    """The command line that all studies share."""
    made = argparse.ArgumentParser(description=f"{question} Started again, it goes on where it stopped.")
    made.add_argument("--out", type=Path, help=f"left out: checkpoints/studies/{name}")
    made.add_argument("--quick", action="store_true", help="in small, to see that it runs")
    made.add_argument("--workers", type=int, help="processes side by side; left out, one for each core")
    made.add_argument("--executor", metavar="NAME", help="local, dask:ADDRESS or slurm:partition=…,time=…")
    made.add_argument("--data", metavar="DIR", help="where data files lie, for problems that need some")
    return made


def exit_status(name: str, out: Path, work: Callable[[Say], object]) -> int:
    """Do the work, telling what happens; 0, 2 for what cannot be used, 130 where it was stopped."""
    try:
        work(lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on in {out}", file=sys.stderr)
        return 130
    except LandscapeError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    return 0
