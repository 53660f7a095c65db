"""Directional sharpness: the curvature along an update, and how much of it pairs of layers have."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape.device import widened
from landscape.edge_of_stability.direction import direction_of
from landscape.objective import Objective, Vector
from landscape.operators import HessianOperator, LinearOperator
from landscape.operators.parametric import Groups, partition
from landscape.progress import Progress
from landscape.results import DirectionalSharpness, OptimizerUpdate


def directional_sharpness(
    objective: Objective,
    update: OptimizerUpdate | Vector,
    *,
    theta: Vector | None = None,
    groups: Groups | None = "tensor",
    hessian: LinearOperator | None = None,
    decay: bool = True,
    gradient: Vector | None = None,
    progress: Progress | None = None,
) -> DirectionalSharpness:
    r"""``uᵀHu/‖u‖²`` along an update u, split by groups of parameters into ``uᵢᵀHᵢⱼuⱼ/‖u‖²``.

    On the quadratic model a step ``−ηu`` changes the loss by ``−ηgᵀu + ½η²uᵀHu``, so it lowers it exactly where the
    value is below ``2gᵀu/(η‖u‖²)``. Kalra et al. (2026) give the same name to ``uᵀHu/gᵀu``, the value over ``slope``:
    what the critical sharpness is where the loss is quadratic, with the threshold ``2/η``. The ratio is the same.

    Parameters
    ----------
    objective : Objective
    update : OptimizerUpdate, or (P,) tensor or array
        u, as :func:`optimizer_update` gives it.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    groups : "tensor", "module", sequence or mapping, or None
        As for :meth:`HessianOperator.blocks`; None for the value alone.
    hessian : LinearOperator, optional
        H there, where it is made already.
    decay : bool
        Whether decoupled weight decay is part of u.
    gradient : (P,) tensor or array, optional
        g there, where it is known.
    progress : callable, optional
        Called as ``progress(matvecs done, of how many)``.

    Returns
    -------
    DirectionalSharpness
        ``bound``: the difference between the product with u and the sum of those with its parts, and what products
        resolve. ``within`` and ``across`` are what groups have by themselves and with each other.

    Raises
    ------
    UsageError
        If u is zero, not finite, or of another length, or groups do not hold each parameter once.

    Notes
    -----
    Costs a product with the Hessian and one more for each of K groups that u moves, and a gradient.

    References
    ----------
    Pan & Li (2023), Toward understanding why Adam converges faster than SGD for transformers, arXiv:2306.00204,
    for the curvature along the update, of length 1. Kalra et al. (2026), arXiv:2601.16979, section 2.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> data = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
    >>> objective = Objective(model, lambda f, t: ((f - t) ** 2).sum(1).mean() / 2, data)
    >>> round(float(directional_sharpness(objective, torch.tensor([1.0, 1.0]))), 4)  # H = diag(2, ½)
    1.25
    """
    point = objective.point(theta)
    u, norm = direction_of(objective, update, decay=decay)
    members = {} if groups is None else partition(objective, groups)
    H = HessianOperator(objective, point, expected_matvecs=len(members) + 1) if hessian is None else hessian
    g = objective.gradient(point) if gradient is None else objective.point(gradient)
    unit, most = u / norm, 1 + len(members)
    places = {name: _places(objective, names).to(u.device) for name, names in members.items()}
    whole = H @ unit.to(H.dtype)
    value = float(unit @ widened(whole))
    if progress is not None:
        progress(1, most)
    parts, used = _split(H, unit, places, progress, most)
    bound = H.resolution * float(torch.linalg.vector_norm(widened(whole)))
    if len(parts):
        bound = max(bound, abs(float(parts.sum()) - value))
    return DirectionalSharpness(
        value=value, bound=bound, names=tuple(members), parts=parts,
        shares=np.array([float(unit[rows] @ unit[rows]) for rows in places.values()]),
        slope=float(widened(g) @ u) / norm**2, num_matvecs=1 + used,
    )  # fmt: skip


def _split(
    H: LinearOperator, unit: Tensor, places: dict[str, Tensor], progress: Progress | None, most: int
) -> tuple[np.ndarray, int]:
    """(K, K) of uᵢᵀHᵢⱼuⱼ, and the products it took; a column at a time, so that no K vectors are held."""
    count, used = len(places), 0
    parts = np.zeros((count, count))
    for j, rows in enumerate(places.values()):
        if bool(unit[rows].any()):
            piece = torch.zeros_like(unit)
            piece[rows] = unit[rows]
            product, used = widened(H @ piece.to(H.dtype)), used + 1
            parts[:, j] = [float(unit[others] @ product[others]) for others in places.values()]
        if progress is not None:
            progress(j + 2, most)
    return (parts + parts.T) / 2, used


def _places(objective: Objective, names: list[str]) -> Tensor:
    """Indices in θ of some tensors."""
    slices = objective.layout.slices()
    return torch.cat([torch.arange(slices[n].start, slices[n].stop, device=objective.device) for n in names])
