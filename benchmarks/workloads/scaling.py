"""How the time grows with the data, the parameters, the vectors and the checkpoints."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.stats import linregress

from benchmarks import ours, peers
from benchmarks.cases import Case, Spec, build_case, digits, make_case, mlp
from benchmarks.harness import MAX_CALLS, SAMPLE_SECONDS, Run, first_line

#: name of the axis -> size -> where it is measured; powers of two.
POINTS = {
    "examples": {"tiny": (6, 12), "small": (128, 256, 512, 1024), "full": (250, 500, 1000, 2000, 4000)},
    "parameters": {"tiny": (2, 4), "small": (32, 64, 128), "full": (64, 128, 256, 512, 1024)},
    "vectors": {"tiny": (1, 2), "small": (1, 2, 4, 8), "full": (1, 2, 4, 8, 16, 32)},
    "checkpoints": {"tiny": (1, 2), "small": (1, 2, 4), "full": (1, 2, 4, 8, 16)},
}
#: Training steps of a network of the parameters axis: its time is asked for, not its spectrum.
WIDTH_STEPS = 10


@dataclass(frozen=True)
class Scaling:
    """Seconds against one axis, for each contender.

    Attributes
    ----------
    name, title, axis : str
    at : callable
        ``at(size, x, cache) -> (case, X)``: the case at a point, and where the point lies on the axis.
    contenders : dict
        ``name -> prepare(x)``, as :class:`benchmarks.harness.Contender` has it once x is known.
    """

    name: str
    title: str
    axis: str
    at: Callable[[str, int, Path | None], tuple[Case, int]]
    contenders: dict[str, Callable[[int], Callable[[Case], Run]]]


def _more_examples(size: str, count: int, cache: Path | None) -> tuple[Case, int]:
    return build_case("mlp" if size == "tiny" else "lenet", size, cache).with_data(count), count


def _wider(size: str, width: int, cache: Path | None) -> tuple[Case, int]:
    examples = 60 if size == "tiny" else 1000
    case = make_case(f"mlp-{width}", size, Spec(mlp((width, width)), digits(8, examples), steps=WIDTH_STEPS))
    return case, case.dim


def _more_vectors(size: str, count: int, cache: Path | None) -> tuple[Case, int]:
    return build_case("mlp", size, cache), count


def _more_checkpoints(size: str, count: int, cache: Path | None) -> tuple[Case, int]:
    case = copy.copy(build_case("spectrum" if size == "tiny" else "lenet", size, cache))
    case.snapshots = case.snapshots[:count]
    return case, count


def _product(columns_of: Callable[[int], int]) -> dict[str, Callable[[int], Callable[[Case], Run]]]:
    """One block of vectors by ours, by the hint and without, and by plain torch."""
    found = {
        name: lambda x, options=options: ours.products(options, columns_of(x))
        for name, options in ours.OPERATORS.items()
    }
    return {**found, "plain torch": lambda x: peers.products(peers.PlainTorch, columns_of(x), batches=False)}


def _one(x: int) -> int:
    return 1


def _as_many(x: int) -> int:
    return x


SCALINGS = {
    scaling.name: scaling
    for scaling in (
        Scaling("scaling-examples", "One product against N, LeNet-5", "examples", _more_examples, _product(_one)),
        Scaling("scaling-parameters", "One product against P, MLP", "parameters", _wider, _product(_one)),
        Scaling("scaling-vectors", "A block against its columns, MLP", "vectors", _more_vectors, _product(_as_many)),
        Scaling(
            "scaling-checkpoints",
            "λ_max and gap, warm starts, against the number of checkpoints",
            "checkpoints",
            _more_checkpoints,
            {"ours": lambda x: ours.two_largest_along(warm=True)},
        ),
    )
}


def measure_scaling(
    scaling: Scaling,
    contender: str,
    *,
    size: str,
    repeats: int,
    sample_seconds: float = SAMPLE_SECONDS,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Median seconds at each point, and the exponent b of seconds ∝ X^b with its standard error.

    Returns
    -------
    dict
        ``points`` with ``x``, ``median`` and all ``seconds``; ``exponent`` and ``stderr`` of the least-squares line in
        log–log coordinates, ``stderr`` None where there are only two points; ``failure`` as in a pair.
    """
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {"scaling": scaling.name, "contender": contender, "points": rows, "failure": None}
    try:
        for point in POINTS[scaling.axis][size]:
            case, x = scaling.at(size, point, cache)
            seconds = _seconds(scaling.contenders[contender](point)(case), repeats, sample_seconds)
            rows.append({"x": x, "median": statistics.median(seconds), "seconds": seconds})
    except Exception as error:  # a line in the table
        result["failure"] = first_line(error)
        return result
    fit = linregress([math.log(row["x"]) for row in rows], [math.log(row["median"]) for row in rows])
    result |= {"exponent": float(fit.slope), "stderr": float(fit.stderr) if len(rows) > 2 else None}
    return result


def _seconds(run: Run, repeats: int, sample_seconds: float) -> list[float]:
    """Seconds of one call, per sample, after an untimed call."""
    torch.manual_seed(0)
    run(0)
    begin = time.perf_counter()
    run(0)
    calls = max(1, min(MAX_CALLS, math.ceil(sample_seconds / max(time.perf_counter() - begin, 1e-9))))
    samples = []
    for repeat in range(1, repeats + 1):
        begin = time.perf_counter()
        for _ in range(calls):
            run(repeat)
        samples.append((time.perf_counter() - begin) / calls)
    return samples
