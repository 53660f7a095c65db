"""The same mistake gets the same sentence in every function, and a number of NumPy's is a number."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch

import landscape as ls
from landscape import estimators, geometry, results, statistics
from landscape.checkpoints import match_losses
from landscape.errors import UsageError
from landscape.problems import get_problem
from landscape.study.design import Study, Tuning
from landscape.study.trajectory import Trajectory
from tests.support.problem_settings import PROBLEM_SETTINGS, SEEDS

NAN, INF = float("nan"), float("inf")
#: kind → what is refused, and what is taken.
KINDS = {
    "seed": ((-1, "a", True, 1.5, NAN, None), np.int64(3)),
    "count": ((-1, 0, "a", True, 1.5, NAN), np.int64(3)),
    "count or 0": ((-1, "a", True, 1.5, NAN), np.int64(3)),
    "share": ((95, -1, "a", True, NAN, INF), np.float64(0.5)),
    "positive": ((-1, 0, "a", True, NAN, INF), np.int64(3)),
    "not negative": ((-1, "a", True, NAN, INF), np.int64(3)),
}
SAID = {
    "seed": "must be a whole number of at least 0",
    "count": "must be a whole number of at least",
    "count or 0": "must be a whole number of at least 0",
    "share": "must lie between 0 and 1",
    "positive": "must be a positive number",
    "not negative": "must be a number of at least 0",
}


def an_objective() -> ls.Objective:
    x = torch.arange(12.0).reshape(6, 2).sin()
    return ls.Objective(torch.nn.Linear(2, 1), torch.nn.functional.mse_loss, (x, x.sum(1, keepdim=True)))


OBJECTIVE = an_objective()
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
        lambda **g: ls.examine_step(OBJECTIVE, OBJECTIVE.theta, OBJECTIVE.theta + 1, **g),
        {"smoothness": "not negative"},
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
        {"radius": "positive", "points": "count", "tol": "share"},
    ),
    "evaluate_plane": (
        lambda **g: ls.evaluate_plane(OBJECTIVE, torch.eye(3)[:, :2], **{"points": 3} | g),
        {"radius": "positive", "points": "count", "tol": "share"},
    ),
    "evaluate_paths": (
        lambda **g: ls.evaluate_paths(OBJECTIVE, PATHS, **{"points": 3} | g),
        {"points": "count", "margin": "not negative"},
    ),
    "interpolate": (
        lambda **g: ls.interpolate(OBJECTIVE, VECTOR, 2 * VECTOR, **g), {"points": "count", "tol": "share"},
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
        {"levels": "count or 0", "last": "count", "eigs": "count", "trace_probes": "count", "density_probes": "count",
         "steps": "count", "points": "count", "plane_points": "count", "directions": "count or 0", "samples": "count",
         "restarts": "count", "subsets": "count or 0", "barriers": "count or 0", "tol": "share",
         "examples": "count", "max_matvecs": "count", "seed": "seed", "workers": "count", "threads": "count",
         "chunk": "count", "accuracy": "share", "time": "positive"},
    ),
    "Trajectory": (lambda **g: Trajectory(None, **g), {"looks": "count", "top": "count", "examples": "count"}),
    "Problem.make_model": (get_problem("quadratic").make_model, {"seed": "seed"}),
    "Problem": (lambda **g: replace(get_problem("quadratic"), **g), {"at_once": "count", "num_classes": "count"}),
}  # fmt: skip


def problem(name):
    return lambda **given: get_problem(name, given)


for _name, _settings in PROBLEM_SETTINGS.items():
    _seed = SEEDS.get(_name, "data_seed")
    TABLE[f"problem {_name}"] = (problem(_name), _settings | ({_seed: "seed"} if _seed else {}))

CASES = [
    pytest.param(call, argument, kind, id=f"{name}-{argument}")
    for name, (call, arguments) in TABLE.items()
    for argument, kind in arguments.items()
]


@pytest.mark.parametrize(("call", "argument", "kind"), CASES)
def test_a_wrong_value_is_refused_by_name_and_in_the_same_words(call, argument, kind):
    for value in KINDS[kind][0]:
        if value is None and argument not in ("seed",):
            continue  # which elsewhere means: left out
        with pytest.raises(UsageError) as refused:
            call(**{argument: value})
        assert f"{argument}={value!r} {SAID[kind]}" in str(refused.value), value


#: Where 3 and ½ break another rule than that of their kind.
FITTING = {("deep-linear", "num_examples"): 40, ("deep-linear", "dim"): 4, ("quadratic", "num_examples"): 40,
           ("top_eigenpairs", "max_basis"): 6, ("max_matvecs",): 60, ("Plan", "eigs"): 3, ("context",): 8,
           ("heads",): 4, ("width",): 8, ("characters",): 5000, ("batch_size",): 3, ("size",): 3,
           ("num_subsets",): 2, ("learning_coefficient", "steps"): 9,
           ("sharpness radius", "epsilon"): 0,
           ("exact", "memory"): 10_000, ("Plan", "max_matvecs"): 20,
           ("test_fraction",): 0.5, ("dropout",): 0.5}  # fmt: skip


@pytest.mark.parametrize(("call", "argument", "kind"), CASES)
def test_a_number_of_numpys_is_taken(call, argument, kind, request):
    value = KINDS[kind][1]
    name = request.node.callspec.id.rsplit("-", 1)[0].removeprefix("problem ")
    for key in ((name, argument), (argument,)):
        if key in FITTING:
            value = type(value)(FITTING[key])
            break
    call(**{argument: value})


def test_every_number_that_a_public_function_takes_is_in_the_table():
    """A new function, or a new argument of an old one, does not go unchecked."""
    elsewhere = {
        ("sharpness", "p"),
        ("compare", "level"),
        ("save_checkpoint", "step"),
        ("import_checkpoint", "step"),
        ("LinearOperator", "dim"),
        ("ExactOperator", "num_matvecs"),
    }
    judged = (statistics.Contrast, statistics.Decision, statistics.RankCorrelation, statistics.Ranking)
    records = (results.Record, Exception, ls.Checkpoint, *judged)
    missing = []
    for module in (ls, estimators, geometry, statistics):
        for name in module.__all__:
            found = getattr(module, name)
            if not callable(found) or (inspect.isclass(found) and issubclass(found, records)):
                continue
            covered = {a for key, (_, arguments) in TABLE.items() if key.split()[0] == name for a in arguments}
            for parameter in inspect.signature(found).parameters.values():
                number = str(parameter.annotation) in ("int", "float", "int | None", "float | None")
                if number and parameter.name not in covered and (name, parameter.name) not in elsewhere:
                    missing.append((name, parameter.name))
    assert not missing


def test_a_level_in_percent_is_told_how_to_be_written():
    with pytest.raises(UsageError, match="level=95 must lie between 0 and 1: 0.95, not 95"):
        ESTIMATE.interval(95)


def test_a_study_refuses_what_it_would_train_with(tmp_path):
    with pytest.raises(UsageError, match="seed=-1 must be a whole number of at least 0"):
        Tuning(seeds=(-1,))
    with pytest.raises(UsageError, match="a factor of grid='a' must be a positive number"):
        Tuning(grid=("a",))
    with pytest.raises(UsageError, match="level='a' must be a number of at least 0"):
        match_losses(tmp_path / "runs", tmp_path / "out", level="a")
    with pytest.raises(UsageError, match="step=True must be a whole number of at least 0"):
        ls.save_checkpoint(tmp_path, MODEL, step=True)


def test_what_numpy_counted_is_stored_as_a_plain_number():
    assert type(ls.Plan(seed=np.int64(3), examples=np.int32(5)).fields()["seed"]) is int
    assert type(ls.trace(H, num_probes=np.int64(4), method="hutchinson", seed=np.int64(1)).seed) is int
    assert type(ls.top_eigenpairs(H, np.int64(1), seed=np.int64(1)).seed) is int
    assert get_problem("quadratic", {"dim": np.int64(4)}).config["dim"] == 4
