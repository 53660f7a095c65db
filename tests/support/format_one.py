"""The run whose checkpoint and results, as the first format had them, lie in tests/data/format1.

``python -m tests.support.format_one FOLDER`` writes them anew; it wrote those files with the package of version 0.1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

DATA = Path(__file__).parents[1] / "data" / "format1"
CONFIG = {"optimizer": "adam", "lr": 0.01, "seed": 4, "note": "θ", "nested": {"a/b": [1, None, float("inf")]}}
METRICS = {"train_loss": 0.25, "test_accuracy": 0.975, "accuracy_per_class": [1.0, None]}


class Model(nn.Module):
    """Tied weights, bfloat16, a frozen bias, a buffer of booleans, and more tensors than HDF5 keeps in one header."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 3, bias=False)
        self.head = nn.Linear(3, 3)
        self.head.weight = self.embed.weight
        self.short = nn.Linear(3, 2, dtype=torch.bfloat16)
        self.rest = nn.ParameterList(nn.Parameter(torch.zeros(i, dtype=torch.float64)) for i in range(6))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("count", torch.tensor(7))
        self.short.bias.requires_grad_(False)
        with torch.no_grad():
            for place, p in enumerate(self.parameters()):
                p.copy_((torch.arange(p.numel(), dtype=torch.float64) / 7 + place).view_as(p))


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    """Adam after two steps whose gradients are the parameters themselves."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=0.01)
    for _ in range(2):
        for p in trainable:
            p.grad = p.detach().clone()
        optimizer.step()
    return optimizer


def save(folder: Path) -> Path:
    """Write the checkpoint."""
    from landscape.checkpoints import save_checkpoint

    model = Model()
    optimizer = optimizer_of(model)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    resume = {"rng": torch.arange(9, dtype=torch.uint8), "order": {"position": 3}, "pair": (1, np.arange(2.0))}
    return save_checkpoint(
        folder, model, step=7, problem="mlp-digits", optimizer=optimizer, scheduler=schedule, metrics=METRICS,
        config=CONFIG, resume=resume, history={"loss": [0.5, 0.25]},
    )  # fmt: skip


def store(folder: Path) -> None:
    """Write the results."""
    from landscape.results import Estimate, LineSlice, SpectralGap
    from landscape.store import ResultStore

    with ResultStore(folder) as results:
        results.describe({"plan_name": "quick", "versions": {"landscape": "0.1.0"}})
        results.describe_run("adam/s0", {"optimizer": "adam", "seed": 0})
        results.describe_checkpoint("adam/s0", 7, METRICS)
        estimate = Estimate(1.5, sem=float("inf"), samples=np.arange(5.0) / 3, method="hutchinson")
        results.write("adam/s0", 7, "trace", estimate, {"key": {"seed": 0}, "converged": True})
        results.write("adam/s0", 7, "gap", SpectralGap(estimate, Estimate(2.0, bound=0.5)), {"key": {}})
        line = LineSlice(np.arange(3.0), np.array([1.0, np.nan, 2.0]), "between", 1.0, "interpolation")
        results.write_pair("adam/s0", "sgd", line, {})
        results.consolidate()


if __name__ == "__main__":
    save(Path(sys.argv[1]))
    store(Path(sys.argv[1]))
