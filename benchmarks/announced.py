"""How near the memory that an analysis says it expects is to what it takes, on one process and on two ranks.

    python -m benchmarks.announced               of all workloads, some steps of Adam in
    python -m benchmarks.announced perceptron-3m lenet

Prints a row for each: megabytes that were announced, the most that a rank has used at the end, and their ratio.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import landscape as ls
from benchmarks.memory import peak
from benchmarks.ranks import outcome
from landscape import distributed

#: name → problem and config.
WORKLOADS: dict[str, tuple[str, dict[str, Any]]] = {
    "perceptron-1m": ("mlp-digits", {"hidden": [1000, 1000]}),
    "perceptron-3m": ("mlp-digits", {"hidden": [1700, 1700]}),
    "lenet": ("lenet-digits", {}),
    "resnet": ("resnet-digits", {"channels": 32}),
    "transformer": ("char-transformer-small", {"width": 128, "layers": 4}),
}
#: Examples of a step.
BATCH = 64
STEPS = 60
PLAN: dict[str, Any] = {"plan": "quick", "levels": 0, "barriers": 0, "planes": "", "workers": 1}


@dataclass
class Listener:
    """A reporter that keeps what was announced, in order."""

    announced: list[int] = field(default_factory=list)

    def update(self, *, done: float, total: float, doing: str) -> None:
        if "expected: about" in doing:
            megabytes = int(doing.rpartition(" MB")[0].split()[-1])
            if megabytes not in self.announced:
                self.announced.append(megabytes)


def train(name: str, folder: Path) -> int:
    """A checkpoint after a few steps of Adam; its number of parameters."""
    problem = ls.get_problem(*WORKLOADS[name])
    model = problem.make_model(0)
    optimizer = torch.optim.Adam(model.parameters())
    inputs, targets = problem.train
    for step in range(STEPS):
        rows = torch.arange(BATCH * step, BATCH * (step + 1)) % len(targets)
        optimizer.zero_grad()
        problem.loss_fn(model(inputs[rows]), targets[rows]).backward()
        optimizer.step()
    ls.save_checkpoint(folder / "adam-s0", model, step=STEPS, problem=problem, optimizer=optimizer)
    return sum(p.numel() for p in model.parameters())


def measured(folder: str) -> dict[str, Any]:
    """An analysis here; what was announced, and the most that any rank has used."""
    listener = Listener()
    ls.analyze(folder, ls.Plan(**PLAN), reporter=listener)
    used = peak() / 1e6
    group = distributed.current()
    return {"announced": listener.announced, "used": [used] if group is None else group.all(used, "what was used")}


def main() -> None:
    """One row for each workload and number of ranks."""
    if "measure" in sys.argv:
        found = measured(sys.argv[-1])
        if distributed.is_first():
            print(json.dumps(found))
        return
    print("| workload | parameters | ranks | announced, in order | used | used ÷ last announced |")
    print("|---|---|---|---|---|---|")
    for workload in sys.argv[1:] or WORKLOADS:
        for ranks in (1, 2):
            with tempfile.TemporaryDirectory() as name:
                parameters = train(workload, Path(name))
                found = outcome(ranks, 1, name, module="benchmarks.announced")
            used = max(found["used"])
            said = ", ".join(f"{megabytes:,}" for megabytes in found["announced"])
            ratio = used / found["announced"][-1]
            print(f"| {workload} | {parameters:,} | {ranks} | {said} MB | {used:,.0f} MB | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
