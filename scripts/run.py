#!/usr/bin/env python
"""Every result and figure of the demo: train LeNet-5 on digits with several optimizers and seeds, analyze, crosscheck.

    python scripts/run.py                 # what `make demo` calls
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

from landscape.store.outputs import write_whole

ROOT = Path(__file__).resolve().parents[1]
OPTIMIZERS = ("sgd", "momentum", "adam")
SEEDS = (0, 1)
# one process per core with one thread each: small networks gain nothing from more threads
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
console = Console(highlight=False, soft_wrap=True)


def train(out: Path, *, optimizer: str, seed: int) -> float:
    """Train one run, or the rest of it; returns the seconds it took."""
    started = time.perf_counter()
    how = ["--resume"] if out.is_dir() and any(out.glob("step_*.h5")) else ["--problem", "lenet-digits"]
    call(
        "scripts/train.py", *how, "--optimizer", optimizer, "--seed", str(seed), "--out", str(out),
        "--save-every", "200", "--save-last", "5", "--save-losses", "1.5", "--threads", "1",
    )  # fmt: skip
    return time.perf_counter() - started


def edge_of_stability(folder: Path) -> float:
    """Draw the README's figure: sharpness of gradient descent climbing to 2/η, from one seed."""
    started = time.perf_counter()
    if not (folder / "edge_of_stability.png").exists():
        call("scripts/reproduce/edge_of_stability.py", "--one-seed", "--threads", "1", "--out", str(folder))
    return time.perf_counter() - started


def call(script: str, *arguments: str) -> None:
    """Run a script of this repository; its errors end the demo."""
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=ONE_THREAD, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(arguments)} failed:\n{done.stderr.strip()}")


def main() -> int:
    """Train, analyze, crosscheck, print; the exit status is the larger of both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "checkpoints" / "demo")
    parser.add_argument("--plan", default="quick", help="quick, standard or thorough")
    parser.add_argument("--docs", action="store_true", help="facts and studies too, and write docs/")
    args = parser.parse_args()
    out = args.out.resolve()
    started = time.perf_counter()
    names = ", ".join(OPTIMIZERS)
    console.print(f"training LeNet-5 on digits: {names} × seeds {', '.join(map(str, SEEDS))} → {args.out}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {"edge of stability": pool.submit(edge_of_stability, out / "edge")}  # the longest begins first
        jobs |= {
            f"{optimizer}-s{seed}": pool.submit(train, out / f"{optimizer}-s{seed}", optimizer=optimizer, seed=seed)
            for optimizer in OPTIMIZERS
            for seed in SEEDS
        }
        for name, job in jobs.items():
            console.print(f"  {name:<18} {job.result():4.0f} s")
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
    """The README's figure is one of the demo; facts and studies have pages with theirs. Benchmarks: ``make bench``."""
    figure = "edge_of_stability.png"
    write_whole(ROOT / "docs" / "figures" / figure, (out / "edge" / figure).read_bytes())
    for script in ("scripts/facts.py", "scripts/papers.py"):
        subprocess.run([sys.executable, script, "--docs"], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
