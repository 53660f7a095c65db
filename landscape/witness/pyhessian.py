"""PyHessian: power iteration, Hutchinson's trace and a density, used as its documentation says.

What it was seen to do (0.1): it ranks by |λ|; it stops when a quotient changes by less than ``tol``, and gives the one
before the last; its running trace stops so too, and after two probes where it is negative, for the change is divided by
the trace itself; 1e-6 is added wherever a vector is normalised; ``density`` calls ``torch.eig``, which torch removed.
"""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.operators import LinearOperator
from landscape.results.crosscheck import WitnessRow
from landscape.witness import causes
from landscape.witness.ours import Ours
from landscape.witness.peers import EXTRA, Given, lent
from landscape.witness.stopping import Eigenvalue, causes_of
from landscape.witness.verdicts import NAN, NotRun, judge, mean_reach

NAME = "PyHessian"
DISTRIBUTION = "pyhessian"
#: Its own stopping tolerance, relative; iterations and Lanczos steps at most.
_TOL = 1e-3
_ITERATIONS, _STEPS = 100, 20
_HOW = "it stopped when its quotient changed by less than 0.1 %"


def rows(ours: Ours) -> Iterator[WitnessRow]:
    """A product, the k largest eigenvalues, the trace, the density."""
    try:
        import pyhessian.hessian  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        raise NotRun(f"not installed ({EXTRA})") from None
    # The package hides this module behind a class of the same name.
    tool = _Tool(sys.modules[pyhessian.hessian.__module__], ours)
    with lent(ours.settings.seed), tool.overheard():
        yield from _eigenvalues(tool)
        yield from _trace(tool)
        yield from _density(tool)


