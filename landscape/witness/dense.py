"""Plain double backward in float64; of few parameters the whole matrix, and with it every number exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from landscape.results.crosscheck import WitnessRow
from landscape.witness.ours import Ours
from landscape.witness.verdicts import CHANCE, Cause, judge

NAME = "float64 double backward"
DENSE = "dense float64 Hessian"
DISTRIBUTION = "torch"
#: Up to so many parameters the matrix is made: 32 MB, and its eigenvalues take seconds.
MOST = 2_000
_EPS = float(np.finfo(float).eps)
_GRID = 5


def rows(ours: Ours) -> Iterator[WitnessRow]:
    """Loss, product, residuals and slices; then spectrum, trace and density where P is at most ``MOST``."""
    plain = ours.plain
    loss, gradient = plain.loss(), plain.gradient()
    yield judge(NAME, "loss", ours.loss, loss, ours_error=ours.loss_error(loss))
    yield judge(
        NAME, "‖g‖", float(ours.gradient.double().norm()), float(gradient.norm()), ours_error=ours.gradient_error,
        difference=float((ours.gradient.double() - gradient).norm()),
    )  # fmt: skip
    yield from _products(ours)
    yield from _slices(ours)
    if ours.dim <= MOST:
        yield from _spectrum(ours)


def _products(ours: Ours) -> Iterator[WitnessRow]:
    """The product with one vector, the quotients of probes, the residuals of the outermost pairs."""
    ends = {"λ1": ours.eigs.top[:1], "λ_min": ours.eigs.bottom[:1]}
    places = {name: int(found[0]) for name, found in ends.items() if len(found)}
    pairs = [torch.from_numpy(ours.eigs.vectors[:, place].astype(float)) for place in places.values()]
    columns = [c.double().to(ours.plain.device) for c in (ours.vector, *ours.probes, *pairs)]
    HV = ours.plain.products(torch.stack(columns, dim=1))
    Hv, mine = HV[:, 0], ours.product.double()
    yield judge(
        NAME, "‖Hv‖", float(mine.norm()), float(Hv.norm()), ours_error=ours.product_error(ours.vector, Hv),
        difference=float((mine - Hv).norm()),
    )  # fmt: skip
    for i, z in enumerate(ours.probes, start=1):
        theirs = float(columns[i] @ HV[:, i])
        error = ours.product_error(z, HV[:, i]) * float(z.norm())
        yield judge(NAME, f"zᵀHz, probe {i} of the trace", float(ours.trace.samples[i - 1]), theirs, ours_error=error)
    for column, (name, place) in enumerate(places.items(), start=1 + len(ours.probes)):
        stated, u, Hu = float(ours.eigs.residuals[place]), columns[column], HV[:, column]
        found = float((Hu - float(ours.eigs.values[place]) * u).norm())
        # One-sided: a residual that is smaller than stated is no fault.
        yield judge(
            NAME, f"residual of {name}", stated, found, ours_error=ours.product_error(u, Hu),
            difference=max(found - stated, 0.0),
        )  # fmt: skip


def _slices(ours: Ours) -> Iterator[WitnessRow]:
    line, plane = ours.line, ours.plane
    d = ours.plane_directions.to(ours.plain.device, ours.plain.dtype)
    theta = ours.theta.to(ours.plain.device, ours.plain.dtype)
    losses = np.array([ours.plain.loss(theta + float(t) * d[:, 0]) for t in line.t])
    yield worst(ours, NAME, f"line: {len(losses)} losses", line.loss, losses)
    corners = [(j, i) for j in (0, -1) for i in (0, len(plane.x) // 2, -1)]
    there = [theta + float(plane.x[i]) * d[:, 0] + float(plane.y[j]) * d[:, 1] for j, i in corners]
    losses = np.array([ours.plain.loss(point) for point in there])
    mine = np.array([plane.loss[j, i] for j, i in corners])
    yield worst(ours, NAME, f"plane: {len(corners)} losses at its edge", mine, losses)


def _spectrum(ours: Ours) -> Iterator[WitnessRow]:
    matrix = ours.plain.dense().cpu().numpy()
    matrix = (matrix + matrix.T) / 2
    spectrum, vectors = np.linalg.eigh(matrix)
    exact = _EPS * len(spectrum) * float(np.abs(spectrum).max())
    for ends, truths, places in (("λ", spectrum[::-1], ours.eigs.top), ("λ_min", spectrum, ours.eigs.bottom)):
        for i, place in enumerate(places[: ours.settings.k]):
            name = f"λ{i + 1}" if ends == "λ" else ends + (f"+{i}" if i else "")
            yield judge(
                DENSE, name, float(ours.eigs.values[place]), float(truths[i]),
                ours_error=float(ours.eigs.residuals[place]), theirs_error=exact, rounding=ours.rounding,
            )  # fmt: skip
    low, high = ours.trace.interval(1 - CHANCE)
    truth = float(np.trace(matrix))
    reach = high - ours.trace.value if truth > ours.trace.value else ours.trace.value - low
    # Few probes of few parameters may agree by chance, and then do not know their own spread; the matrix does.
    reach = max(reach, float(_reach(matrix, len(ours.trace.samples))))
    yield judge(
        DENSE, "trace", ours.trace.value, truth, ours_error=reach, theirs_error=exact,
        rounding=len(spectrum) * ours.rounding,
    )  # fmt: skip
    yield _distribution(ours, spectrum, vectors)


def _distribution(ours: Ours, spectrum: np.ndarray, vectors: np.ndarray) -> WitnessRow:
    """The share of eigenvalues up to x, where our density is furthest from it for what it may be.

    What it may be: the bracket of its quadratures, and three standard errors of sign probes, which the matrix knows.
    """
    span = float(np.ptp(spectrum))
    x = spectrum[0] + span * (np.arange(_GRID) + 0.5) / _GRID
    x = x[np.abs(spectrum[:, None] - x).min(0) > 1e-3 * span] if span > 0 else spectrum[:1] + 1.0
    x = x if len(x) else spectrum[-1:] + max(span, 1.0)
    truth = (spectrum[:, None] <= x).mean(0)
    low, middle, high = ours.density.cdf(x, level=1e-9)  # at no confidence, the bracket alone
    below = [vectors[:, spectrum <= at] for at in x]
    noise = np.array([_reach(V @ V.T, len(ours.density.nodes)) for V in below]) / len(spectrum)
    reach = np.maximum(high - middle, middle - low) + noise
    apart = np.abs(truth - middle)
    at = int(np.argmax(apart - reach))
    return judge(
        DENSE, f"density: share of λ ≤ {x[at]:.3g}", float(middle[at]), float(truth[at]), ours_error=float(reach[at]),
        rounding=1e-6,
    )  # fmt: skip


def _reach(matrix: np.ndarray, probes: int) -> float:
    """Three standard errors of ``zᵀAz`` over sign probes z (Avron & Toledo 2011)."""
    variance = 2 * float(np.square(matrix).sum() - np.square(np.diag(matrix)).sum())
    return 3 * float(np.sqrt(max(variance, 0.0) / probes))


def worst(
    ours: Ours, witness: str, quantity: str, mine: np.ndarray, theirs: np.ndarray, *, rounding: float = 0.0,
    causes: Sequence[Cause] = (), remark: str = "",
) -> WitnessRow:  # fmt: skip
    """The row of many losses: where they are furthest apart for what is allowed there."""
    allowed = np.array([ours.loss_error(value) for value in theirs])
    apart = np.abs(mine - theirs)
    at = int(np.argmax(np.nan_to_num(apart / np.maximum(allowed + rounding, 1e-300), nan=np.inf)))
    return judge(
        witness, quantity, float(mine[at]), float(theirs[at]), ours_error=float(allowed[at]), rounding=rounding,
        causes=causes, remark=remark,
    )  # fmt: skip
