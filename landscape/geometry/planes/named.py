"""Directions that have a name: along the gradient, towards another minimum, along an eigenvector, at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landscape.checks import check_choice, check_count
from landscape.errors import UsageError
from landscape.geometry.directions import random_direction
from landscape.geometry.endpoints import end_of
from landscape.objective import Objective, Vector
from landscape.results import Eigenpairs
from landscape.rounding import format_value

DIRECTIONS = ("gradient", "difference", "top", "bottom", "random")


@dataclass(frozen=True, eq=False)
class Direction:
    """A vector (P,) with the words that tables and figures have for it."""

    vector: Tensor
    label: str


def direction(
    objective: Objective,
    name: str,
    *,
    to: Any = None,
    eigs: Eigenpairs | None = None,
    index: int = 0,
    normalize: str | None = "filter",
    seed: int = 0,
    theta: Vector | None = None,
) -> Direction:
    """A direction by its name. :func:`evaluate_line` takes it, and :func:`evaluate_plane` a pair of them.

    For any other vector, such as an optimizer's own update, pass the vector itself.

    Parameters
    ----------
    objective : Objective
    name : {"gradient", "difference", "top", "bottom", "random"}
        - ``"gradient"``: ∇L(θ)/‖∇L(θ)‖, uphill. Costs one gradient.
        - ``"difference"``: ``to − θ`` as it is, so that t = 1 is the other point.
        - ``"top"``, ``"bottom"``: an eigenvector of ``eigs``, of unit length.
        - ``"random"``: :func:`random_direction`.
    to : (P,) tensor or array, Objective or Checkpoint
        The other point of ``"difference"``.
    eigs : Eigenpairs
        As :func:`landscape.top_eigenpairs` gives them, with vectors; with ``which="both"`` for both ends.
    index : int
        Of eigenvectors counted from that end, of random directions within their family: 0 is the first.
    normalize, seed
        Of random directions.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.

    Returns
    -------
    Direction
        ``vector`` (P,) in the objective's dtype, ``label``.

    Raises
    ------
    UsageError
        For an unknown name, what a name needs and was not given, and directions of length zero.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (torch.eye(2), torch.zeros(2, 1)))
    >>> uphill = direction(objective, "gradient", theta=torch.tensor([3.0, 4.0]))
    >>> uphill.label, uphill.vector
    ('gradient', tensor([0.6000, 0.8000]))
    """
    check_choice("name", name, DIRECTIONS)
    index = check_count("index", index, least=0)
    if name == "random":
        vector = random_direction(objective, index=index, normalize=normalize, seed=seed, theta=theta)
        return Direction(vector, f"random{', filter-normalised' if normalize == 'filter' else ''} ({index})")
    if name == "gradient":
        gradient = objective.gradient(theta)
        length = float(torch.linalg.vector_norm(gradient))
        if not 0 < length < float("inf"):
            raise UsageError(f"the gradient has length {length:g} here, so it has no direction")
        return Direction(gradient / length, "gradient")
    if name == "difference":
        if to is None:
            raise UsageError("the name 'difference' needs the other point: direction(objective, 'difference', to=…)")
        vector = end_of(objective, to).theta - objective.point(theta)
        if not bool((vector != 0).any()):
            raise UsageError("the other point is θ itself, so there is no direction towards it")
        return Direction(vector, "towards the other point")
    return _eigenvector(objective, name, eigs, index)


def _eigenvector(objective: Objective, name: str, eigs: Eigenpairs | None, index: int) -> Direction:
    if eigs is None:
        raise UsageError(
            f"the name {name!r} needs eigenpairs: direction(objective, {name!r}, eigs=top_eigenpairs(H, 2))"
        )
    places = eigs.top if name == "top" else eigs.bottom
    if index >= len(places) or not eigs.vectors.shape[1]:
        kept = "without their vectors" if not eigs.vectors.shape[1] else f"which hold {len(places)} from that end"
        raise UsageError(f"eigenvector {index + 1} from the {name} is not among these eigenpairs ({kept})")
    column = int(places[index])
    value = format_value(float(eigs.values[column]), digits=3)
    below = "" if name == "top" else " from below"
    return Direction(objective.point(eigs.vectors[:, column]), f"eigenvector {index + 1}{below} (λ = {value})")
