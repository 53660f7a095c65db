"""How near the memory that an analysis says it expects is to what it takes, on one process and on two ranks.

    python -m benchmarks.announced               of 1 and 3 million parameters, on 1,257 digits, some steps in
    python -m benchmarks.announced 1700          of this width alone

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

WIDTHS = (1000, 1700)
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


def train(width: int, folder: Path) -> int:
    """A checkpoint of a perceptron after a few steps of Adam; its number of parameters."""
    problem = ls.get_problem("mlp-digits", {"hidden": [width, width]})
    model = problem.make_model(0)
    optimizer = torch.optim.Adam(model.parameters())
    inputs, targets = problem.train
    for _ in range(STEPS):
        optimizer.zero_grad()
        problem.loss_fn(model(inputs), targets).backward()
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
    """One row for each width and number of ranks."""
    if "measure" in sys.argv:
        found = measured(sys.argv[-1])
        if distributed.is_first():
            print(json.dumps(found))
        return
    print("| parameters | ranks | announced, in order | used | used ÷ last announced |\n|---|---|---|---|---|")
    for width in [int(word) for word in sys.argv[1:]] or WIDTHS:
        for ranks in (1, 2):
            with tempfile.TemporaryDirectory() as name:
                parameters = train(width, Path(name))
                found = outcome(ranks, 1, name, module="benchmarks.announced")
            used = max(found["used"])
            said = ", ".join(f"{megabytes:,}" for megabytes in found["announced"])
            print(
                f"| {parameters:,} | {ranks} | {said} MB | {used:,.0f} MB | {used / found['announced'][-1]:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
