"""Eigenpairs at the ends of the spectrum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from landscape.checks import check_choice, check_count, check_seed, check_share
from landscape.device import full_precision
from landscape.errors import NotConverged, UsageError
from landscape.estimators import exact
from landscape.estimators.eigen.block_methods import as_guess, block_lanczos, from_guess, lobpcg
from landscape.estimators.eigen.choose_core import core_for
from landscape.estimators.eigen.convergence import ENDS, RELATIVE, Pairs, Request, with_fixed_signs
from landscape.estimators.eigen.from_core import Core, from_core
from landscape.estimators.eigen.power import power_iteration
from landscape.estimators.eigen.thick_restart import default_basis, thick_restart_lanczos
from landscape.estimators.matvecs import Matvecs
from landscape.operators import as_operator
from landscape.operators.base import LinearOperator
from landscape.operators.exact import ExactOperator
from landscape.operators.product_error import rounding_on
from landscape.progress import Progress
from landscape.results import Eigenpairs
from landscape.rounding import format_measured, format_value

METHODS = ("lanczos", "lobpcg", "power")
DEFAULT_K = 5


@full_precision()
def top_eigenpairs(
    H: LinearOperator,
    k: int | None = None,
    *,
    which: str = "largest",
    method: str = "lanczos",
    tol: float = 1e-3,
    negative_tol: float | None = None,
    max_matvecs: int = 500,
    seed: int = 0,
    start: Any = None,
    strict: bool = True,
    max_basis: int | None = None,
    block: int = 1,
    core: Any = None,
    watch: bool = True,
    progress: Progress | None = None,
) -> Eigenpairs:
    r"""Eigenvalues and eigenvectors at the ends of the spectrum of a symmetric operator.

    A pair ``(λ, u)`` has converged when its true residual ``‖Hu − λu‖``, from products with H, is at most

    .. math:: \max(\mathrm{tol}\,|\lambda|,\; 32\,\mathrm{resolution}\,\|H\|),

    ``H.resolution`` the relative rounding of its products (eps of the dtype; more where less is computed in inside),
    ``‖H‖`` estimated from below. H then has an eigenvalue within residual and rounding of λ; an isolated one is
    closer still, within residual² / gap and rounding.

    Parameters
    ----------
    H : LinearOperator
    k : int, optional
        Pairs wanted from each end, at most P; left out, 5, or P where that is less.
    which : {"largest", "smallest", "both", "magnitude"}
        Ends in the algebraic sense; ``"both"`` is k from each, no pair twice where 2k > P; ``"magnitude"`` is by |λ|.
    method : {"lanczos", "lobpcg", "power"}
        ``"lanczos"``: thick-restart Lanczos with full reorthogonalisation; from a guess or in blocks, generalised
        Davidson. ``"lobpcg"``: in the memory of six blocks, each a quarter more vectors than pairs, at least 2 more,
        however long it takes. ``"power"``: with deflation, for comparison; it cannot separate λ from −λ.
    tol : float
        Relative residual; 0 asks for what the products give.
    negative_tol : float, optional
        The same of eigenvalues that are not positive, where it differs. In spectra of networks they lie close together
        near zero, and most products go into telling them apart.
    max_matvecs : int
        Never exceeded. At least 2 per pair wanted.
    seed : int
        Of the random start and of the fresh vectors after a breakdown.
    start : Eigenpairs, or (P,) or (P, K) tensor or array, optional
        A guess, such as the eigenpairs of the previous checkpoint; beside it a random vector looks for what the guess
        does not hold. For many checkpoints in a row :class:`EigenTracker` needs fewer matvecs still.
    strict : bool
        Raise ``NotConverged`` where a pair has not converged; otherwise return it, marked.
    max_basis : int, optional
        Basis vectors of length P held by Lanczos (from a guess and in blocks, two each); ranks that measure together
        hold a slice of each. Left out, for K pairs in all: ``4K + 60`` or what fits into 1 GiB, but at least ``2K +
        8``; P where P ≤ 512. Fewer mean more restarts.
    block : int
        Random vectors to start Lanczos from. 1 needs the fewest matvecs, and may miss further copies of a multiple
        eigenvalue; b finds up to b of them. :func:`search_missed` tests whether the list is complete.
    core : "auto", float or LinearOperator, optional
        Solve on a part of the data first, drawn by how much each example bends, or with an operator near H, and correct
        by it: then the pairs take few products with H, and each is held to the same true residual. A share of the data,
        or ``"auto"``: as large as pays, and none where the data cannot be cut, are too few, or nothing is gained, which
        ``method`` then says. With ``start`` the core is begun from the guess, and λ_max gets no upper bound.
    watch : bool
        Beside a core, look with a random vector for what the core does not show, and bound λ_max: 3 to 4 products more.
        Without it an eigenvalue of which the core shows nothing stays unseen.
    progress : callable, optional
        Called as ``progress(matvecs done, max_matvecs)``.

    Returns
    -------
    Eigenpairs
        In descending order, vectors as NumPy ``(P, K)``, orthonormal, each with its largest entry positive. A residual
        is never given below ``8·resolution·‖H‖``. ``rounding`` is how far what was multiplied may differ from H: in
        float32 it is measured, by a product on up to 32 examples in float64, and it is part of every bound.
        ``upper_bound`` of λ_max at 99.9 % confidence from a random start of ``"lanczos"``, restarts included, and from
        a core with ``watch``; otherwise None. How rarely an eigenvalue is missed, from random starts and from guesses:
        docs/accuracy.md. Of an :class:`~landscape.ExactOperator` all is known, and nothing is multiplied.

    Raises
    ------
    NotConverged
        With the pairs reached as ``.partial``, if ``strict``.
    UsageError, LandscapeError
        For arguments outside the ranges above; if a matvec gives NaN or Inf.

    References
    ----------
    Wu & Simon (2000), SIAM J. Matrix Anal. Appl. 22(2). Parlett (1998), The Symmetric Eigenvalue Problem, ch. 4
    and 11 for the bounds.

    Examples
    --------
    >>> from landscape.operators import MatrixOperator
    >>> H = MatrixOperator(torch.diag(torch.tensor([3.0, 1.0, -4.0])))
    >>> print(top_eigenpairs(H, k=1, which="both").values.round(4))
    [ 3. -4.]
    """
    H = as_operator(H)
    k = min(DEFAULT_K, H.dim) if k is None else k
    if isinstance(H, ExactOperator):  # which makes no products, so that no number of them is too few
        max_matvecs = max(check_count("max_matvecs", max_matvecs), 2 * H.dim)
    request = check_request(
        H, k, which=which, method=method, tol=tol, max_matvecs=max_matvecs, seed=seed, block=block,
        negative_tol=negative_tol,
    )  # fmt: skip
    matvecs = Matvecs(H, int(max_matvecs), progress)
    guess = as_guess(H, start, matvecs.slices)
    if isinstance(H, ExactOperator):
        return exact.eigenpairs(H, request)
    found, spent, why = _core(H, request, core, method, block, watch, guess is not None)
    if found is not None:
        method = "core"
        basis = check_basis(H, request, max_basis, vectors=2)
        pairs, cost = from_core(matvecs, request, found, max_basis=basis, watch=watch, guess=guess)
        spent += cost
    elif method == "power":
        pairs = power_iteration(matvecs, request, guess)
    elif method == "lobpcg":
        pairs = lobpcg(matvecs, request, guess)
    elif guess is not None:
        pairs = from_guess(matvecs, request, guess, max_basis=check_basis(H, request, max_basis, vectors=2))[0]
    elif block > 1:
        basis = check_basis(H, request, max_basis, vectors=2, block=int(block))
        pairs = block_lanczos(matvecs, request, block=int(block), max_basis=basis)
    else:
        pairs = thick_restart_lanczos(matvecs, request, max_basis=check_basis(H, request, max_basis))
    method = f"{method}, without a core: {why}" if why else method
    eigs = replace(as_record(matvecs, pairs, request, method=method, num_matvecs=matvecs.done), core_products=spent)
    if strict and not (eigs.converged.all() and len(eigs) == request.count):
        raise NotConverged(what_failed(eigs, request, pairs), eigs)
    return eigs


def _core(
    H: LinearOperator, request: Request, core: Any, method: str, block: int, watch: bool, guessed: bool
) -> tuple[Core | None, float, str]:
    if core is None:
        return None, 0.0, ""
    if method != "lanczos" or block > 1:
        other = f"block={block}" if block > 1 else f"method={method!r}"
        raise UsageError(f'core= belongs to method="lanczos" in single steps; leave out {other} or core=')
    return core_for(H, request, core, watch=watch, guessed=guessed)


def check_request(
    H: LinearOperator, k: int, *, which: str, method: str, tol: float, max_matvecs: int, seed: int, block: int = 1,
    negative_tol: float | None = None,
) -> Request:  # fmt: skip
    k, seed = check_count("k", k), check_seed(seed)
    check_choice("which", which, ENDS)
    check_choice("method", method, METHODS)
    check_count("max_matvecs", max_matvecs)
    check_count("block", block)
    if block > 1 and method != "lanczos":
        raise UsageError(f'block={block} belongs to method="lanczos"; method={method!r} has a block size of its own')
    for name, one in (("tol", tol), ("negative_tol", tol if negative_tol is None else negative_tol)):
        if one != 0:  # which asks for what rounding allows
            check_share(name, one, hint=RELATIVE)
    if k > H.dim:
        raise UsageError(f"k={k} eigenpairs were asked of an operator with P={H.dim}; k may be at most {H.dim}")
    count = min(len(ENDS[which]) * k, H.dim)
    if max_matvecs < 2 * count:
        raise UsageError(
            f"max_matvecs={max_matvecs} cannot give {count} pairs, which take at least {2 * count}: a step and a "
            "measurement of its residual each"
        )
    others = None if negative_tol is None else float(negative_tol)
    return Request(k=k, which=which, tol=float(tol), count=count, seed=seed, negative_tol=others)


def check_basis(H: LinearOperator, request: Request, max_basis: int | None, *, vectors: int = 1, block: int = 1) -> int:
    """Basis vectors to hold, where each takes ``vectors`` vectors of length P."""
    if max_basis is None:
        itemsize = torch.empty(0, dtype=H.dtype).element_size()
        return min(H.dim, max(default_basis(H.dim, request.count, vectors * itemsize), request.count + 2 * block))
    check_count("max_basis", max_basis)
    least = min(request.count + 1 + block, H.dim)
    if max_basis < least:
        raise UsageError(f"max_basis={max_basis} is too small for {request.count} pairs; at least {least}")
    return min(int(max_basis), H.dim)


def as_record(matvecs: Matvecs, pairs: Pairs, request: Request, *, method: str, num_matvecs: int) -> Eigenpairs:
    """The record, of which every rank has the whole vectors."""
    H, order = matvecs.operator, request.order(pairs.values)
    in_order = pairs.vectors[:, torch.as_tensor(order.copy(), device=pairs.vectors.device)]
    vectors = with_fixed_signs(matvecs.slices.in_memory(in_order))
    rounding = rounding_on(H, pairs.values[order], vectors, seed=request.seed)
    bound = pairs.upper_bound
    return Eigenpairs(
        values=pairs.values[order],
        vectors=vectors.cpu().numpy(),
        residuals=pairs.residuals[order],
        converged=pairs.converged[order],
        reason=pairs.reason,
        num_matvecs=num_matvecs,
        which=request.which,
        method=method,
        tol=request.tol,
        negative_tol=request.negative_tol,
        seed=request.seed,
        dim=H.dim,
        upper_bound=None if bound is None else (bound[0] + rounding, bound[1]),
        rounding=rounding,
    )


def what_failed(eigs: Eigenpairs, request: Request, pairs: Pairs) -> str:
    """Values, residuals, tolerance and cost, and the ways out."""
    reached = "; ".join(
        f"λ{i + 1} = {format_measured(value, residual)}" + ("" if ok else f" (asked: ± {format_value(allowed)})")
        for i, (value, residual, ok, allowed) in enumerate(
            zip(eigs.values, eigs.residuals, eigs.converged, request.allowed(eigs.values), strict=True)
        )
    )
    others = "" if request.negative_tol is None else f", negative_tol={request.negative_tol:g}"
    return (
        f"{int(eigs.converged.sum())} of {request.count} eigenpairs converged in {eigs.num_matvecs} matvecs "
        f"(which={request.which!r}, method={eigs.method!r}, tol={request.tol:g}{others}): {pairs.reason}. "
        f"Reached: {reached}. strict=False takes these with their residuals; the exception carries them as .partial, "
        "and start=error.partial.vectors goes on from there"
    )
