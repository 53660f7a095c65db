"""Every number that a public function takes, and of which kind it is: what tests/test_checks.py goes through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

import landscape as ls
from landscape import estimators, geometry, results, statistics
from landscape.problems import get_problem
from landscape.study.design import Study
from landscape.study.trajectory import Trajectory


def an_objective(model: torch.nn.Module) -> ls.Objective:
    x = torch.arange(12.0).reshape(6, 2).sin()
    return ls.Objective(model, torch.nn.functional.mse_loss, (x, x.sum(1, keepdim=True)))


OBJECTIVE, ANOTHER = (an_objective(torch.nn.Linear(2, 1)) for _ in range(2))
HIDDEN = an_objective(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)))
H = ls.MatrixOperator(torch.diag(torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, -1.0], dtype=torch.float64)))
BOTH = ls.top_eigenpairs(H, 1, which="both")
DIAGONAL = ls.diagonal(H, num_probes=2)
MEASURE = ls.spectral_density(H, num_probes=2, num_steps=3)
ESTIMATE = results.Estimate(1.0, sem=0.1, samples=np.array([0.9, 1.1, 1.0]))
SPREAD = ls.over_subsets(OBJECTIVE, lambda part: part.loss(), num_subsets=2)
VECTOR, MODEL = torch.ones(3), torch.nn.Linear(1, 1)
PATHS = {"a": np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0]])}
SAMPLE, OTHER = [1.0, 2.0, 4.0, 3.0, 5.0, 7.0], [2.0, 1.0, 3.0, 5.0, 6.0, 4.0]


def sharp(measure):
    return lambda **given: ls.sharpness(OBJECTIVE, measure=measure, **given)


def tracker(**given):
    return ls.EigenTracker(**given).update(H)


def study(**given):
    return Study("s", "?", "quadratic", arms=(), **given)


#: what is called → argument → kind
TABLE = {
    "top_eigenpairs": (
        lambda **g: ls.top_eigenpairs(H, **g),
        {"k": "count", "tol": "share", "negative_tol": "share", "max_matvecs": "count", "seed": "seed",
         "max_basis": "count", "block": "count"},
    ),
    "EigenTracker": (
        tracker, {"k": "count", "tol": "share", "max_matvecs": "count", "seed": "seed", "rank": "count"},
    ),
    "trace": (
        lambda **g: ls.trace(H, **{"tol": 0.5} | g if "max_matvecs" in g else g),
        {"num_probes": "count", "seed": "seed", "tol": "share", "atol": "not negative", "max_matvecs": "count"},
    ),
    "spectral_density": (
        lambda **g: ls.spectral_density(H, **{"tol": 0.9} | g),
        {"num_probes": "count", "num_steps": "count", "tol": "share", "max_matvecs": "count", "seed": "seed"},
    ),
    "spectrum": (
        lambda **g: ls.spectrum(H, **g),
        {"k": "count", "num_probes": "count", "num_steps": "count", "tol": "share", "max_matvecs": "count",
         "seed": "seed"},
    ),
    "diagonal": (
        lambda **g: ls.diagonal(H, strict=False, **{"tol": 0.9} | g if "max_matvecs" in g else g),
        {"num_probes": "count", "seed": "seed", "tol": "share", "max_matvecs": "count"},
    ),
    "frobenius_norm": (lambda **g: ls.frobenius_norm(H, **g), {"num_probes": "count", "seed": "seed"}),
    "spectral_moments": (lambda **g: ls.spectral_moments(H, **g), {"num_probes": "count", "seed": "seed"}),
    "block_table": (
        lambda **g: ls.block_table({"a": H}, **g),
        {"num_probes": "count", "tol": "share", "max_matvecs": "count", "seed": "seed"},
    ),
    "search_missed": (
        lambda **g: ls.search_missed(H, eigs=BOTH, **g), {"max_matvecs": "count", "level": "share", "seed": "seed"},
    ),
    "gradient_share": (lambda **g: ls.gradient_share(np.ones(6), np.eye(6)[:, :4], **g), {"k": "count"}),
    "second_order_gain": (
        lambda **g: ls.second_order_gain(H, torch.ones(6), eigs=BOTH, **g),
        {"damping": "positive", "num_steps": "count", "tol": "share"},
    ),
    "examine_step": (
        lambda **g: ls.examine_step(OBJECTIVE, VECTOR, 2 * VECTOR, **g), {"smoothness": "not negative"},
    ),
    "probe": (
        lambda **g: estimators.probe(**{"index": 0, "dim": 4, "seed": 0} | g),
        {"index": "count or 0", "dim": "count", "seed": "seed"},
    ),
    "IdentityOperator": (ls.IdentityOperator, {"dim": "count"}),
    "HessianOperator": (
        lambda **g: ls.HessianOperator(OBJECTIVE, **g), {"memory": "positive", "expected_matvecs": "count"},
    ),
    "GaussNewtonOperator": (lambda **g: ls.GaussNewtonOperator(OBJECTIVE, **g), {"memory": "positive"}),
    "FisherOperator": (
        lambda **g: ls.FisherOperator(OBJECTIVE, kind="mc", **g),
        {"num_samples": "count", "seed": "seed", "memory": "positive"},
    ),
    "crosscheck": (
        lambda **g: ls.crosscheck(OBJECTIVE, **{"witnesses": ["probes"], "points": 3, "plane_points": 3} | g),
        {"k": "count", "num_probes": "count", "density_probes": "count", "num_steps": "count", "points": "count",
         "plane_points": "count", "seed": "seed"},
    ),
    "over_subsets": (
        lambda **g: ls.over_subsets(OBJECTIVE, lambda part: part.loss(), **{"num_subsets": 2} | g),
        {"num_subsets": "count", "size": "count", "seed": "seed"},
    ),
    "gradient_noise_scale": (
        lambda **g: ls.gradient_noise_scale(OBJECTIVE, **{"batch_size": 2} | g),
        {"batch_size": "count", "seed": "seed"},
    ),
    "gradient_noise": (
        lambda **g: ls.gradient_noise(OBJECTIVE, **{"batch_size": 2, "tol": 0.5, "strict": False} | g),
        {"batch_size": "count", "seed": "seed", "tol": "share", "atol": "not negative", "max_gradients": "positive"},
    ),
    "random_direction": (
        lambda **g: geometry.random_direction(OBJECTIVE, **g), {"index": "count or 0", "seed": "seed"},
    ),
    "random_plane": (lambda **g: ls.random_plane(OBJECTIVE, **g), {"seed": "seed"}),
    "evaluate_line": (
        lambda **g: ls.evaluate_line(OBJECTIVE, VECTOR, **{"points": 3} | g),
        {"radius": "positive", "points": "count", "tol": "share", "weight_decay": "not negative"},
    ),
    "evaluate_plane": (
        lambda **g: ls.evaluate_plane(OBJECTIVE, torch.eye(3)[:, :2], **{"points": 3} | g),
        {"radius": "positive", "points": "count", "tol": "share", "weight_decay": "not negative"},
    ),
    "pca_plane": (lambda **g: ls.pca_plane(PATHS["a"], **g), {"num_walks": "count", "seed": "seed"}),
    "direction": (lambda **g: ls.direction(OBJECTIVE, "random", **g), {"index": "count or 0", "seed": "seed"}),
    "evaluate_paths": (
        lambda **g: ls.evaluate_paths(OBJECTIVE, PATHS, **{"points": 3} | g),
        {"points": "count", "margin": "not negative", "tol": "share", "num_walks": "count", "seed": "seed"},
    ),
    "interpolate": (
        lambda **g: ls.interpolate(OBJECTIVE, VECTOR, 2 * VECTOR, **g), {"points": "count", "tol": "share"},
    ),
    "align": (lambda **g: ls.align(HIDDEN, HIDDEN.theta, HIDDEN.theta, method="activations", **g),
              {"num_examples": "count", "restarts": "count", "seed": "seed"}),
    "repair": (lambda **g: ls.repair(HIDDEN, HIDDEN.theta, HIDDEN.theta, **g), {"t": "share"}),
    "connect": (
        lambda **g: ls.connect(OBJECTIVE, VECTOR, 2 * VECTOR, **{"steps": 2, "points": 3} | g),
        {"bends": "count", "steps": "count", "lr": "positive", "batch": "count", "weight_decay": "not negative",
         "tol": "share", "points": "count", "seed": "seed"},
    ),
    "minima_matrix": (
        lambda **g: ls.minima_matrix([OBJECTIVE, ANOTHER], **{"points": 3} | g),
        {"points": "count", "seed": "seed", "eigs": "count"},
    ),
    "persistence": (
        lambda **g: ls.persistence(ls.LineSlice(np.arange(5.0), np.arange(5.0), "d", 1.0), **g),
        {"error": "not negative"},
    ),
    "basins": (lambda **g: ls.basins(OBJECTIVE, [np.ones(3)], **g), {"radius": "positive"}),
    "sharpness worst": (sharp("worst"), {"restarts": "count", "steps": "count", "seed": "seed", "rho": "positive"}),
    "sharpness keskar": (sharp("keskar"), {"restarts": "count", "steps": "count", "rho": "positive"}),
    "sharpness average": (
        lambda **g: ls.sharpness(OBJECTIVE, measure="average", **{"tol": 0.5, "strict": False} | g),
        {"num_probes": "count", "seed": "seed", "rho": "positive", "tol": "share", "atol": "not negative",
         "max_losses": "positive"},
    ),
    "sharpness relative": (
        lambda **g: ls.sharpness(OBJECTIVE, measure="relative_flatness", strict=False, **{"tol": 0.5} | g),
        {"num_probes": "count", "tol": "share", "atol": "not negative", "max_losses": "positive", "seed": "seed"},
    ),
    "sharpness m": (sharp("worst"), {"m": "count"}),
    "sharpness radius": (sharp("flatness_radius_magnitude"), {"margin": "positive", "epsilon": "not negative"}),
    "learning_coefficient": (
        lambda **g: ls.learning_coefficient(OBJECTIVE, **{"steps": 8, "strict": False} | g),
        {"num_chains": "count", "steps": "count", "burn_in": "share", "batch_size": "count",
         "inverse_temperature": "positive", "localization": "not negative", "step_size": "positive", "seed": "seed"},
    ),
    "exact": (lambda **g: ls.exact(H, **{"memory": 1e6} | g), {"memory": "positive"}),
    "exact_fits": (
        lambda **g: ls.exact_fits(H, **{"planned": 10} | g), {"planned": "not negative", "memory": "positive"},
    ),
    "Sharpness.interval": (ls.sharpness(OBJECTIVE, measure="average").interval, {"level": "share"}),
    "Objective": (
        lambda **g: ls.Objective(MODEL, torch.nn.functional.mse_loss, (VECTOR[:, None],) * 2, **g),
        {"chunk": "count"},
    ),
    "Objective.rechunked": (OBJECTIVE.rechunked, {"chunk": "count"}),
    "Estimate.interval": (ESTIMATE.interval, {"level": "share"}),
    "Diagonal.interval": (DIAGONAL.interval, {"level": "share"}),
    "SamplingSpread.interval": (SPREAD.interval, {"level": "share"}),
    "SpectralMeasure.cdf": (lambda **g: MEASURE.cdf(0.0, **g), {"level": "share"}),
    "SpectralMeasure.moment": (MEASURE.moment, {"power": "count or 0"}),
    "SpectralMeasure.density": (MEASURE.density, {"bandwidth": "positive"}),
    "SpectralMeasure.log_density": (MEASURE.log_density, {"bandwidth": "positive", "floor": "not negative"}),
    "SpectralMeasure.negative_mass": (MEASURE.negative_mass, {"floor": "not negative"}),
    "SpectralMeasure.num_outliers": (MEASURE.num_outliers, {"gap": "positive", "most": "share"}),
    "mean_interval": (lambda **g: statistics.mean_interval(SAMPLE, **g), {"level": "share"}),
    "geometric_interval": (lambda **g: statistics.geometric_interval(SAMPLE, **g), {"level": "share"}),
    "bootstrap_interval": (
        lambda **g: statistics.bootstrap_interval(SAMPLE, **g),
        {"level": "share", "resamples": "count", "seed": "seed"},
    ),
    "std_interval": (lambda **g: statistics.std_interval(SAMPLE, **g), {"level": "share"}),
    "contrast": (
        lambda **g: statistics.contrast(dict(enumerate(SAMPLE)), dict(enumerate(OTHER)), **g), {"level": "share"},
    ),
    "effect_size": (lambda **g: statistics.effect_size(SAMPLE, OTHER, paired=True, **g), {"level": "share"}),
    "detectable_effect": (
        lambda **g: statistics.detectable_effect(**{"n": 5} | g),
        {"n": "count or 0", "m": "count or 0", "groups": "count", "power": "share", "level": "share"},
    ),
    "smallest_p": (lambda **g: statistics.smallest_p(**{"n": 5} | g), {"n": "count or 0", "m": "count or 0"}),
    "decide": (
        lambda **g: statistics.decide([(dict(enumerate(SAMPLE)), dict(enumerate(OTHER)))], **{"groups": 2} | g),
        {"groups": "count", "level": "share"},
    ),
    "rank_over_groups": (lambda **g: statistics.rank_over_groups(SAMPLE, OTHER, **g), {"seed": "seed"}),
    "rank_within_groups": (
        lambda **g: statistics.rank_within_groups([(dict(enumerate(SAMPLE)), dict(enumerate(OTHER)))], **g),
        {"seed": "seed"},
    ),
    "kendall": (lambda **g: statistics.kendall(SAMPLE, OTHER, **g), {"level": "share"}),
    "permutation_test": (lambda **g: statistics.permutation_test(SAMPLE, OTHER, paired=True, **g), {"seed": "seed"}),
    "Monitor": (
        lambda **g: ls.Monitor(OBJECTIVE, measures="trace", **g),
        {"every": "count", "budget": "share", "subset": "count", "seed": "seed"},
    ),
    "CheckpointWriter": (
        lambda **g: ls.CheckpointWriter("nowhere", MODEL, **g),
        {"every": "count", "last": "count or 0", "total": "count", "losses": "positive", "loss_window": "count",
         "step": "count or 0"},
    ),
    "Plan": (
        ls.Plan,
        {"levels": "count or 0", "last": "count", "every": "count", "eigs": "count", "trace_probes": "count",
         "density_probes": "count",
         "steps": "count", "points": "count", "plane_points": "count", "directions": "count or 0", "samples": "count",
         "restarts": "count", "subsets": "count or 0", "barriers": "count or 0", "tol": "share",
         "examples": "count", "max_matvecs": "count", "seed": "seed", "workers": "count", "threads": "count",
         "chunk": "count", "accuracy": "share", "time": "positive"},
    ),
    "Trajectory": (lambda **g: Trajectory(None, **g), {"looks": "count", "top": "count", "examples": "count"}),
    "Problem.make_model": (get_problem("quadratic").make_model, {"seed": "seed"}),
    "Problem": (lambda **g: replace(get_problem("quadratic"), **g), {"at_once": "count", "num_classes": "count"}),
}  # fmt: skip
