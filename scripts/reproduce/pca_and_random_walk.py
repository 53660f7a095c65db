#!/usr/bin/env python
"""Principal components of a training against those of a random walk, with and without drift.

SGD on an MLP and on LeNet-5, 201 positions evenly along each training. The walk with drift takes the saved steps at
their lengths; a part ρ of each goes one way, the rest in a direction of its own, and ρ is what makes the walk end as
far from its beginning as the training does. Four seeds of each network; two minutes on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLUE, GREEN, GREY, RED
from shared.replicates import with_interval
from shared.training import trained
from torch import nn
from torch.nn.utils import parameters_to_vector

import landscape as ls
from landscape import plots
from landscape.plots.style import panels

NETWORKS = {"MLP": ("mlp-digits", {"hidden": [100, 100]}), "LeNet-5": ("lenet-digits", {})}
SEEDS, EPOCHS, POSITIONS, WALKS = (0, 1, 2, 3), 20, 201, 5
COMPONENTS = 3
ENDLESS = 6 / (np.pi * np.arange(1, COMPONENTS + 1)) ** 2
NEAR = 2.0  # the factor by which what is judged may differ from that of the walk


@dataclass(frozen=True)
class Path:
    """Shares (K,) of a training and of walks with its steps; coordinates (S, 2) of both for the figure."""

    shares: np.ndarray
    plain: np.ndarray
    drifting: np.ndarray
    straightness: float
    coordinates: np.ndarray
    walked: np.ndarray


def shares_of(positions: np.ndarray) -> np.ndarray:
    """Share of the variance on each of the first components."""
    centred = positions - positions.mean(axis=0)
    values = np.linalg.eigvalsh(centred @ centred.T)[::-1][:COMPONENTS]
    shares: np.ndarray = values / (centred**2).sum()
    return shares


def drift_part(steps: np.ndarray) -> float:
    """ρ, from the steps (T, P): 0 for a walk whose squared way is the sum of squared steps, 1 for a straight line."""
    lengths = np.linalg.norm(steps, axis=1)
    squares, straight = (lengths**2).sum(), lengths.sum() ** 2
    way = (steps.sum(axis=0) ** 2).sum()
    return float(np.sqrt(np.clip((way - squares) / (straight - squares), 0, 1)))


def walk(lengths: np.ndarray, dim: int, rho: float, random: np.random.Generator) -> np.ndarray:
    """Positions (T + 1, dim) of one walk; directions are uniform on the sphere, the drift is along the first axis."""
    moves = random.standard_normal((len(lengths), dim))
    moves *= (np.sqrt(1 - rho**2) * lengths / np.linalg.norm(moves, axis=1))[:, None]
    moves[:, 0] += rho * lengths
    return np.concatenate([np.zeros((1, dim)), np.cumsum(moves, axis=0)])


def path(network: str, seed: int, *, epochs: int, positions: int, walks: int) -> Path:
    """Train, and compare with walks of the same steps."""
    name, config = NETWORKS[network]
    problem = ls.get_problem(name, config)
    last = epochs * -(-len(problem.train[1]) // problem.recipe.batch_size)
    places, seen = set(np.linspace(0, last, positions).round().astype(int).tolist()), []

    def watch(step: int, model: nn.Module) -> None:
        if step in places:
            seen.append(parameters_to_vector(model.parameters()).detach().double().numpy())

    trained(problem, optimizer="sgd", epochs=epochs, seed=seed, watch=watch)
    theta = np.array(seen)
    steps = np.diff(theta, axis=0)
    lengths, rho, random = np.linalg.norm(steps, axis=1), drift_part(steps), np.random.default_rng(seed)
    first = walk(lengths, theta.shape[1], rho, random)
    others = [shares_of(walk(lengths, theta.shape[1], rho, random)) for _ in range(walks - 1)]
    plane, again = ls.pca_plane(theta, seed=seed), ls.pca_plane(first)
    return Path(
        shares_of(theta), plane.walks.mean(axis=0), np.mean([shares_of(first), *others], axis=0),
        float(np.linalg.norm(steps.sum(axis=0)) / lengths.sum()), plane.coordinates, again.coordinates,
    )  # fmt: skip


def measure(quick: bool) -> dict[str, list[Path]]:
    """A path for each network and seed."""
    epochs, positions, walks = (2, 21, 2) if quick else (EPOCHS, POSITIONS, WALKS)
    seeds = SEEDS[:2] if quick else SEEDS
    return {
        network: [path(network, seed, epochs=epochs, positions=positions, walks=walks) for seed in seeds]
        for network in NETWORKS
    }


def mean_of(paths: list[Path], which: str) -> np.ndarray:
    """Shares (K,), the mean over seeds."""
    mean: np.ndarray = np.mean([getattr(one, which) for one in paths], axis=0)
    return mean


def judge(found: dict[str, list[Path]]) -> tuple[str, bool]:
    """Held if for both networks all are within a factor of 2 of the drifting walk's: the shares of components 2 and 3,

    and what the first leaves. The first share alone would say little: ρ is fitted to how straight the training is.
    """
    said, holds = [], True
    for network, paths in found.items():
        shares, drifting = mean_of(paths, "shares"), mean_of(paths, "drifting")
        ratios = judged(shares) / judged(drifting)
        holds = holds and bool((abs(np.log(ratios)) < np.log(NEAR)).all())
        each = ", ".join(with_interval([one.shares[k] for one in paths]) for k in range(COMPONENTS))
        said.append(
            f"{network}: shares {each} of the variance on components 1 to {COMPONENTS}, {shares.sum():.3f} together; a "
            f"walk with its steps and drift {written(drifting)}, without drift {written(mean_of(paths, 'plain'))}; "
            f"as far from its beginning as {np.mean([one.straightness for one in paths]):.2f} of its length"
        )
    return "; ".join(said) + f"; an endless walk of equal steps {written(ENDLESS)}", holds


def judged(shares: np.ndarray) -> np.ndarray:
    """What the first component leaves, and the shares of the others."""
    return np.concatenate([[1 - shares[0]], shares[1:]])


def written(shares: np.ndarray) -> str:
    """``0.61, 0.15``."""
    return ", ".join(f"{share:.3f}" for share in shares)


def draw(found: dict[str, list[Path]]) -> Figure:
    """For each network the shares; then one training and one walk on the planes that they span."""
    figure, axes = panels(2 * len(found), columns=2, row_height=2.1)
    numbers = np.arange(1, COMPONENTS + 1)
    for row, (network, paths) in enumerate(found.items()):
        left, right = axes[2 * row : 2 * row + 2]
        for one in paths:
            left.plot(numbers, one.shares, "o", color=BLUE, markersize=3, label="SGD, a seed")
        left.plot(numbers, mean_of(paths, "drifting"), color=RED, label="walk with drift")
        left.plot(numbers[:2], mean_of(paths, "plain"), color=GREEN, label="walk with its steps")
        left.plot(numbers, ENDLESS, color=GREY, linestyle=(0, (4, 2)), label=r"$6/(\pi k)^2$")
        left.set_yscale("log")
        left.set_xticks(numbers)
        left.set_xlabel("component k")
        left.set_ylabel(f"share of variance, {network}")
        for places, color in ((paths[0].coordinates, BLUE), (paths[0].walked, RED)):
            scaled = places / abs(places).max()
            right.plot(*scaled.T, color=color, linewidth=0.9)
            right.plot(*scaled[0], "o", color=color, markersize=3)
        right.set_xlabel("component 1, scaled")
        right.set_ylabel("component 2, scaled")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="pca_and_random_walk",
    claim="Along a training with SGD the first principal components of the positions have about the shares of the "
    "variance that a high-dimensional random walk with drift has.",
    source="Antognini & Sohl-Dickstein (2018), PCA of high dimensional random walks with comparison to neural network "
    "training, NeurIPS, abstract (which names an MLP, a linear model and a ResNet)",
    measure=measure,
    judge=judge,
    draw=draw,
    caveat="That they resemble is the paper's word; a factor of 2, the drift as one part of every step, and the "
    "networks are ours, set after a look at trainings of two epochs. An endless walk without drift has 61, 15, 7 %.",
)

if __name__ == "__main__":
    sys.exit(main(FACT))
