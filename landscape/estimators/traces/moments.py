"""Traces of powers: the Frobenius norm and the spectral moments, each from the products that the others share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from landscape.checks import check_choice, check_count, check_seed
from landscape.device import full_precision
from landscape.errors import UsageError
from landscape.estimators import exact
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.traces.choice import check_method, choose, exact_dots
from landscape.estimators.traces.deflation import coarseness, half
from landscape.operators.base import LinearOperator
from landscape.operators.exact import ExactOperator
from landscape.progress import Progress
from landscape.results import Estimate, SpectralMoments

METHODS = ("auto", "hutchinson", "hutch++", "deflated")


@full_precision()
def spectral_moments(
    H: LinearOperator,
    powers: Sequence[int] = (1, 2, 3, 4),
    *,
    method: str = "auto",
    num_probes: int = 32,
    eigs: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SpectralMoments:
    """Estimate ``tr(H^p) = Σ λᵢ^p`` for several p from the same probes.

    ``zᵀH^p z`` is the product of ``H^a z`` and ``H^b z`` with a + b = p, so that ``⌈max p / 2⌉`` matvecs per probe give
    all powers up to the largest. Methods are those of :func:`trace`: the large eigenvalues, which dominate high powers,
    are taken out by ``eigs`` at no cost, or by a sketch.

    Parameters
    ----------
    H : LinearOperator
    powers : sequence of int
        At least 1 each, no two the same.
    method : {"auto", "hutchinson", "hutch++", "deflated"}
        ``"auto"`` chooses as :func:`trace` does.
    num_probes : int
        Vectors that are multiplied, probes and the columns of sketch and basis together. Costs at most
        ``num_probes · ⌈max p / 2⌉`` matvecs. Where it reaches P, all is exact, from P unit vectors.
    eigs : Eigenpairs or (P, K) array or tensor, optional
    seed : int
    progress : callable, optional
        Called as ``progress(matvecs done, limit)``.

    Returns
    -------
    SpectralMoments
        ``moments[p]`` is the `Estimate` of ``tr(H^p)``, in units of H to the power p; coverage measured:
        docs/accuracy.md.

    Raises
    ------
    UsageError, LandscapeError
        For powers below 1 or twice the same, and as :func:`trace` does; if a matvec gives NaN or Inf.

    References
    ----------
    Hutchinson (1990), Commun. Stat. Simul. Comput. 19(2), applied to H^p; Meyer et al. (2021), Hutch++, SOSA.

    Examples
    --------
    >>> from landscape.operators import MatrixOperator
    >>> print(spectral_moments(MatrixOperator(np.diag([3.0, 1.0, -1.0])), (1, 2))[2])
    11
    """
    num_probes, seed = check_count("num_probes", num_probes), check_seed(seed)
    powers = _check(powers, method, num_probes, eigs)
    matvecs = Matvecs(H, num_probes * half(powers), progress)
    if isinstance(matvecs.operator, ExactOperator):
        return exact.moments(matvecs.operator, powers)
    if method != "hutchinson" and num_probes >= matvecs.operator.dim:
        matvecs.maximum = matvecs.operator.dim * half(powers)
        entries, nothing = exact_dots(matvecs, powers), np.empty((len(powers), 0))
        sem = np.array(powers) * coarseness(matvecs) * np.abs(entries).sum(axis=1)
        label = "exact, the whole diagonal"
        return SpectralMoments(powers, entries.sum(axis=1), sem, nothing, matvecs.done, -1, label)
    split, count = choose(matvecs, powers, method=method, num_probes=num_probes, eigs=eigs, seed=seed)
    samples = split.draw(0, count, seed=seed)
    sem = np.full(len(powers), np.nan)
    if count > 1:
        rounding = split.rounding + np.array(powers) * coarseness(matvecs) * np.abs(samples.mean(axis=1))
        sem = np.hypot(samples.std(axis=1, ddof=1) / np.sqrt(count), rounding)
    label = f"{split.name}, {count} probes"
    return SpectralMoments(powers, samples.mean(axis=1), sem, samples, matvecs.done, seed, label)


@full_precision()
def frobenius_norm(
    H: LinearOperator,
    *,
    method: str = "auto",
    num_probes: int = 32,
    eigs: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    r"""Estimate ``‖H‖_F = √(Σ λᵢ²)``: the root of the mean of ``‖Hz‖²`` over random sign vectors z.

    Parameters
    ----------
    H : LinearOperator
    method : {"auto", "hutchinson", "hutch++", "deflated"}
        As for :func:`trace`, applied to ``H²``: ``"deflated"`` takes ``Σ λᵢ²`` of the pairs in ``eigs`` as known.
    num_probes : int
        The matvecs, sketch and basis included. Where it reaches P, the norm is exact, from P unit vectors.
    eigs : Eigenpairs or (P, K) array or tensor, optional
    seed : int
    progress : callable, optional
        Called as ``progress(matvecs done, num_probes)``.

    Returns
    -------
    Estimate
        ``value`` in the units of H; ``sem`` by the delta method, half that of ``‖H‖_F²`` over the norm. The root of a
        mean lies low by about ``sem²/2`` over the value, far within the error. ``samples`` are those of the tangent at
        the mean.

    Raises
    ------
    LandscapeError
        If a matvec gives NaN or Inf.
    UsageError
        As :func:`trace` does.

    Examples
    --------
    >>> from landscape.operators import MatrixOperator
    >>> print(frobenius_norm(MatrixOperator(np.diag([3.0, 4.0]))))
    5
    """
    square = spectral_moments(H, (2,), method=method, num_probes=num_probes, eigs=eigs, seed=seed, progress=progress)
    mean, error = float(square.values[0]), float(square.sem[0])
    # Deflation by wrong pairs can leave a negative mean; the norm is then known to be small against its error only.
    root = float(np.sqrt(max(mean, 0.0)))
    slope = 0.0 if error == 0 else 1 / (2 * max(root, float(np.sqrt(error)) / 2, np.finfo(float).tiny))
    return Estimate(
        root,
        sem=None if np.isnan(error) else slope * error,
        samples=root + slope * (square.samples[0] - mean),
        num_matvecs=square.num_matvecs,
        seed=square.seed,
        method=f"root of tr(H²), {square.method}",
    )


def _check(powers: Sequence[int], method: str, num_probes: int, eigs: Any) -> tuple[int, ...]:
    check_choice("method", method, METHODS)
    check_method(method, eigs)
    if method == "hutch++" and num_probes < 4:
        raise UsageError(f"num_probes={num_probes} is too few for 'hutch++'; it needs at least 4")
    chosen = tuple(powers)
    for p in chosen:
        check_count("a power", p)
    if not chosen or len(set(chosen)) != len(chosen):
        raise UsageError(f"powers={chosen!r} must be one or more different whole numbers")
    return tuple(int(p) for p in chosen)
