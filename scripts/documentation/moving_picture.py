#!/usr/bin/env python
"""The picture of the README that moves: a valley grows steeper until gradient descent is only just stable in it.

python scripts/documentation/moving_picture.py       # writes docs/figures/edge_of_stability_moving.png, in a minute

Both panels are measured, on network, data and first seed of ``scripts/reproduce/edge_of_stability.py``.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

import landscape as ls
from landscape import plots
from landscape.plots.style import EIGENVALUE_COLOR, PALETTE, house_style

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "figures" / "edge_of_stability_moving.png"
CONFIG = {"hidden": [100, 100], "activation": "tanh", "loss": "mse", "num_train": 1000}
RATE = 0.1
STEPS, EVERY = 1200, 12
RADIUS, REACH, POINTS = 0.2, 0.1, 41  # of the slice, and of what is shown of it, in parameters
WIDTH, HEIGHT, DOTS = 7.6, 2.9, 100  # inches, and per inch
PAUSE, HELD = 80, 2500  # ms, each picture and the last
COLOURS, TIMES = 32, 3


@dataclass(frozen=True)
class Moment:
    """What was measured at a step: the largest eigenvalue, and the loss along its eigenvector."""

    step: int
    sharpness: float
    t: np.ndarray
    loss: np.ndarray
    floor: float
    following: float
    drop: float

    @property
    def at(self) -> np.ndarray:
        """The distances of the slice from the floor of the parabola."""
        return self.t - self.floor


def moments(steps: int = STEPS, every: int = EVERY) -> list[Moment]:
    """Gradient descent with step size ``RATE``, looked at every so many steps."""
    problem = ls.get_problem("mlp-digits", CONFIG)
    objective = problem.objective(problem.make_model(0), chunk=None)
    theta, before, found = objective.theta, None, []
    for step in range(steps + 1):
        _, gradient = objective.loss_and_gradient(theta)
        if step and step % every == 0:  # the first steps are far from any floor
            eigs = ls.top_eigenpairs(ls.HessianOperator(objective, theta), 1, tol=1e-2, start=before)
            u = torch.from_numpy(eigs.vectors[:, 0]).to(gradient)
            if before is not None and (u @ before[:, 0]).item() < 0:
                u = -u  # an eigenvector has no sign; the valley must not flip from picture to picture
            before = u[:, None]
            found.append(_moment(objective, theta, step, float(eigs.values[0]), u, (gradient @ u).item()))
        theta = theta - RATE * gradient
    return found


def _moment(objective: Any, theta: Any, step: int, sharpness: float, u: Any, slope: float) -> Moment:
    floor = -slope / sharpness  # of the parabola with this slope and curvature
    line = ls.evaluate_line(objective, u, radius=RADIUS, points=POINTS, theta=theta)
    middle = line.loss[POINTS // 2]
    return Moment(step, sharpness, line.t, line.loss - middle, floor, -RATE * slope, -0.5 * slope * floor)


def pictures(found: Sequence[Moment]) -> Iterator[Image.Image]:
    """Left the eigenvalue against the step, right the valley at that step and the next step in it."""
    figure = plots.new_figure(WIDTH, HEIGHT)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.35, 1]})
    blue, red = PALETTE["sgd"].color, EIGENVALUE_COLOR
    steps, sharpness = [m.step for m in found], [m.sharpness for m in found]
    left.plot(steps, sharpness, color=blue, alpha=0.22)
    left.axhline(2 / RATE, color=red, linestyle="--")
    left.text(steps[-1], 2 / RATE - 0.35, f"2/η = {2 / RATE:g}: above, it is unstable", color=red, ha="right", va="top")
    left.set(xlabel="step of gradient descent, η = 0.1", ylabel=r"sharpness $\lambda_{\max}$", ylim=(10, None))
    right.set(xlabel="distance from the valley’s floor along u₁", ylabel="rise of the loss", yticks=[])
    right.set(xlim=(-REACH, REACH), ylim=(-0.012, 0.115), xticks=(-REACH, 0, REACH))
    (path,), (point,) = left.plot([], [], color=blue), left.plot([], [], "o", color=blue)
    (valley,), (edge,) = right.plot([], [], color=blue), right.plot([], [], color=red, linestyle="--", linewidth=0.9)
    (hop,), (here,) = right.plot([], [], color="black", linewidth=0.9), right.plot([], [], "o", color="black")
    said = right.text(0.5, 0.97, "", transform=right.transAxes, ha="center", va="top")
    t = np.linspace(-REACH, REACH, 101)
    edge.set_data(t, t**2 / RATE)
    right.text(0.5, 0.87, "dashed: as steep as is stable", transform=right.transAxes, ha="center", va="top", color=red)

    for count, moment in enumerate(found, 1):
        path.set_data(steps[:count], sharpness[:count])
        point.set_data([moment.step], [moment.sharpness])
        height = moment.loss + moment.drop
        valley.set_data(moment.at, height)
        ends = [-moment.floor, moment.following - moment.floor]
        hop.set_data(ends, np.interp(ends, moment.at, height))
        here.set_data(ends, np.interp(ends, moment.at, height))
        said.set_text(rf"step {moment.step}: $\lambda_{{\max}}$ = {moment.sharpness:.1f}")
        yield _image(figure)


def _image(figure: Figure) -> Image.Image:
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=DOTS)
    return Image.open(written).convert("RGB")


def save(shown: Sequence[Image.Image]) -> None:
    """As an animated PNG of one palette, shown so many times and then still."""
    palette = shown[len(shown) // 2].quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in shown]
    durations = [PAUSE] * (len(frames) - 1) + [HELD]
    frames[0].save(TARGET, save_all=True, append_images=frames[1:], duration=durations, loop=TIMES)


def main() -> int:
    torch.set_num_threads(1)
    with house_style():
        save(list(pictures(moments())))
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
