"""The same mistake gets the same sentence in every function, and a number of NumPy's is a number."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import landscape as ls
from landscape import estimators, geometry, results, statistics
from landscape.checkpoints import match_losses
from landscape.errors import UsageError
from landscape.problems import get_problem
from landscape.study.arms import Tuning
from tests.support import stability_arguments
from tests.support.numeric_arguments import ESTIMATE, MODEL, OBJECTIVE, TABLE, H
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


def problem(name):
    return lambda **given: get_problem(name, given)


TABLE |= stability_arguments.rows(OBJECTIVE)

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
           ("num_subsets",): 2, ("critical_sharpness", "max_losses"): 8, ("learning_coefficient", "steps"): 9,
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
        *(("draw", name) for name in ("points", "last", "seed", "workers")),  # tests/pictures
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
