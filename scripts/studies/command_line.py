"""What every study's script does once its design is written: run it, into a folder, from a command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from landscape.errors import LandscapeError
from landscape.study import Study, run_study

ROOT = Path(__file__).resolve().parents[2]


def main(study: Study, argv: list[str] | None = None) -> int:
    """Run the study; the exit status is 0, or 2 where the folder or the settings cannot be used."""
    parser = argparse.ArgumentParser(description=f"{study.question} Started again, it goes on where it stopped.")
    parser.add_argument("--out", type=Path, help=f"left out: checkpoints/studies/{study.name}")
    parser.add_argument("--quick", action="store_true", help="in small, to see that it runs")
    parser.add_argument("--workers", type=int, help="processes side by side; left out, one for each core")
    parser.add_argument("--data", metavar="DIR", help="where data files lie, for problems that need some")
    args = parser.parse_args(argv)
    chosen = study.quick() if args.quick else study
    out = args.out or ROOT / "checkpoints" / "studies" / (study.name + ("-quick" if args.quick else ""))
    try:
        run_study(chosen, out, workers=args.workers, data=args.data, say=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on in {out}", file=sys.stderr)
        return 130
    except LandscapeError as error:
        print(f"{study.name}: {error}", file=sys.stderr)
        return 2
    return 0
