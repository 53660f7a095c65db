#!/usr/bin/env python
"""Every result and figure of the demo: train LeNet-5 on digits with several optimizers and seeds, analyze, crosscheck.

    python scripts/run.py                 # what `make demo` calls: `landscape demo`, a figure and a crosscheck more
    python scripts/run.py --docs          # and every figure and table of README and docs: two hours, facts and studies

Started again, it trains and measures only what is missing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from landscape.errors import LandscapeError
from landscape.jobs import LocalExecutor
from landscape.store.outputs import write_whole
from landscape.training.demo import OPTIMIZERS, SEEDS, train_demo

ROOT = Path(__file__).resolve().parents[1]
console = Console(highlight=False, soft_wrap=True)


def edge_of_stability(folder: Path) -> float:
    """Draw the documentation's first figure: sharpness of gradient descent up to 2/η, one seed; the seconds it took."""
    started = time.perf_counter()
    if not (folder / "edge_of_stability.png").exists():
        script = "scripts/reproduce/edge_of_stability.py"
        command = [sys.executable, script, "--one-seed", "--threads", "1", "--out", str(folder)]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{script} failed:\n{done.stderr.strip()}")
    return time.perf_counter() - started


def train(out: Path) -> None:
    """Train the runs of ``landscape demo``, beside the figure, which takes a core about as long: one thread each."""

    def say(name: str, seconds: float) -> None:
        console.print(f"  {name:<18} {seconds:4.0f} s")

    with (
        ThreadPoolExecutor(1) as beside,
        LocalExecutor(max((os.cpu_count() or 1) - 1, 1), threads=1) as executor,
    ):
        figure = beside.submit(edge_of_stability, out / "edge")
        train_demo(out, executor=executor, finished=say)
        say("edge of stability", figure.result())


def main() -> int:
    """Train, analyze, crosscheck, print; the exit status is the larger of both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "checkpoints" / "demo")
    parser.add_argument("--plan", default="quick", help="quick, standard or thorough")
    parser.add_argument("--docs", action="store_true", help="facts and studies too, and write docs/")
    args = parser.parse_args()
    out = args.out.resolve()
    started = time.perf_counter()
    names, seeds = ", ".join(OPTIMIZERS), ", ".join(map(str, range(SEEDS)))
    console.print(f"training LeNet-5 on digits: {names} × seeds {seeds} → {args.out}")
    try:
        train(out)
    except LandscapeError as error:
        raise SystemExit(f"run.py: {error}") from None
    trained = time.perf_counter()
    console.print(f"trained in {trained - started:.0f} s. Now: landscape analyze {args.out} --plan {args.plan}\n")
    status = subprocess.run([sys.executable, "-m", "landscape", "analyze", str(out), "--plan", args.plan], cwd=ROOT)
    analyzed = time.perf_counter()
    console.print(
        f"\nanalyzed in {analyzed - trained:.0f} s. Now other tools: landscape crosscheck {args.out} --quick\n"
    )
    beside = subprocess.run([sys.executable, "-m", "landscape", "crosscheck", str(out), "--quick"], cwd=ROOT)
    console.print(f"\ncompared in {time.perf_counter() - analyzed:.0f} s, {time.perf_counter() - started:.0f} s in all")
    console.print(f"figure   {out / 'edge' / 'edge_of_stability.png'}")
    if args.docs:
        refresh_docs(out)
    return max(status.returncode, beside.returncode)


def refresh_docs(out: Path) -> None:
    """The documentation's first figure is one of the demo; facts and studies have pages with theirs.

    Benchmarks: ``make bench``. The README's picture: ``scripts/documentation/moving_picture.py``.
    """
    figure = "edge_of_stability.png"
    write_whole(ROOT / "docs" / "figures" / figure, (out / "edge" / figure).read_bytes())
    for script in ("scripts/facts.py", "scripts/papers.py"):
        subprocess.run([sys.executable, script, "--docs"], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
