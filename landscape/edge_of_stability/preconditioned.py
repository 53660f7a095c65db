"""Preconditioned sharpness: the largest curvature in the units in which an adaptive optimizer measures its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from landscape.checkpoints import Checkpoint
from landscape.edge_of_stability.operators import Map, Sandwiched, WithDecay
from landscape.edge_of_stability.settings import Owner, Settings
from landscape.errors import UsageError
from landscape.estimators import top_eigenpairs
from landscape.objective import Objective, Vector
from landscape.operators import HessianOperator, LinearOperator, PreconditionedOperator, preconditioner
from landscape.progress import Progress
from landscape.results import Estimate

#: Those with a diagonal preconditioner in their state.
DIAGONAL = ("Adam", "AdamW", "RMSprop", "Adagrad")


def preconditioned_sharpness(
    objective: Objective,
    optimizer: Optimizer | Sequence[Optimizer] | Checkpoint,
    *,
    theta: Vector | None = None,
    hessian: LinearOperator | None = None,
    tol: float = 1e-2,
    max_matvecs: int = 500,
    seed: int = 0,
    strict: bool = True,
    progress: Progress | None = None,
) -> Estimate:
    r"""``λ_max(P⁻¹H)``, with P what the optimizer divides its momentum by, as its state has it now.

    A quadratic is stable under a fixed P as long as it is below the optimizer's threshold (:func:`stability` holds
    both side by side). For Adam, AdamW, RMSprop and Adagrad P is diagonal (:func:`preconditioner`); for Shampoo
    ``⊗ₖ Lₖ^{1/2k}`` of the stored roots, for SOAP ``Q diag Qᵀ``, both as pytorch_optimizer keeps them. Where groups
    have rates of their own, P holds them, relative to the first; where weight decay goes through the gradient, H holds
    it.

    Parameters
    ----------
    objective : Objective
    optimizer : Optimizer, sequence of them, or Checkpoint
        Whose state is read; of a checkpoint the one stored in it.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    hessian : LinearOperator, optional
        H there, where it is made already.
    tol, max_matvecs, seed, strict, progress
        As for :func:`top_eigenpairs`.

    Returns
    -------
    Estimate
        ``bound``: the residual of the eigenpair, and rounding.

    Raises
    ------
    UsageError
        If the class has no preconditioner that its state holds, or a parameter of θ has no state yet.
    NotConverged
        With the pairs reached as ``.partial``, if ``strict``.

    References
    ----------
    Cohen et al. (2022), Adaptive gradient methods at the edge of stability, arXiv:2207.14484, section 2.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 3.0)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (torch.ones(4, 1), torch.zeros(4, 1)))
    >>> rms = torch.optim.RMSprop(model.parameters(), alpha=0.0)
    >>> model.weight.grad = objective.gradient().reshape(1, 1)
    >>> rms.step()
    >>> print(f"{preconditioned_sharpness(objective, rms).value:.4f}")  # H = 2 over √v = |g| = 6
    0.3333
    """
    settings = Settings(optimizer, objective.module.model, objective.layout)
    H = HessianOperator(objective, theta) if hessian is None else hessian
    operator = preconditioned_operator(H, settings)
    pairs = top_eigenpairs(operator, 1, tol=tol, max_matvecs=max_matvecs, seed=seed, strict=strict, progress=progress)
    largest = pairs.largest
    assert largest is not None
    return Estimate(
        largest.value, bound=largest.bound, num_matvecs=pairs.num_matvecs, seed=pairs.seed,
        converged=largest.converged, method=f"λ_max(P⁻¹H), P of {', '.join(settings.kinds)}",
    )  # fmt: skip


def preconditioned_operator(H: LinearOperator, settings: Settings) -> LinearOperator:
    """``P^{-1/2} (H + decay) P^{-1/2}``."""
    layout = settings.layout
    if missing := [name for name in layout.names if name not in settings.owners]:
        raise UsageError(f"no optimizer moves {', '.join(missing[:6])}; leave them out of θ with params=")
    decay = settings.decay_in_gradient()
    if bool(decay.any()):
        H = WithDecay(H, decay)
    relative = _relative_rates(settings)
    known = tuple(kind for kind in settings.kinds if kind in DIAGONAL)
    if settings.kinds == ("SGD",):
        return PreconditionedOperator(H, 1 / relative)
    if known == settings.kinds and len(known) == 1 and len(settings.states) == 1:
        return PreconditionedOperator(H, preconditioner(settings.states[0], layout) / relative)
    if settings.kinds not in (("Shampoo",), ("SOAP",)):
        kinds = ", ".join(settings.kinds)
        raise UsageError(
            f"{kinds} has no preconditioner that its state holds; there are {', '.join(DIAGONAL)}, Shampoo and SOAP of "
            "pytorch_optimizer. Where you know P, PreconditionedOperator(H, P) has its eigenvalues"
        )
    root = _ROOTS[settings.kinds[0]]
    maps: list[Map] = []
    for name, ratio in zip(layout.names, [relative[place.start] for place in layout.slices().values()], strict=True):
        maps.append(_scaled(root(name, settings.owners[name]), float(ratio) ** 0.5))
    return Sandwiched(H, layout, maps)


def _relative_rates(settings: Settings) -> Tensor:
    """(P,) the rate of each parameter over that of the first group; 1 where no group has one."""
    rates, first = settings.each("lr"), settings.stored_lr
    if not bool(rates.any()):
        return torch.ones_like(rates)
    if not (first > 0 and bool((rates > 0).all())):
        raise UsageError("a group has a learning rate of 0, so nothing is preconditioned there")
    return rates / first


def _scaled(apply: Map, factor: float) -> Map:
    return lambda piece: factor * apply(piece)


def _shampoo(name: str, owner: Owner) -> Map:
    """``P^{-1/2}`` on one tensor: along each of its axes the square root of the stored inverse root."""
    axes = sorted(key for key in owner.state if str(key).startswith("inv_pre_cond_"))
    if not axes:
        raise UsageError(f"Shampoo has no state for {name!r}: it has not made a step on it")
    roots = [_square_root(_matrix(owner.state[f"inv_pre_cond_{axis}"])) for axis in range(len(axes))]
    if any(not bool(root.any()) for root in roots):
        raise UsageError(f"Shampoo has not computed the roots for {name!r} yet; it does so every few steps")
    return lambda piece: _along_axes(piece, roots)


def _soap(name: str, owner: Owner) -> Map:
    """``P^{-1/2} = Q D^{-1/2} Qᵀ``, D with Adam's corrections of bias."""
    if "exp_avg_sq" not in owner.state or owner.state.get("Q") is None:
        raise UsageError(f"SOAP has no state for {name!r}: it has not made a step on it")
    bases = [_matrix(Q) if len(Q) else None for Q in owner.state["Q"]]
    beta1, beta2 = (float(beta) for beta in owner.group["betas"])
    steps = int(owner.group["step"]) - 1  # the first one only fills the preconditioner
    if steps < 1:
        raise UsageError(f"SOAP has made no step on {name!r} yet")
    D = _matrix(owner.state["exp_avg_sq"]).sqrt() + float(owner.group["eps"])
    if owner.group.get("correct_bias", True):
        D = D * (1 - beta1**steps) / (1 - beta2**steps) ** 0.5
    if not bool((D > 0).all()):
        raise UsageError(f"the preconditioner of {name!r} is not positive: a gradient that was always zero with eps=0")
    scale = D.rsqrt()
    back = [None if Q is None else Q.T for Q in bases]
    return lambda piece: _along_axes(scale.to(piece.device) * _along_axes(piece, back), bases)


_ROOTS: dict[str, Callable[[str, Owner], Map]] = {"Shampoo": _shampoo, "SOAP": _soap}


def _along_axes(piece: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
    """Each matrix applied along its axis."""
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            piece = torch.tensordot(matrix.to(piece.device), piece, dims=([1], [axis])).movedim(0, axis)
    return piece


def _square_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    root: Tensor = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    return root


def _matrix(values: Any) -> Tensor:
    return torch.as_tensor(values).detach().to("cpu", torch.float64)
