"""m-sharpness: a worst case asked of disjoint batches of m examples, each of which has a maximum of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from landscape.errors import ObjectiveError
from landscape.geometry.sharpness.balls import Ticker
from landscape.objective import Objective
from landscape.progress import Progress
from landscape.results import Sharpness

#: Streams of random numbers that begin with it are of no other part of this package.
_STREAM = 5


def over_batches(
    objective: Objective,
    m: int,
    measure: Callable[[Objective], Sharpness],
    *,
    most: int,
    seed: int,
    progress: Progress | None,
) -> Sharpness:
    """The mean over batches of what ``measure`` gives for each, which takes at most ``most`` gradients over its data.

    All examples are dealt out at random; fewer than m are left.
    """
    check_pickable(objective)
    count, rest = divmod(objective.num_examples, m)
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM, 0))).permutation(count * m + rest)
    tick, found, weights = Ticker(progress, total=most), [], []
    for rows in np.split(order[: count * m], count):
        part = objective.subset(np.sort(rows))
        found.append(measure(part))
        weights.append(part.total_weight)
        tick(_cost_of(found[-1]) * m / objective.num_examples)
    tick.end()
    values = np.array([one.value for one in found])
    said = f"mean over {count} disjoint batches of {m} examples" + (f", {rest} left out" if rest else "")
    return replace(
        found[0],
        value=float(np.average(values, weights=weights)),
        samples=values,
        converged=all(one.converged for one in found),
        num_evaluations=math.ceil(tick.cost - 1e-6),
        cost=tick.cost,
        seed=seed,
        reference=f"{found[0].reference}, m = {m}",
        method=said,
    )


def check_pickable(objective: Objective) -> None:
    """Refuse data of which no batches of another size can be made."""
    if not objective.can_pick:
        raise ObjectiveError(
            "m=: batches of m examples cannot be made of these data, whose examples interact or do not join to one "
            "tensor per input. Leave m out, and the measure is of all data at once"
        )


def _cost_of(found: Sharpness) -> float:
    return found.cost if math.isfinite(found.cost) else float(found.num_evaluations)
