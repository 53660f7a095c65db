#!/usr/bin/env python
"""Full-batch gradient descent: sharpness climbs to 2/η and stays there (Cohen et al. 2021, fig. 1).

    python scripts/reproduce/edge_of_stability.py --out checkpoints/demo/edge

A tanh MLP with squared error on 1,000 digits, at two step sizes. Half a minute on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import torch

import landscape as ls
from landscape import plots

STEP_SIZES = (0.0625, 0.1)
STEPS, EVERY = 3000, 50
CONFIG = {"hidden": [100, 100], "activation": "tanh", "loss": "mse", "num_train": 1000}


def sharpness_path(lr: float, *, steps: int = STEPS, every: int = EVERY, seed: int = 0) -> dict[str, np.ndarray]:
    """λ_max along gradient descent with step size ``lr``: arrays ``step``, ``sharpness``, ``residual``, ``loss``."""
    problem = ls.get_problem("mlp-digits", CONFIG)
    objective = problem.objective(problem.make_model(seed), chunk=None)
    theta, start = objective.theta, None
    path = []
    for step in range(steps + 1):
        loss, gradient = objective.loss_and_gradient(theta)
        if step % every == 0:
            H = ls.HessianOperator(objective, theta)
            eigs = ls.top_eigenpairs(H, 1, tol=1e-2, start=start)
            start = eigs.vectors  # the next one is near
            path.append((step, eigs.values[0], eigs.residuals[0], loss))
        theta -= lr * gradient
    return dict(zip(("step", "sharpness", "residual", "loss"), np.array(path).T, strict=True))


def late_ratio(path: dict[str, np.ndarray], lr: float) -> tuple[float, float]:
    """Mean and largest deviation of sharpness ÷ (2/η) over the last third of the path."""
    late = path["sharpness"][-len(path["step"]) // 3 :] * lr / 2
    return float(late.mean()), float(abs(late - 1).max())


def draw(paths: dict[float, dict[str, np.ndarray]], folder: Path) -> Path:
    """Both paths in one figure; returns the PNG."""
    with matplotlib.rc_context(plots.RC):
        figure = plots.new_figure(plots.DOUBLE, 2.6)
        ax = figure.add_subplot()
        for lr, path in paths.items():
            plots.plot_sharpness_path(path["step"], path["sharpness"], 2 / lr, label=f"step size η = {lr:g}", ax=ax)
        ax.set_xlabel("step of full-batch gradient descent")
        ax.set_ylabel(r"sharpness $\lambda_{\max}$")
        ax.set_ylim(bottom=0.7 * min(path["sharpness"].min() for path in paths.values()))
        ax.legend(loc="lower right", frameon=False)
    return plots.save(figure, folder, "edge_of_stability")[1]


def main() -> None:
    """Run, draw, and say whether the fact held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("checkpoints/demo/edge"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    paths = {lr: sharpness_path(lr) for lr in STEP_SIZES}
    for lr, path in paths.items():
        mean, worst = late_ratio(path, lr)
        print(f"η = {lr:g}: over the last third, sharpness is {mean:.3f} × 2/η, at most {100 * worst:.1f} % off")
    print(f"figure   {draw(paths, args.out)}")


if __name__ == "__main__":
    main()
