"""What estimators answer where all of the matrix is known: the value itself, with rounding for its error."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from landscape.estimators.eigen.convergence import LEAST_RESIDUAL, Request, with_fixed_signs
from landscape.operators.base import LinearOperator
from landscape.operators.exact import ExactOperator
from landscape.results import BlockTable, Diagonal, Eigenpairs, Estimate, SpectralMeasure, SpectralMoments, Spectrum
from landscape.results.endings import Ending

Array = np.ndarray
METHOD = "exact, from the whole matrix"


def eigenpairs(H: ExactOperator, request: Request) -> Eigenpairs:
    """The pairs asked for; residuals are measured, though by the matrix held: no product is made."""
    chosen = request.preferred(H.values)[: request.count]
    chosen = chosen[request.order(H.values[chosen])]
    values = H.values[chosen]
    vectors = with_fixed_signs(H.vectors[:, torch.as_tensor(chosen.copy(), device=H.device)])
    apart = H @ vectors - vectors * torch.as_tensor(values, device=H.device)
    least = LEAST_RESIDUAL * H.resolution * _norm(H)
    return Eigenpairs(
        values=values,
        vectors=vectors.cpu().numpy(),
        residuals=np.maximum(torch.linalg.vector_norm(apart, dim=0).cpu().numpy(), least),
        converged=np.ones(len(values), dtype=bool),
        num_matvecs=0,
        reason=Ending.CONVERGED.text(),
        which=request.which,
        method="exact",
        tol=request.tol,
        negative_tol=request.negative_tol,
        seed=request.seed,
        dim=H.dim,
        upper_bound=(float(H.values[0]) + H.rounding, 1.0),
        rounding=H.rounding,
    )


def trace(H: ExactOperator) -> Estimate:
    """The sum of the eigenvalues, within ``ε Σ|λᵢ|``, ε the relative rounding."""
    bound = H.relative_rounding * float(np.abs(H.values).sum())
    return Estimate(float(H.matrix.trace()), bound=bound, method=METHOD)


def diagonal(H: ExactOperator) -> Diagonal:
    """The entries, each within ε times that of ``|H| = Σ |λᵢ| uᵢuᵢᵀ``."""
    return Diagonal(H.matrix.diagonal().cpu().numpy().copy(), _of_entries(H), 0, 0, -1, METHOD)


def moments(H: ExactOperator, powers: tuple[int, ...]) -> SpectralMoments:
    """``Σ λᵢ^p``, within ``p ε Σ|λᵢ|^p``."""
    values = np.array([(H.values**p).sum() for p in powers])
    sizes = np.array([(np.abs(H.values) ** p).sum() for p in powers])
    sem = np.array(powers) * H.relative_rounding * sizes
    return SpectralMoments(powers, values, sem, np.empty((len(powers), 0)), 0, -1, METHOD)


def density(H: ExactOperator) -> SpectralMeasure:
    """All eigenvalues at mass 1/P each."""
    # The band of a measure is as wide as the root of the sum of squares of these; here the whole of it is known.
    apart = np.full(H.dim, H.rounding / H.dim**0.5)
    rows = (1, H.dim)
    known = H.values.reshape(rows)
    return SpectralMeasure(known, np.full(rows, 1 / H.dim), H.dim, 0, -1, known_residuals=apart, isotropic=True)


def spectrum(H: ExactOperator, request: Request) -> Spectrum:
    """All of these at once."""
    norm = moments(H, (2,))
    root = float(np.sqrt(norm.values[0]))
    bound = 0.0 if root == 0 else float(norm.sem[0]) / (2 * root)
    return Spectrum(eigenpairs(H, request), trace(H), Estimate(root, bound=bound, method=METHOD), density(H))


def table(
    H: ExactOperator | None, blocks: Mapping[str, ExactOperator], *, seed: int, lambda_max: bool = True
) -> BlockTable:
    """Trace and λ_max of each block, of the whole operator where there is one."""
    members = list(blocks.values())
    top = [(float(b.values[0]), b.rounding) if lambda_max else (np.nan, np.nan) for b in members]
    found = [trace(block) for block in members]
    values, bounds = (np.array([float(getattr(one, name)) for one in found]) for name in ("value", "bound"))
    return BlockTable(
        names=tuple(blocks),
        sizes=np.array([block.dim for block in members]),
        trace=values,
        trace_sem=bounds,
        samples=np.empty((len(members), 0)),
        lambda_max=np.array([value for value, _ in top]),
        residual=np.array([bound for _, bound in top]),
        converged=np.ones(len(members), dtype=bool),
        total=float(values.sum()),
        total_sem=float(bounds.sum() if H is None else trace(H).bound or 0.0),
        num_matvecs=0,
        block_matvecs=0,
        seed=seed,
        method=METHOD,
    )


def all_exact(blocks: Mapping[str, LinearOperator]) -> dict[str, ExactOperator] | None:
    """The blocks, where each is known whole."""
    known = {name: block for name, block in blocks.items() if isinstance(block, ExactOperator)}
    return known if known and len(known) == len(blocks) else None


def _of_entries(H: ExactOperator) -> Array:
    sizes = torch.as_tensor(np.abs(H.values), device=H.device)
    entries: Array = H.relative_rounding * (H.vectors.square() @ sizes).cpu().numpy()
    return entries


def _norm(H: ExactOperator) -> float:
    return float(np.abs(H.values).max())
