"""Which minimum a point belongs to: gradient flow from it, to where it rests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import linalg
from scipy.integrate import solve_ivp
from torch import Tensor

from landscape.checks import check_positive
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.operators import HessianOperator
from landscape.progress import Progress
from landscape.results.basins import Basins

#: With more parameters the dense Hessians of the flow cost too much.
MOST_PARAMETERS = 500
#: Where the gradient has fallen to this share Newton's method takes over; if that does not contract from there, as near
#: a saddle, the flow goes on to the next.
_RESTS = (1e-4, 1e-7, 1e-10)
_POLISHED = 1e-9
_NEWTON_STEPS = 20
_FLAT = 1e-9  # of λ_max: a Hessian with smaller eigenvalues has no isolated minimum
_HORIZON = 1e9  # in units of 1/λ_max: enough for a condition number of 1e8


def basins(objective: Objective, points: Any, *, radius: float = 1e-3, progress: Progress | None = None) -> Basins:
    """The minimum whose basin of attraction each point lies in.

    The basin of a minimum is the set of points from which gradient flow, ``dθ/dt = −∇L(θ)``, comes to rest there. The
    flow is integrated by an implicit method with the dense Hessian, so that stiffness costs nothing and no step jumps
    over a ridge as an optimizer's would; Newton's method ends it. All in float64, whatever the objective's type.

    Parameters
    ----------
    objective : Objective
        Of at most 500 parameters.
    points : (S, P) array or sequence of S vectors (P,)
        Such as the ends of several runs: ``[run[-1].theta() for run in runs]``.
    radius : float
        Ends of flows that lie closer than this share of the points' extent (or of 1, where that is less) are one
        minimum.
    progress : callable, optional
        Called as ``progress(done, S)`` after each point.

    Returns
    -------
    Basins
        A point is without a minimum where the flow did not come to rest, or where the Hessian has an eigenvalue that
        is not positive (below 1e-9 λ_max): minima that are not isolated have no number. On a ridge or a saddle it is
        chance which side the flow takes. Costs some 250 gradients and 10 dense Hessians (P products each) for each
        point that is not given twice.

    Raises
    ------
    UsageError
        If the points do not fit θ or are not finite, or there are more than 500 parameters.

    References
    ----------
    Hirsch, Smale & Devaney (2004), Differential equations, dynamical systems, and an introduction to chaos, section
    9.3, for gradient systems; Hairer & Wanner (1996), Solving ordinary differential equations II, for the method.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> data = torch.ones(4, 1), torch.ones(4, 1)
    >>> objective = Objective(model, lambda f, t: ((f**2 - t) ** 2).mean(), data)  # (w² − 1)²
    >>> found = basins(objective, [[-2.0], [0.1], [3.0]])
    >>> found.minima[found.index].ravel().round(6)
    array([-1.,  1.,  1.])
    """
    theta = _points(points, objective.layout.size)
    if objective.layout.size > MOST_PARAMETERS:
        raise UsageError(
            f"basins needs dense Hessians: {objective.layout.size} parameters are more than {MOST_PARAMETERS}. Compare "
            "ends of large models by interpolate, whose barrier shows whether a ridge lies between two of them"
        )
    check_positive("radius", radius)
    flow = _Flow(objective.with_dtype(torch.float64))
    known: dict[bytes, np.ndarray | None] = {}  # runs of one seed begin at one point
    ends = []
    for done, start in enumerate(theta):
        if start.tobytes() not in known:
            known[start.tobytes()] = flow.end(start)
        ends.append(known[start.tobytes()])
        if progress is not None:
            progress(done + 1, len(theta))
    reach = radius * max(1.0, float(np.ptp(theta, axis=0).max()))
    minima, index = _distinct(ends, reach)
    return flow.described(minima, index, reach)


def _points(points: Any, size: int) -> np.ndarray:
    """(S, P) in float64."""
    rows = list(points)
    arrays = [np.asarray(row.detach().cpu() if isinstance(row, Tensor) else row, dtype=float) for row in rows]
    theta = np.stack(arrays) if rows else np.empty((0, size))
    if not rows or theta.ndim != 2 or theta.shape[1] != size:
        raise UsageError(f"points of shape {theta.shape} do not fit; this objective needs (S, {size}), S at least 1")
    if not np.isfinite(theta).all():
        raise UsageError(f"{int((~np.isfinite(theta)).any(1).sum())} of {len(theta)} points hold NaN or infinity")
    return theta


class _Flow:
    """Gradient flow of an objective in float64, counting what it costs."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.gradients = self.matvecs = 0

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        self.gradients += 1
        return self.objective.gradient(np.array(theta)).cpu().numpy()

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        self.matvecs += theta.size
        return HessianOperator(self.objective, np.array(theta), route="fresh").dense().cpu().numpy()

    def end(self, start: np.ndarray) -> np.ndarray | None:
        """Where the flow rests; None where that is no isolated minimum, or it never does."""
        steepest = float(np.linalg.norm(self.gradient(start)))
        stiffness = float(np.abs(linalg.eigvalsh(self.hessian(start))).max())
        theta = start
        for rest in _RESTS:
            if steepest > 0 and stiffness > 0:
                theta = self._followed(theta, rest * steepest, stiffness)
            if not np.isfinite(theta).all():
                return None
            found = self._polished(theta, float(np.linalg.norm(theta - start)))
            if found is not None:
                return found
        return None

    def _followed(self, start: np.ndarray, rest: float, stiffness: float) -> np.ndarray:
        """The flow until its gradient is as small as ``rest``, or as far as it gets."""

        def arrived(_: float, theta: np.ndarray) -> float:
            return float(np.linalg.norm(self.gradient(theta))) - rest

        arrived.terminal = True  # type: ignore[attr-defined]
        found = solve_ivp(
            lambda _, theta: -self.gradient(theta),
            (0.0, _HORIZON / stiffness),
            start,
            method="BDF",
            jac=lambda _, theta: -self.hessian(theta),
            events=arrived,
            first_step=1e-3 / stiffness,
            rtol=1e-4,
            atol=1e-7 * max(1.0, float(np.abs(start).max())),
        )
        return found.y[:, -1]

    def _polished(self, theta: np.ndarray, way: float) -> np.ndarray | None:
        """By Newton's method; None where the Hessian is not positive definite, or steps are not small and halving.

        The first may be a tenth of the way that the flow has come, or any where it has not moved.
        """
        length = 0.2 * way or np.inf
        for _ in range(_NEWTON_STEPS):
            values, vectors = linalg.eigh(self.hessian(theta))
            if not values[0] > _FLAT * max(values[-1], 0.0):
                return None
            step = vectors @ ((vectors.T @ self.gradient(theta)) / values)
            theta, before, length = theta - step, length, float(np.linalg.norm(step))
            if length <= _POLISHED * max(1.0, float(np.linalg.norm(theta))):
                return theta
            if length > 0.5 * before:
                return None
        return None

    def described(self, minima: np.ndarray, index: np.ndarray, radius: float) -> Basins:
        """Losses and curvature, and the order by loss."""
        losses = np.array([self.objective.loss(np.array(point)) for point in minima])
        spectra = [linalg.eigvalsh(self.hessian(point)) for point in minima]
        order = np.argsort(losses, kind="stable")
        rank = np.empty(len(order) + 1, dtype=int)
        rank[order], rank[-1] = np.arange(len(order)), -1
        return Basins(
            minima=minima[order],
            losses=losses[order],
            lambda_max=np.array([spectra[k][-1] for k in order]),
            lambda_min=np.array([spectra[k][0] for k in order]),
            index=rank[index],
            radius=radius,
            num_gradients=self.gradients,
            num_matvecs=self.matvecs,
        )


def _distinct(ends: list[np.ndarray | None], radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The different ones (M, P), and which of them each is; -1 for None."""
    known: list[np.ndarray] = []
    index = np.full(len(ends), -1)
    for i, end in enumerate(ends):
        if end is None:
            continue
        near = [k for k, other in enumerate(known) if np.linalg.norm(end - other) <= radius]
        if not near:
            known.append(end)
        index[i] = near[0] if near else len(known) - 1
    size = next((len(end) for end in ends if end is not None), 0)
    return np.array(known).reshape(len(known), size), index
