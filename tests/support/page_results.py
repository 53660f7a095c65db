"""Runs with what the page shows only of some: a plane at every checkpoint, the path of training, a threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from landscape.results import PathSlice, PlaneSlice, Stability


def with_path_and_edge(run):
    """At every checkpoint a plane, the path of training on another, and λ_max beside 2/η."""
    x, checkpoints = np.linspace(-2, 2, 15), []
    at_x, at_y = np.meshgrid(x, x)
    none = np.full((2, 2), np.nan)
    for i, c in enumerate(run.checkpoints):
        loss = 0.01 * (i + 1) + at_x**2 + 3 * at_y**2
        loss[0, 0] = np.inf
        top = float(c.records["eigenpairs"].values[0])
        records = dict(c.records) | {
            "plane": PlaneSlice(x, x, loss, ("random 0", "random 1"), np.ones(2), none, none, none),
            "plane_pca": PathSlice(x, x, loss, ("PC 1", "PC 2"), (run.name,), np.array([3]),
                                   np.array([[-1.5, 1], [-1, 0.2], [0, 0]]), np.zeros(3), 0.71),
            "stability": Stability(("lambda_max",), np.array([top]), np.array([0.1]), ("bound",), np.array([40.0]),
                                   ("2/η",), np.array([True]), (), (), "SGD", 0.05, c.step, 0.1, 32, 0),
        }  # fmt: skip
        checkpoints.append(replace(c, records=records))
    return replace(run, checkpoints=tuple(checkpoints))