class _Tool:
    """PyHessian on a copy of the model, its products overheard."""

    def __init__(self, home: Any, ours: Ours) -> None:
        self.home, self.ours, self.given = home, ours, Given(ours.objective)
        self.model = self.given.model()
        several = len(self.given.batches) > 1
        source = {"dataloader": self.given.batches} if several else {"data": self.given.batches[0]}
        with lent(ours.settings.seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that backward(create_graph=True) leaves graphs in .grad, as it does
            on_cpu = ours.objective.device.type == "cpu"
            self.hessian = home.hessian(self.model, self.given.loss, cuda=not on_cpu, **source)
        self.model.zero_grad()
        self.heard: dict[int, deque[tuple[Tensor, Tensor]]] = {}
        self.first: list[tuple[Tensor, Tensor]] = []
        self._level = 0

    @contextmanager
    def overheard(self) -> Iterator[None]:
        """Keep, of its products, the first ones and the last two of each eigenvector; lend it ``torch.eig``."""
        library: Any = torch
        multiply, orthonormal = self.home.hessian_vector_product, self.home.orthnormal
        over_batches, removed = self.hessian.dataloader_hv_product, getattr(library, "eig", None)

        def orthogonalised(w: Any, against: Any) -> Any:
            self._level = len(against)
            return orthonormal(w, against)

        def on_one_batch(gradients: Any, parameters: Any, v: Any) -> Any:
            kept = self.given.flat(self.model, v)
            product = multiply(gradients, parameters, v)
            self._hear(kept, product)
            return product

        def on_batches(v: Any) -> Any:
            kept = self.given.flat(self.model, v)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                quotient, product = over_batches(v)
            self._hear(kept, product)
            return quotient, product

        def symmetric_eig(T: Tensor, eigenvectors: bool) -> tuple[Tensor, Tensor]:
            values, vectors = torch.linalg.eigh(T)
            return torch.stack([values, torch.zeros_like(values)], dim=1), vectors

        self.home.hessian_vector_product, self.home.orthnormal, library.eig = (
            on_one_batch,
            orthogonalised,
            symmetric_eig,
        )
        self.hessian.dataloader_hv_product = on_batches
        try:
            yield
        finally:
            self.home.hessian_vector_product, self.home.orthnormal, library.eig = multiply, orthonormal, removed
            self.model.zero_grad()

    def forget(self) -> None:
        """Begin anew."""
        self.heard, self.first, self._level = {}, [], 0

    def _hear(self, v: Tensor, product: Any) -> None:
        pair = v, self.given.flat(self.model, product)
        self.heard.setdefault(self._level, deque(maxlen=2)).append(pair)
        if len(self.first) < 1:
            self.first.append(pair)


def _eigenvalues(tool: _Tool) -> Iterator[WitnessRow]:
    ours = tool.ours
    count = min(ours.settings.k, ours.dim)
    values, vectors = tool.hessian.eigenvalues(maxIter=_ITERATIONS, tol=_TOL, top_n=count)
    found = [tool.given.flat(tool.model, v) for v in vectors]
    v, theirs = tool.first[0]
    Hv = (ours.hessian.base @ v).double()
    error = ours.product_error(v, Hv)
    yield judge(
        NAME, "‖Hv‖, its first vector", float(Hv.norm()), float(theirs.norm()), ours_error=error, theirs_error=error,
        difference=float((Hv - theirs).norm()), causes=causes.of_product(ours, v, theirs, 2 * error),
    )  # fmt: skip
    top, residuals = ours.top
    for i, value in enumerate(values):
        # What it returns is the quotient of the vector before the last, unless it ran out of iterations.
        u = min(tool.heard[i], key=lambda pair: abs(float(pair[0] @ pair[1]) - value))[0]
        yield judge(
            NAME, f"λ{i + 1}", float(top[i]), float(value), ours_error=float(residuals[i]),
            theirs_error=_TOL * abs(float(value)), rounding=ours.rounding,
            causes=causes_of(Eigenvalue(i, float(value), u, _HOW, values[:i], found[:i]), ours),
        )  # fmt: skip


def _trace(tool: _Tool) -> Iterator[WitnessRow]:
    ours = tool.ours
    tool.forget()
    samples = np.array(tool.hessian.trace(maxIter=ours.settings.num_probes, tol=_TOL))
    z = tool.first[0][0]
    Hz = (ours.hessian.base @ z).double()
    error = ours.product_error(z, Hz) * float(z.norm())
    yield judge(
        NAME, "zᵀHz, its first probe", float(z @ Hz), float(samples[0]), ours_error=error, theirs_error=error,
        causes=[causes.weights(ours, _gives(z, float(samples[0]), 2 * error))],
    )  # fmt: skip
    reach, other = mean_reach(ours.trace.samples, samples)
    most = ours.settings.num_probes
    said = f"it made {len(samples)} of at most {most} probes and states no error: both are from all samples together"

    def unweighted(operator: LinearOperator) -> bool:
        from landscape.estimators import trace

        again = trace(operator, method="hutchinson", num_probes=ours.settings.num_probes, seed=ours.settings.seed)
        return abs(again.value - float(samples.mean())) <= sum(mean_reach(again.samples, samples))

    yield judge(
        NAME, "trace", ours.trace.value, float(samples.mean()), ours_error=reach, theirs_error=other,
        rounding=ours.dim * ours.rounding, causes=[causes.weights(ours, unweighted)], remark=said,
    )  # fmt: skip


def _density(tool: _Tool) -> Iterator[WitnessRow]:
    """Its quadrature of one probe: the moments that it must have, of our own products with that probe."""
    ours, steps = tool.ours, min(_STEPS, tool.ours.settings.num_steps, tool.ours.dim)
    tool.forget()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes, weights = (np.array(part[0], dtype=float) for part in tool.hessian.density(iter=steps, n_v=1))
    z = tool.first[0][0] / tool.first[0][0].norm()
    Hz = (ours.hessian.base @ z).double()
    error = 2 * ours.product_error(z, Hz)
    said = "torch.eig, which torch removed, was lent to its density"
    for power, mine, bend in ((1, float(z @ Hz), 1.0), (2, float(Hz @ Hz), 2 * float(Hz.norm()))):
        theirs = float((weights * nodes**power).sum())
        yield judge(
            NAME, f"density: mean of λ{'²' if power == 2 else ''}, its probe", mine, theirs, ours_error=bend * error,
            theirs_error=bend * (error + ours.rounding), rounding=steps * 2e-6 * abs(mine), remark=said,
            causes=[causes.weights(ours, _has_moment(z, power, theirs, bend * error))],
        )  # fmt: skip
    top, residuals = ours.top
    largest = float(nodes.max())
    yield judge(
        NAME, "density: largest node ≤ λ1", float(top[0]), largest, ours_error=float(residuals[0]),
        theirs_error=NAN, rounding=ours.rounding + 1e-4 * abs(largest), difference=max(largest - float(top[0]), 0.0),
        remark=said, causes=[causes.weights(ours, _reaches(ours, largest))],
    )  # fmt: skip


def _gives(z: Tensor, value: float, error: float) -> Callable[[LinearOperator], bool]:
    return lambda operator: abs(float(z @ (operator @ z).double()) - value) <= error


def _has_moment(z: Tensor, power: int, value: float, error: float) -> Callable[[LinearOperator], bool]:
    def gives(operator: LinearOperator) -> bool:
        Hz = (operator @ z).double()
        return abs(float(z @ Hz if power == 1 else Hz @ Hz) - value) <= 4 * error + 1e-5 * abs(value)

    return gives


def _reaches(ours: Ours, node: float) -> Callable[[LinearOperator], bool]:
    def gives(operator: LinearOperator) -> bool:
        side = causes.Side.of(operator, ours)
        return bool(abs(node - side.top[0][0]) <= side.top[1][0] + side.rounding + 1e-4 * abs(node))

    return gives
