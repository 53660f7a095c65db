"""A folder of small runs, as training would leave it."""

from __future__ import annotations

from pathlib import Path

import torch

import landscape as ls

CONFIG = {"hidden": [6], "num_train": 120}
SMALL = ls.Plan(
    "quick", last=2, eigs=2, trace_probes=4, density_probes=2, steps=5, points=5, plane_points=5, directions=1,
    samples=2, restarts=1, max_matvecs=300, tol=1e-3, workers=1,
)  # fmt: skip


def save_run(folder: Path, *, optimizer: str, seed: int, shift: float = 0.0, train_loss: bool = False) -> None:
    """Three checkpoints of a few steps of gradient descent, with the metrics that training saves, or most of them."""
    problem = ls.get_problem("mlp-digits", CONFIG)
    model = problem.make_model(seed)
    steps = (
        torch.optim.Adam(model.parameters(), 1e-2) if optimizer == "adam" else torch.optim.SGD(model.parameters(), 0.3)
    )
    for step in range(1, 4):
        for _ in range(15):
            steps.zero_grad()
            problem.mean_loss(model, problem.train).backward()
            steps.step()
        if shift:
            with torch.no_grad():
                next(model.parameters()).add_(shift)
        outputs = model(problem.test[0])
        right = float((outputs.argmax(1) == problem.test[1]).float().mean())
        metrics = {"test_loss": float(problem.loss_fn(outputs, problem.test[1])), "test_accuracy": right}
        if train_loss:
            metrics["train_loss"] = float(problem.mean_loss(model, problem.train))
        config = {"optimizer": optimizer, "seed": seed, "lr": 0.3}
        ls.save_checkpoint(folder, model, step=step, problem=problem, optimizer=steps, metrics=metrics, config=config)


def make_runs(folder: Path, *, train_loss: bool = False) -> Path:
    """Two optimizers × two seeds."""
    for optimizer in ("adam", "sgd"):
        for seed in (0, 1):
            save_run(folder / f"{optimizer}-s{seed}", optimizer=optimizer, seed=seed, train_loss=train_loss)
    return folder
