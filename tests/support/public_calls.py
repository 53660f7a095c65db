"""A small call of everything public that computes with tensors, on whichever device the question is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import landscape as ls
from landscape import estimators
from landscape.geometry.sharpness.definitions import MEASURES
from tests.support.on_both_sides import Side

Call = Callable[[Side], Any]


def _tracked(side: Side) -> Any:
    tracker = ls.EigenTracker(k=2, tol=1e-4)
    return [tracker.update(side.hessian), tracker.update(side.hessian.at(side.another))]


def _class_gradients(side: Side) -> Any:
    x, y = side.data
    parts = [ls.Objective(side.model, F.cross_entropy, (x[y == c], y[y == c]), check=False) for c in range(3)]
    return torch.stack([part.gradient(side.theta) for part in parts])


ESTIMATORS: dict[str, Call] = {
    "top_eigenpairs": lambda s: [ls.top_eigenpairs(s.hessian, 2, which=w) for w in ("largest", "smallest", "both")],
    "spectral_gap": lambda s: ls.spectral_gap(s.eigs),
    "trace": lambda s: [
        ls.trace(s.hessian, num_probes=8, method=m, strict=False) for m in ("hutchinson", "hutch++", "xtrace")
    ] + [ls.trace(s.hessian, tol=0.3, eigs=s.eigs, strict=False)],
    "spectral_density": lambda s: ls.spectral_density(s.hessian, s.eigs, num_probes=2, num_steps=4),
    "spectrum": lambda s: ls.spectrum(s.hessian, k=2, num_probes=2, num_steps=6, strict=False),
    "diagonal": lambda s: ls.diagonal(s.hessian, num_probes=4),
    "frobenius_norm": lambda s: ls.frobenius_norm(s.hessian, num_probes=4),
    "spectral_moments": lambda s: ls.spectral_moments(s.hessian, num_probes=4),
    "block_table": lambda s: ls.block_table(s.hessian, num_probes=4, strict=False),
    "EigenTracker": _tracked,
    "search_missed": lambda s: ls.search_missed(s.hessian, eigs=ls.top_eigenpairs(s.hessian, 2), max_matvecs=10),
    "principal_angles": lambda s: ls.principal_angles(torch.stack([s.theta, s.another], 1), s.eigs),
    "gradient_share": lambda s: ls.gradient_share(s.objective.gradient(), ls.top_eigenpairs(s.hessian, 2), k=2),
    "layer_attribution": lambda s: ls.layer_attribution(s.another, s.objective.layout),
    "class_attribution": lambda s: ls.class_attribution(s.another, _class_gradients(s)),
    "second_order_gain": lambda s: ls.second_order_gain(s.hessian, s.objective.gradient(), eigs=s.eigs),
    "probe": lambda s: estimators.probe(0, s.hessian.dim, seed=0, device=s.device, dtype=s.dtype),
}  # fmt: skip


def _plane(side: Side) -> Any:
    return ls.random_plane(side.objective)


def _walked(side: Side) -> Any:
    return torch.stack([side.theta, side.another, 0 * side.theta])


def _aligned(side: Side) -> Any:
    return ls.align(side.objective, side.theta, side.another)


def _sharp(side: Side) -> Any:
    few = {"llc": {"steps": 8}, "worst": {"steps": 2}, "adaptive_worst": {"steps": 2}, "keskar": {"steps": 2}}
    return {name: ls.sharpness(side.objective, measure=name, strict=False, **few.get(name, {})) for name in MEASURES}


_DIRECTIONS: tuple[tuple[str, Call], ...] = (
    ("random", lambda s: {}), ("gradient", lambda s: {}), ("top", lambda s: {"eigs": s.eigs}),
    ("bottom", lambda s: {"eigs": s.eigs}), ("difference", lambda s: {"to": s.another}),
)  # fmt: skip

GEOMETRY: dict[str, Call] = {
    "accuracy": lambda s: ls.accuracy(s.model(s.data[0]), s.data[1]),
    "gradient_norm": lambda s: ls.gradient_norm(s.objective, s.another),
    "random_direction": lambda s: ls.random_direction(s.objective),
    "random_plane": _plane,
    "direction": lambda s: [
        ls.evaluate_line(s.objective, ls.direction(s.objective, name, **more(s)), points=5, radius=0.5)
        for name, more in _DIRECTIONS
    ],
    "evaluate_line": lambda s: [
        ls.evaluate_line(s.objective, s.another - s.theta, points=5, metrics="accuracy", hessian=s.hessian),
        ls.evaluate_line(s.objective, s.another - s.theta, points=9, tol=0.05, weight_decay=0.1, test=s.objective),
        ls.evaluate_line(s.objective, s.another - s.theta, radius="auto", points=5),
    ],
    "evaluate_plane": lambda s: [
        ls.evaluate_plane(s.objective, _plane(s), points=5, metrics={"norm": ls.gradient_norm}, hessian=s.hessian),
        ls.evaluate_plane(s.objective, _plane(s), points=7, tol=0.05),
        ls.evaluate_plane(s.objective, ls.model_plane(s.theta, s.another, 2 * s.theta), points=5),
    ],
    "evaluate_paths": lambda s: ls.evaluate_paths(s.objective, {"a": _walked(s)}, points=5),
    "pca_plane": lambda s: ls.pca_plane(_walked(s)),
    "model_plane": lambda s: ls.model_plane(s.theta, s.another, 2 * s.theta),
    "align": lambda s: [_aligned(s), ls.align(s.objective, s.theta, s.another, method="activations")],
    "permuted_copy": lambda s: ls.permuted_copy(s.objective, _aligned(s)).theta,
    "repair": lambda s: ls.repair(s.objective, s.theta, s.another),
    "interpolate": lambda s: ls.interpolate(s.objective, s.theta, s.another, points=5, metrics="accuracy"),
    "basins": lambda s: ls.basins(s.line, [s.line.theta]),
    "distances": lambda s: ls.distances(s.objective, start=s.another, end=2 * s.theta),
    "examine_step": lambda s: ls.examine_step(s.objective, s.theta, s.another, smoothness=2.0),
    "connect": lambda s: ls.connect(s.objective, s.theta, s.another, steps=3, points=5, metrics="accuracy"),
    "merge": lambda s: ls.merge(s.objective, [s.theta, s.another], heldout=s.objective),
    "sharpness": _sharp,
    "learning_coefficient": lambda s: ls.learning_coefficient(s.objective, num_chains=2, steps=8, strict=False),
}  # fmt: skip


def _update(side: Side) -> Any:
    return ls.optimizer_update(side.trained, side.optimizer)


STABILITY: dict[str, Call] = {
    "optimizer_update": _update,
    "critical_sharpness": lambda s: ls.critical_sharpness(s.trained, _update(s)),
    "batch_sharpness": lambda s: ls.batch_sharpness(s.objective, batch_size=10, num_batches=3),
    "directional_sharpness": lambda s: ls.directional_sharpness(s.trained, _update(s)),
    "preconditioned_sharpness": lambda s: ls.preconditioned_sharpness(s.trained, s.optimizer),
    "generalized_sharpness": lambda s: [
        ls.generalized_sharpness(s.objective, norm=norm, starts=2, steps=5, strict=False)
        for norm in ("linf", "spectral")
    ],
    "stability": lambda s: ls.stability(s.trained, optimizer=s.optimizer, batch_size=10, num_batches=2),
    "gradient_noise": lambda s: ls.gradient_noise(s.objective, batch_size=10),
    "gradient_noise_scale": lambda s: ls.gradient_noise_scale(s.objective, batch_size=10),
    "over_subsets": lambda s: ls.over_subsets(s.objective, lambda part: part.loss(), num_subsets=3),
}  # fmt: skip


def _products(op: Any, side: Side) -> Any:
    v = side.another[: op.dim]
    return [op @ v, op @ torch.stack([v, v.square()], 1), (op @ v.cpu().numpy()), op.dense() if op.dim < 100 else None]


def _preconditioner(side: Side) -> Any:
    return ls.preconditioner(
        side.optimizer.state_dict(), side.trained.layout, optimizer="adam", names=side.trained.layout.names
    )


OPERATORS: dict[str, Call] = {
    "HessianOperator": lambda s: [
        _products(s.hessian, s), _products(2 * s.hessian - s.hessian, s), _products(s.hessian.block("0.*"), s),
        s.hessian.to_scipy().matvec(np.ones(s.hessian.dim)),
    ],
    "GaussNewtonOperator": lambda s: _products(ls.GaussNewtonOperator(s.objective), s),
    "FisherOperator": lambda s: [
        _products(ls.FisherOperator(s.objective, kind=kind), s) for kind in ("exact", "mc", "empirical")
    ],
    "PreconditionedOperator": lambda s: _products(ls.PreconditionedOperator(s.hessian, 1 + s.another.abs()), s),
    "preconditioner": _preconditioner,
    "BlockDiagonalOperator": lambda s: _products(ls.block_diagonal(s.hessian, "module"), s),
    "block_diagonal": lambda s: _products(ls.block_diagonal(s.objective), s),
    "ProjectedOperator": lambda s: _products(ls.ProjectedOperator(s.hessian, torch.stack([s.theta, s.another], 1)), s),
    "DeflatedOperator": lambda s: _products(ls.DeflatedOperator(s.hessian, s.eigs.vectors), s),
    "MatrixOperator": lambda s: _products(ls.MatrixOperator(s.hessian.dense()), s),
    "IdentityOperator": lambda s: _products(s.hessian + ls.IdentityOperator(s.hessian.dim), s),
    "as_operator": lambda s: _products(ls.as_operator(s.hessian.dense()), s),
    "ExactOperator": lambda s: _products(ls.exact(s.hessian), s),
    "exact": lambda s: [
        ls.top_eigenpairs(ls.exact(s.hessian), 2), ls.trace(ls.exact(s.hessian)), ls.diagonal(ls.exact(s.hessian)),
        ls.spectral_density(ls.exact(s.hessian)),
    ],
    "exact_cost": lambda s: ls.exact_cost(s.hessian),
    "exact_fits": lambda s: float(ls.exact_fits(s.hessian, 100)),
}  # fmt: skip
