"""From a name and a JSON config to a problem. A checkpoint's name is looked up here and never imported."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from landscape.checks import plain_number
from landscape.errors import LandscapeError, UsageError, in_one_line
from landscape.problems.base import Problem
from landscape.problems.builtin import (
    analytic,
    constrained,
    digits,
    factored,
    gan,
    half_plane,
    lazy,
    mnist,
    regression,
    rotated,
    text,
    transfer,
)
from landscape.problems.importing import folders_for, importable, object_named
from landscape.problems.seeded import seeded

Factory = Callable[..., Problem]
#: Arguments of factories that are no settings: where the data lie, whether they may be fetched, and how the training of
#: the checkpoint at hand was configured.
_NOT_SETTINGS = ("data_dir", "download", "checkpoint_config")

PROBLEMS: dict[str, Factory] = {
    "lenet-digits": digits.lenet_digits,
    "mlp-digits": digits.mlp_digits,
    "logistic-digits": digits.logistic_digits,
    "lenet-mnist": mnist.lenet_mnist,
    "mlp-mnist": mnist.mlp_mnist,
    "quadratic": analytic.quadratic,
    "two-well": analytic.two_well,
    "resnet-digits": digits.resnet_digits,
    "rotated-digits": rotated.rotated_digits,
    "lazy-digits": lazy.lazy_digits,
    "transfer-digits": transfer.transfer_digits,
    "softmax-mnist": mnist.softmax_mnist,
    "poly-regression": regression.poly_regression,
    "noisy-linear": regression.noisy_linear,
    "constrained": constrained.constrained,
    "half-plane": half_plane.half_plane,
    "gan": gan.gan,
    "matrix-factorization": factored.matrix_factorization,
    "deep-linear": factored.deep_linear,
    "char-transformer": text.char_transformer,
    "char-transformer-small": text.char_transformer_small,
}


def get_problem(
    name: str,
    config: Mapping[str, Any] | None = None,
    *,
    data_dir: str | Path | None = None,
    download: bool = True,
) -> Problem:
    """Build a registered problem.

    Parameters
    ----------
    name : str
        One of ``landscape.problems.PROBLEMS``.
    config : mapping, optional
        The keyword arguments of the problem's factory; those left out take their defaults.
    data_dir : path, optional
        Where the data files lie, for problems that need some.
    download : bool
        False where the name comes from a file: then nothing is fetched because of it.

    Raises
    ------
    UsageError
        If the name or a key of the config is unknown, or a value is outside what the problem accepts.

    Examples
    --------
    >>> problem = get_problem("quadratic", {"eigenvalues": [3, 2, 1]})
    >>> problem.config["num_examples"], problem.make_model(0).w.shape
    (128, torch.Size([3]))
    """
    if name not in PROBLEMS:
        raise UsageError(
            f"unknown problem {name!r}; known are {', '.join(PROBLEMS)}. "
            "One of your own is named as --problem pkg.mod:factory"
        )
    return _build(name, PROBLEMS[name], config, {"data_dir": data_dir, "download": download})


def is_fetched(name: str) -> bool:
    """Whether a registered problem may download its data where it is given no folder of them."""
    return name in PROBLEMS and "download" in inspect.signature(PROBLEMS[name]).parameters


def load_problem(
    spec: str,
    config: Mapping[str, Any] | None = None,
    *,
    data_dir: str | Path | None = None,
    beside: str | Path | None = None,
    checkpoint_config: Mapping[str, Any] | None = None,
) -> Problem:
    """Build a registered problem, or the user's own from ``pkg.mod:factory`` or ``path/to/file.py:factory``.

    Only for names that a person typed: importing runs code. A module is looked for in the current folder, then where
    Python looks (``PYTHONPATH`` counts), then beside the checkpoints. The factory takes the config as keyword
    arguments, ``data_dir`` and ``checkpoint_config`` where it has arguments of these names, and returns a
    :class:`Problem`; instead of a factory there may be a :class:`Problem`. What it draws from the global generators of
    torch, NumPy and Python is the same each time.

    Parameters
    ----------
    beside : path, optional
        A checkpoint file; its folder and the two above it are searched too.
    checkpoint_config : mapping, optional
        What the training of that checkpoint was configured with.

    Raises
    ------
    UsageError
        If the module or factory is missing or fails, does not return a Problem, or does not know a key of the config.
    """
    if ":" not in spec:
        return get_problem(spec, config, data_dir=data_dir)
    folders = folders_for(spec, beside)
    factory, _ = object_named(spec, folders)
    around = {"data_dir": data_dir, "checkpoint_config": dict(checkpoint_config or {})}
    if isinstance(factory, Problem):
        given = factory
        factory = lambda: given  # noqa: E731  a problem that stands in the module is a factory without settings
    elif not callable(factory):
        name, kind = spec.rpartition(":")[2], type(factory).__name__
        raise UsageError(f"problem {spec!r}: {name!r} is a {kind}, neither a function nor a landscape.Problem")
    with importable(folders), seeded():
        problem = _build(spec, factory, config, around)

    def build() -> nn.Module:
        with importable(folders):  # a module may be imported only here
            return problem.build()

    return replace(problem, build=build)


def factory_identity(spec: str, *, beside: str | Path | None = None) -> tuple[str, bool]:
    """The file in which a user's factory stands, and whether it asks how a checkpoint's training was configured."""
    if ":" not in spec:
        return spec, False
    factory, file = object_named(spec, folders_for(spec, beside))
    return file, callable(factory) and "checkpoint_config" in inspect.signature(factory).parameters


def resolve_config(name: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The config of a registered problem with every default written out. Loads no data."""
    if name not in PROBLEMS:
        return dict(config or {})
    return _bind(name, PROBLEMS[name], config)


def _build(name: str, factory: Factory, config: Mapping[str, Any] | None, around: Mapping[str, Any]) -> Problem:
    full = _bind(name, factory, config)
    taken = inspect.signature(factory).parameters
    try:
        problem = factory(**full, **{key: value for key, value in around.items() if key in taken})
    except LandscapeError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"problem {name!r} with {full} failed: {in_one_line(error)}") from error
    if not isinstance(problem, Problem):
        raise UsageError(f"problem {name!r} returned a {type(problem).__name__}, not a landscape.problems.Problem")
    return replace(problem, name=name, config=full)


def _bind(name: str, factory: Factory, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Keyword arguments of the factory, defaults written out, as JSON would give them back."""
    config = dict(config or {})
    parameters = dict(inspect.signature(factory).parameters)
    for key in _NOT_SETTINGS:
        parameters.pop(key, None)
        if key in config:
            raise UsageError(f"problem {name!r}: {key!r} is no setting and has no place in a config")
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = {k: p for k, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    unknown = [key for key in config if key not in known]
    if unknown and not takes_any:
        raise UsageError(
            f"problem {name!r} has no setting {', '.join(map(repr, unknown))}; it has {', '.join(known) or 'none'}"
        )
    missing = [key for key, p in known.items() if p.default is p.empty and key not in config]
    if missing:
        raise UsageError(f"problem {name!r} needs {', '.join(map(repr, missing))} in its config")
    full = {key: p.default for key, p in known.items() if p.default is not p.empty} | config
    try:
        settled: dict[str, Any] = json.loads(json.dumps(full, default=plain_number))
        return settled
    except TypeError as error:
        raise UsageError(f"problem {name!r}: a config must be JSON, to be stored in checkpoints ({error})") from error
