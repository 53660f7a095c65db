"""Which layers curve: trace and largest eigenvalue of each diagonal block."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from landscape.checks import check_choice, check_count, check_seed, check_share
from landscape.device import full_precision
from landscape.errors import NotConverged, UsageError
from landscape.estimators import exact
from landscape.estimators.eigen.convergence import RELATIVE
from landscape.estimators.eigen.top import top_eigenpairs
from landscape.estimators.matvecs import BLOCK_COLUMNS, Matvecs
from landscape.estimators.probes import probes
from landscape.estimators.traces.choice import exact_dots
from landscape.estimators.traces.deflation import Plain
from landscape.estimators.traces.over_entries import drawn_in_all
from landscape.estimators.traces.over_examples import is_small, sums_if_any, sums_of
from landscape.operators import as_operator
from landscape.operators.base import LinearOperator
from landscape.operators.exact import ExactParametricOperator
from landscape.operators.parametric import Groups, ParametricOperator, partition
from landscape.progress import Progress
from landscape.results import BlockTable, Eigenpairs
from landscape.results.endings import Ending

Array = np.ndarray
METHODS = ("auto", "split", "probes")


@full_precision()
def block_table(
    H: ParametricOperator | Mapping[str, LinearOperator],
    *,
    groups: Groups = "module",
    num_probes: int = 8,
    method: str = "auto",
    eigs: Eigenpairs | None = None,
    lambda_max: bool = True,
    tol: float = 1e-2,
    max_matvecs: int = 100,
    seed: int = 0,
    strict: bool = True,
    progress: Progress | None = None,
) -> BlockTable:
    r"""Trace, trace ÷ parameters, share of the trace and λ_max of each diagonal block, such as a network's layers.

    For an operator on a model's parameters, the probes of the whole operator serve all blocks at once: for random signs
    z, :math:`\sum_{i \in \text{block}} z_i (Hz)_i` has the block's trace as its mean. For a mapping of name to
    operator, each has probes of its own, which costs as many times as much and has less noise: nothing then comes from
    the coupling between blocks.

    Parameters
    ----------
    H : ParametricOperator, or mapping of str to LinearOperator
        Such as a HessianOperator; or blocks that are already there, as ``H.blocks()`` returns them.
    groups : "module", "tensor", sequence or mapping
        How θ is cut, as in ``H.blocks``; not read where blocks are given.
    num_probes : int
        Matvecs of the whole operator; where blocks are given, matvecs of each (P of a block at most, then exact).
    method : {"auto", "split", "probes"}
        ``"split"`` draws examples and probes together, as in :func:`~landscape.trace`, for the cost of ``num_probes``
        matvecs. ``"auto"`` does so for a HessianOperator without ``eigs`` whose examples can be drawn, where a pilot
        costs less than a third of that.
    eigs : Eigenpairs, optional
        Of the whole operator, with vectors: their part is known in each block, and the probes measure the rest. Not
        read where blocks are given.
    lambda_max : bool
        Whether λ_max is computed too, from products with each block: usually most of the cost.
    tol, max_matvecs : float, int
        Of λ_max, as in ``top_eigenpairs``.
    seed : int
    strict : bool
        Raise ``NotConverged`` where a λ_max has not converged; otherwise return it, marked.
    progress : callable, optional
        Called as ``progress(matvecs done, at most)``, those of single blocks included.

    Returns
    -------
    BlockTable
        ``table["fc1"]`` is the `Estimate` of that block's trace; the errors of different blocks are correlated.

    Raises
    ------
    NotConverged
        With the whole table as ``.partial``, if ``strict``.
    LandscapeError
        If a matvec gives NaN or Inf.
    UsageError
        If the groups do not cut θ into parts, or H knows no names.
    """
    num_probes, max_matvecs = check_count("num_probes", num_probes), check_count("max_matvecs", max_matvecs)
    seed = check_seed(seed)
    check_share("tol", tol, hint=RELATIVE)
    check_choice("method", method, METHODS)
    whole = isinstance(H, ParametricOperator)
    if not whole and not isinstance(H, Mapping):
        as_operator(H)  # which knows better what to say of an objective or a model
        raise UsageError(
            f"a {type(H).__name__} knows no parameter names; pass a HessianOperator or another operator on a model's "
            "parameters, or a mapping of name to operator"
        )
    if isinstance(H, ExactParametricOperator):
        return exact.table(H, H.exact_blocks(groups), seed=seed, lambda_max=lambda_max)
    if isinstance(H, Mapping) and (known := exact.all_exact(H)):
        return exact.table(None, known, seed=seed, lambda_max=lambda_max)
    cost = _Cost(progress)
    if isinstance(H, ParametricOperator):
        names = partition(H.objective, groups)
        cost.most = num_probes + (len(names) * max_matvecs if lambda_max else 0)
        members = [_indices(H, inside) for inside in names.values()]
        titles, sizes = tuple(names), np.array([len(index) for index in members])
        drawn = _drawn(H, list(names.values()), num_probes, method, eigs, seed, cost)
        samples = _together(H, members, num_probes, eigs, seed, cost) if drawn is None else drawn[0]
        how = "" if drawn is None else drawn[1]
        blocks = H.blocks(groups) if lambda_max else {}
    else:
        blocks = {name: as_operator(block) for name, block in H.items()}
        if not blocks:
            raise UsageError("no blocks: the mapping is empty")
        cost.most = len(blocks) * (num_probes + (max_matvecs if lambda_max else 0))
        titles, sizes = tuple(blocks), np.array([block.dim for block in blocks.values()])
        samples, how = _one_by_one(list(blocks.values()), num_probes, seed, cost), ""
    probed = cost.done
    top = [_largest(blocks[name], tol, max_matvecs, seed, cost) for name in titles] if lambda_max else None
    largest, residual, converged = (
        np.array(x) for x in zip(*(top or [(np.nan, np.nan, True)] * len(titles)), strict=True)
    )
    whole_sem = _sem(samples.sum(axis=0, keepdims=True))
    table = BlockTable(
        names=titles,
        sizes=sizes,
        trace=samples.mean(axis=1),
        trace_sem=_sem(samples),
        samples=samples,
        lambda_max=largest,
        residual=residual,
        converged=converged,
        total=float(samples.mean(axis=1).sum()),
        total_sem=float(whole_sem[0]),
        num_matvecs=probed if whole else 0,
        block_matvecs=cost.done - (probed if whole else 0),
        seed=seed,
        method=how or f"{num_probes} probes " + ("of the whole operator" if whole else "of each block"),
    )
    return _checked(table, tol, max_matvecs) if strict else table


def _checked(table: BlockTable, tol: float, max_matvecs: int) -> BlockTable:
    if table.converged.all():
        return table
    late = ", ".join(name for name, settled in zip(table.names, table.converged, strict=True) if not settled)
    raise NotConverged(
        f"λ_max of {late} (tol={tol:g}): {Ending.OUT_OF_MATVECS.text(max_matvecs=max_matvecs)}. strict=False takes "
        "the table with that marked; the exception carries it as .partial",
        table,
    )


class _Cost:
    """Matvecs of all operators together, and their report."""

    def __init__(self, progress: Progress | None) -> None:
        self.done, self.most, self._progress = 0, 0, progress

    def report(self, done: int, _: int) -> None:
        if self._progress is not None:
            self._progress(self.done + done, self.most)


def _indices(H: ParametricOperator, names: list[str]) -> torch.Tensor:
    """Where the parameters of a block stand in θ."""
    slices = H.objective.layout.slices()
    return torch.cat([torch.arange(slices[n].start, slices[n].stop) for n in names])


def _drawn(
    H: ParametricOperator,
    groups: list[list[str]],
    count: int,
    method: str,
    eigs: Eigenpairs | None,
    seed: int,
    cost: _Cost,
) -> tuple[Array, str] | None:
    """Samples (blocks, R) of all traces from drawn examples, and how; None where probes of the whole operator serve."""
    if method == "probes" or (method == "auto" and eigs is not None):
        return None
    sums = sums_of(H) if method == "split" else sums_if_any(H)
    if sums is None or (method == "auto" and is_small(sums, count)):
        return None
    found = drawn_in_all(sums, limit=count, tol=None, seed=seed, progress=cost.report, keep=True)
    rounding = 4 * H.resolution * np.array([[1.0], [-1.0]])  # exact to that, and the spread says so
    samples = found.samples.kept if found.samples.count else found.mean * (1 + rounding)
    place = {name: index for index, name in enumerate(sums.layout.names)}
    cost.done += found.matvecs
    return np.array([samples[:, [place[name] for name in names]].sum(axis=1) for names in groups]), found.method


def _together(
    H: ParametricOperator, members: list[torch.Tensor], count: int, eigs: Eigenpairs | None, seed: int, cost: _Cost
) -> Array:
    """Samples (blocks, count) of all traces from the same probes."""
    owner = torch.empty(H.dim, dtype=torch.int64)
    for k, index in enumerate(members):
        owner[index] = k
    known = None if eigs is None else _known(H, eigs)
    matvecs = Matvecs(H, count, cost.report)
    pieces = []
    for first in range(0, count, BLOCK_COLUMNS):
        Z = probes(first, min(BLOCK_COLUMNS, count - first), H.dim, seed=seed, dtype=H.dtype, device=H.device)
        W, Z = matvecs.block(Z).cpu().to(torch.float64), Z.cpu().to(torch.float64)
        products = Z * W
        if known is not None:
            values, vectors = known
            # The part of the pairs, with its mean added back: no bias, however good they are.
            share = vectors @ (values[:, None] * (vectors.T @ Z))
            products += (vectors**2 @ values)[:, None] - Z * share
        pieces.append(torch.zeros(len(members), Z.shape[1], dtype=torch.float64).index_add_(0, owner, products))
    cost.done += matvecs.done
    return torch.cat(pieces, dim=1).numpy()


def _known(H: LinearOperator, eigs: Eigenpairs) -> tuple[torch.Tensor, torch.Tensor]:
    if eigs.vectors.shape[0] != H.dim or eigs.vectors.shape[1] != len(eigs.values):
        raise UsageError(
            f"eigs holds {len(eigs.values)} values and vectors of shape {eigs.vectors.shape}; expected ({H.dim}, "
            f"{len(eigs.values)}). Load results with vectors=True"
        )
    return torch.from_numpy(np.array(eigs.values, dtype=float)), torch.from_numpy(np.array(eigs.vectors, dtype=float))


def _one_by_one(blocks: list[LinearOperator], count: int, seed: int, cost: _Cost) -> Array:
    """Samples (blocks, count), each block from probes of its own."""
    samples = np.empty((len(blocks), count))
    for k, block in enumerate(blocks):
        matvecs = Matvecs(block, count, cost.report)
        if block.dim <= count:
            samples[k] = exact_dots(matvecs, (1,)).sum()
        else:
            # Other probes for each block: those of one index and different length begin alike.
            samples[k] = Plain(matvecs, (1,)).draw(k * count, count, seed=seed)[0]
        cost.done += matvecs.done
    return samples


def _largest(block: LinearOperator, tol: float, max_matvecs: int, seed: int, cost: _Cost) -> tuple[float, float, bool]:
    eigs = top_eigenpairs(
        block, 1, tol=tol, max_matvecs=max(max_matvecs, 2), seed=seed, strict=False, progress=cost.report
    )
    cost.done += eigs.num_matvecs
    largest = eigs.largest
    if largest is None or largest.bound is None:
        return np.nan, np.nan, False
    return largest.value, largest.bound, largest.converged


def _sem(samples: Array) -> Array:
    """Standard errors (K,) of the rows of samples (K, R); NaN for one probe."""
    if samples.shape[1] < 2:
        return np.full(len(samples), np.nan)
    sem: Array = samples.std(axis=1, ddof=1) / np.sqrt(samples.shape[1])
    return sem
