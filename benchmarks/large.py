"""λ_max, gap, trace and density of the 10.7-million-parameter character model: minutes on two cores.

python -m benchmarks.large [--sequences 8] [--out benchmarks/LARGE.md]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch

import landscape as ls
from benchmarks.cases import build_case
from benchmarks.machine import describe
from benchmarks.memory import peak, reset_peak
from landscape.store.outputs import write_whole

#: Bytes that the operator may keep between products: the residuals of eight sequences are about 2.5 GB.
MEMORY = 8 * 2**30
#: What was reached by 16 probes, and by 2 × 30 steps: of the trace, and of all eigenvalues.
OF_TRACE, OF_DENSITY = 0.04, 0.002


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--sequences", type=int, default=8, help="of 256 characters (default 8)")
    parser.add_argument(
        "--size", choices=("tiny", "small", "full"), default="full", help="of the model and its training"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "LARGE.md")
    options = parser.parse_args(arguments)
    case = build_case("transformer-10M", options.size).with_data(options.sequences)
    start = reset_peak()
    rows = []
    for row in _measure(ls.Objective(case.own_model(), case.loss, case.data), case):
        rows.append(row)
        print(" | ".join(row), flush=True)
    rows.append(("peak memory beyond model and data", f"{(peak() - start) / 1e9:.1f} GB", ""))
    machine = describe()
    about = f"{machine['cpu']}, {machine['cores']} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"
    title = f"# {case.dim:,} parameters, {case.inputs.shape[0]} × {case.inputs.shape[1]} characters"
    table = ["| quantity | value | cost |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    write_whole(options.out, "\n".join([title, "", f"{about}, {time.strftime('%Y-%m-%d')}.", "", *table, ""]))
    return 0


def _measure(objective: ls.Objective, case: Any) -> Any:
    """(quantity, value with its error, cost) of each."""
    begin = time.perf_counter()
    _, gradient = objective.loss_and_gradient()
    seconds = time.perf_counter() - begin
    yield "gradient norm", f"{float(gradient.norm()):.4g}", f"{seconds:.1f} s"
    begin = time.perf_counter()
    H = ls.HessianOperator(objective, memory=MEMORY, expected_matvecs=100)
    yield "route", H.route, f"{time.perf_counter() - begin:.0f} s to plan"
    v = case.vectors(1)[:, 0]
    begin = time.perf_counter()
    H @ v
    one = time.perf_counter() - begin
    yield "one Hessian-vector product", f"{one:.1f} s", f"{one / seconds:.2f} gradients"
    begin = time.perf_counter()
    eigs = ls.top_eigenpairs(H, 2, tol=1e-3, strict=False)
    yield (
        "λ₁, λ₂",
        " and ".join(f"{v:.6g} ± {r:.1g}" for v, r in zip(eigs.values, eigs.residuals, strict=True)),
        _cost(eigs, begin),
    )
    if eigs.upper_bound is not None:
        yield "λ₁ at most", f"{eigs.upper_bound[0]:.6g} with probability 99.9 %", ""
    yield "gap, ratio", f"{ls.spectral_gap(eigs).difference}, {ls.spectral_gap(eigs).ratio}", ""
    begin = time.perf_counter()
    trace = ls.trace(H, eigs=eigs, tol=OF_TRACE, strict=False)
    yield "trace", str(trace), _cost(trace, begin)
    begin = time.perf_counter()
    density = ls.spectral_density(H, eigs, tol=OF_DENSITY, strict=False)
    yield "weight below zero", str(density.negative_mass()), _cost(density, begin)
    yield "effective rank", str(density.effective_rank()), ""
    yield "band of the density", f"{100 * density.width:.2g} % of the eigenvalues", "averaged over the range"


def _cost(record: Any, begin: float) -> str:
    products = getattr(record, "products", math.nan)  # those on parts of the data by their share
    made = f"{products:.3g}" if math.isfinite(products) else record.num_matvecs
    return f"{made} products, {time.perf_counter() - begin:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
