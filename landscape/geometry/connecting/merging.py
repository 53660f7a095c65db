"""Minima averaged in parameter space: model soups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.geometry.connecting.several import Minima, Several, several
from landscape.geometry.endpoints import constants_of
from landscape.geometry.metrics import Metrics, Readings
from landscape.objective import Objective
from landscape.progress import Progress
from landscape.results import Merged

#: What the loss on held-out data is called among the metrics.
HELD_OUT = "held-out loss"


def merge(
    objective: Objective,
    thetas: Minima,
    *,
    weights: Sequence[float] | None = None,
    heldout: Objective | None = None,
    metrics: Metrics = None,
    batch_statistics: str = "recompute",
    progress: Progress | None = None,
) -> Merged:
    """The loss at an average of k minima beside that of each; with held-out data, at a greedy average, too.

    Parameters
    ----------
    objective : Objective
        Whose loss it is, and on whose data statistics are recomputed.
    thetas : sequence, or mapping from name, of (P,) vectors or Objectives
        At least 2. An objective gives a model with its own buffers; it must be of the same data and loss.
    weights : (k,) numbers, optional
        What each counts, none below 0; they are scaled to sum to one. Left out, all count the same.
    heldout : Objective, optional
        The same model on data of its own. Then ``"greedy soup"`` stands beside the average: minima are tried from the
        lowest to the highest loss on these data, and each stays in the uniform average of those chosen if that does not
        raise the loss there. Data that choose should not be those that judge.
    metrics : mapping from name to metric, or ("accuracy",)
        What else is evaluated, as in :func:`evaluate_line`.
    batch_statistics : {"recompute", "fixed"}
        Of running statistics of normalisation layers in an average, which are those of none of its minima:
        ``"recompute"`` takes them from the data, and leaves those of a model that is given by an objective as they are.
        Other buffers are averaged as θ is.
    progress : callable, optional
        Called as ``progress(done, in all)`` after each network.

    Returns
    -------
    Merged
        A row for each minimum and each average; ``at("average")`` is its θ, ``excess("average")`` how much worse it is
        than its minima are on average.

    Raises
    ------
    UsageError
        For fewer than 2 minima, weights that do not fit, or minima that no line could join (:func:`interpolate`).

    Notes
    -----
    Costs k + 1 losses, and k more on the held-out data with one more in all, plus passes for statistics.

    References
    ----------
    Wortsman et al. (2022), Model soups: averaging weights of multiple fine-tuned models improves accuracy without
    increasing inference time, ICML, section 2 and recipe 1, which goes by held-out accuracy where this goes by loss.
    Izmailov et al. (2018), Averaging weights leads to wider optima and better generalization, UAI, for the statistics.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (torch.ones(4, 1), torch.ones(4, 1)))
    >>> found = merge(objective, [torch.tensor([0.0]), torch.tensor([2.0])])
    >>> found.loss.tolist(), found.excess("average")
    ([1.0, 1.0, 0.0], -1.0)
    """
    check_choice("batch_statistics", batch_statistics, ("recompute", "fixed"))
    minima = several(objective, thetas, batch_statistics)
    readings = Readings(objective, _with_held_out(metrics, heldout))
    count = len(minima.names)
    averages = {"average": _weights(weights, count)}
    most = count + 1 + (heldout is not None)
    rows: list[list[float]] = []

    def read(here: Objective, theta: Tensor) -> None:
        rows.append(readings.at(here, theta))
        if progress is not None:
            progress(len(rows), most)

    for index in range(count):
        read(*minima.alone(index))
    if heldout is not None:
        losses = [row[1 + readings.names.index(HELD_OUT)] for row in rows]
        averages["greedy soup"] = _greedy(minima, heldout, losses)
    mixed = [minima.mixed(one) for one in averages.values()]
    for one in mixed:
        read(*one)
    values = np.array(rows, dtype=float).T
    return Merged(
        names=(*minima.names, *averages),
        loss=values[0],
        weights=np.concatenate([np.eye(count), list(averages.values())]),
        theta=np.stack([theta.cpu().numpy() for _, theta in mixed]),
        batch_statistics=minima.batch_statistics,
        **readings.fields(values[1:]),
    )


def _with_held_out(metrics: Metrics, heldout: Objective | None) -> Metrics:
    """The metrics with the loss on held-out data in front."""
    if heldout is None:
        return metrics
    if isinstance(metrics, (str, Sequence)):
        metrics = {name: name for name in ([metrics] if isinstance(metrics, str) else metrics) if name != "loss"}
    return {HELD_OUT: heldout, **(metrics or {})}


def _weights(given: Sequence[float] | None, count: int) -> np.ndarray:
    """(k,), summing to one."""
    if given is None:
        return np.full(count, 1 / count)
    weights = np.asarray(given, dtype=float).reshape(-1)
    if len(weights) != count or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() <= 0:
        raise UsageError(
            f"weights={list(given)!r} do not fit {count} minima: as many numbers as there are minima, none below 0 and "
            "not all 0"
        )
    scaled: np.ndarray = weights / weights.sum()
    return scaled


def _greedy(minima: Several, heldout: Objective, losses: Sequence[float]) -> np.ndarray:
    """The weights (k,) of the greedy soup: recipe 1 of Wortsman et al., by the loss on held-out data."""
    order = np.argsort(losses, kind="stable")  # NaN last
    chosen, lowest = [int(order[0])], losses[order[0]]
    for index in order[1:].tolist():
        here, theta = minima.mixed(_uniform([*chosen, index], len(losses)))
        loss = heldout.with_constants(constants_of(here)).loss(theta)
        if loss <= lowest:
            chosen, lowest = [*chosen, index], loss
    return _uniform(chosen, len(losses))


def _uniform(chosen: Sequence[int], count: int) -> np.ndarray:
    weights = np.zeros(count)
    weights[list(chosen)] = 1 / len(chosen)
    return weights
