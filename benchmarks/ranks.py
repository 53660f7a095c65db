"""Products and gradients on several ranks of one thread each, beside one process with as many threads.

    python -m benchmarks.ranks                  two ranks; 2 threads in the one process
    python -m benchmarks.ranks memory 10 64     of a basis of 64 vectors, 10 million parameters, on 1, 2 and 4 ranks

Prints a row for each model: seconds, their ratio, the share of time in exchanges, bytes exchanged for a product; or for
each number of ranks what the basis should take on each, and by how much the most that a rank used rose.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import landscape as ls
from benchmarks.memory import peak
from benchmarks.models import CharTransformer, TokenLoss
from landscape import distributed
from landscape.problems.builtin.networks import lenet5

ROUTE = "fresh"
REPEATS = 5


def lenet() -> ls.Objective:
    """LeNet-5 on 4,096 images of 32 × 32."""
    images = torch.randn(4096, 1, 32, 32)
    return ls.Objective(lenet5("tanh", "average")(), cross_entropy, (images, torch.randint(10, (4096,))), check=False)


def transformer() -> ls.Objective:
    """A character model of 10.7 million parameters on 8 sequences of 128."""
    model = CharTransformer(vocabulary=65, context=128, width=384, layers=6, heads=6)
    tokens = torch.randint(65, (8, 129))
    return ls.Objective(model, TokenLoss(), (tokens[:, :-1], tokens[:, 1:]), chunk=2, check=False)


MODELS: dict[str, Callable[[], ls.Objective]] = {"LeNet-5": lenet, "transformer": transformer}


def measured(name: str) -> dict[str, Any]:
    """Seconds of a product and of a gradient here, and what was exchanged meanwhile."""
    torch.manual_seed(0)
    objective = MODELS[name]()
    H = ls.HessianOperator(objective, route=ROUTE)
    v = torch.ones(H.dim)
    works: dict[str, Callable[[], object]] = {"product": lambda: H @ v, "gradient": objective.gradient}
    group, found = distributed.current(), dict[str, Any](parameters=H.dim)
    for kind, work in works.items():
        work()
        before = (0, 0.0) if group is None else (group.traffic.bytes, group.traffic.seconds)
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        found[kind] = statistics.median(times)
        if group is not None:
            found[f"{kind} bytes"] = (group.traffic.bytes - before[0]) // REPEATS
            found[f"{kind} exchanging"] = (group.traffic.seconds - before[1]) / sum(times)
    return found


def memory(millions: float, vectors: int) -> dict[str, Any]:
    """Bytes of a basis as they should be, by how much the most that was used rose, and what was before; of any rank."""
    torch.manual_seed(0)
    width = round(millions * 1e6 / 2048)
    model = nn.Sequential(nn.Linear(1024, width), nn.Tanh(), nn.Linear(width, 1024))
    data = (torch.randn(8, 1024), torch.randn(8, 1024))
    imported = peak()
    H = ls.HessianOperator(ls.Objective(model, mse_loss, data, check=False), route=ROUTE)
    v = torch.ones(H.dim)
    v = H @ v / (H @ v).norm()
    before = peak()
    ls.top_eigenpairs(H, 1, tol=0, max_basis=vectors, max_matvecs=vectors + 2, strict=False)
    group = distributed.current()
    mine = {"before": before - imported, "basis": peak() - before}
    ranks = [mine] if group is None else group.all(mine, "what was used")
    found = {name: max(rank[name] for rank in ranks) for name in mine}
    return found | {"parameters": H.dim, "expected": 4.0 * H.dim * (vectors + 1) / len(ranks)}


def outcome(ranks: int, threads: int, *asked: str, module: str = "benchmarks.ranks") -> dict[str, Any]:
    """What a module prints last, in processes of its own: of all models, or of what is asked."""
    command = [sys.executable, "-m", module, "measure", *asked]
    if ranks > 1:
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "--no-python"]
        command = [sys.executable, *launch, *command]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """One row for each model and kind."""
    if "measure" in sys.argv:
        asked = sys.argv[sys.argv.index("measure") + 1 :]
        found = memory(float(asked[0]), int(asked[1])) if asked else {name: measured(name) for name in MODELS}
        if distributed.is_first():
            print(json.dumps(found))
        return
    if "memory" in sys.argv:
        print_memory(sys.argv[sys.argv.index("memory") + 1 :])
        return
    ranks = 2
    one, several = outcome(1, ranks), outcome(ranks, 1)
    print(f"| | parameters | one process, {ranks} threads | {ranks} ranks | ratio | exchanging | exchanged |")
    print("|---|---|---|---|---|---|---|")
    for name in MODELS:
        for kind in ("product", "gradient"):
            alone, together = one[name][kind], several[name][kind]
            print(
                f"| {name}, {kind} | {one[name]['parameters']:,} | {alone:.2f} s | {together:.2f} s | "
                f"{alone / together:.2f} | {100 * several[name][f'{kind} exchanging']:.0f} % | "
                f"{several[name][f'{kind} bytes'] / 1e6:.1f} MB |"
            )


def print_memory(asked: list[str]) -> None:
    """One row for each number of ranks."""
    print("| ranks | parameters | basis of each | more was used by | before it |\n|---|---|---|---|---|")
    for ranks in (1, 2, 4):
        found = outcome(ranks, 1, *asked)
        print(
            f"| {ranks} | {found['parameters']:,} | {found['expected'] / 1e6:,.0f} MB | "
            f"{found['basis'] / 1e6:,.0f} MB | {found['before'] / 1e6:,.0f} MB |"
        )


if __name__ == "__main__":
    main()
