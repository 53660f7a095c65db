"""Deterministic methods that choose their steps from the loss or the curvature; they expect the whole data set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from landscape.optimizers.base import Closure, WholeVectorOptimizer, dot, evaluated


class LineSearch(WholeVectorOptimizer):
    r"""Gradient descent with backtracking: the first of :math:`η, βη, β²η, …` with
    :math:`f(θ − ηg) ≤ f(θ) − c\,η\,‖g‖²`.

    Parameters
    ----------
    lr : float
        The first step ever tried, and the longest.
    c : float
        Share of the decrease promised by the gradient that is asked for (Armijo).
    shrink : float
        β.
    grow : float
        The next search begins this much longer than the last step taken.
    most : int
        Steps tried; where none is good enough θ stays.

    References
    ----------
    Armijo (1966), Pacific J. Math. 16(1). Nocedal & Wright (2006), Numerical Optimization, algorithm 3.1.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1.0, *, c: float = 1e-4, shrink: float = 0.5, grow: float = 2.0,
        most: int = 40,
    ) -> None:  # fmt: skip
        for name, value in (("c", c), ("shrink", shrink)):
            if not 0 < value < 1:
                raise ValueError(f"{name}={value!r} must lie between 0 and 1")
        if not grow >= 1 or not most >= 1:
            raise ValueError(f"grow={grow!r} and most={most!r} must be at least 1")
        super().__init__(params, {"lr": lr, "c": c, "shrink": shrink, "grow": grow, "most": most, "last": None})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient and one loss for each length tried."""
        loss, group = evaluated(closure), self.group
        gradients, start = self.gradients(), self.stand()
        squared, before = dot(gradients, gradients), float(loss)
        trial = group["lr"] if group["last"] is None else min(group["lr"], group["grow"] * group["last"])
        for _ in range(group["most"]):
            self.move(gradients, -trial)
            if closure.value() <= before - group["c"] * trial * squared:
                group["last"] = self.step_size = trial
                return loss
            self.go_to(start)
            trial *= group["shrink"]
        group["last"], self.step_size = trial, 0.0
        return loss


class BarzilaiBorwein(WholeVectorOptimizer):
    r"""Step sizes from the last change of place s and of gradient y.

    ============  =====================================================================================================
    ``kind``      step
    ============  =====================================================================================================
    ``long``      :math:`⟨s, s⟩ / ⟨s, y⟩`
    ``short``     :math:`⟨s, y⟩ / ⟨y, y⟩`
    ``diagonal``  1/uᵢ for each parameter, :math:`u_i = (s_i y_i + μ u_i^{\mathrm{old}}) / (s_i² + μ)` cut to the
                  interval from 1/long to 1/short
    ============  =====================================================================================================

    Where :math:`⟨s, y⟩ ≤ 0`, the loss is not convex along the step and there is no such step size: ``lr`` is taken, as
    in the first step. No step size exceeds ``longest``.

    Parameters
    ----------
    lr : float
    kind : {"long", "short", "diagonal"}
    longest : float
    mu : float
        μ of the diagonal, in units of the mean of sᵢ²: how much the last diagonal counts.

    References
    ----------
    Barzilai & Borwein (1988), IMA J. Numer. Anal. 8(1), eq. (5) and (6). Park, Dhar, Boyd & Shah (2020), Variable
    metric proximal gradient method with diagonal Barzilai-Borwein stepsize, ICASSP, for the diagonal.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.1, *, kind: str = "long", longest: float = 1e3, mu: float = 1.0
    ) -> None:
        if not longest > 0 or not mu >= 0:
            raise ValueError(f"longest={longest!r} must be positive and mu={mu!r} not negative")
        super().__init__(params, {"lr": lr, "kind": kind, "longest": longest, "mu": mu})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient."""
        loss, group = evaluated(closure), self.group
        gradients = [g.clone() for g in self.gradients()]
        rates = self._rates(gradients)
        for p, g, rate in zip(self.tensors, gradients, rates, strict=True):
            self.state[p]["place"], self.state[p]["gradient"] = p.detach().clone(), g
            p.sub_(rate * g)
        sizes = torch.cat([torch.as_tensor(rate, dtype=torch.float64).reshape(-1) for rate in rates])
        self.step_size = float(sizes.mean()) if group["kind"] == "diagonal" else float(sizes[0])
        return loss

    def _rates(self, gradients: list[Tensor]) -> list[Any]:
        """A number for all parameters, or one for each of them, by tensor."""
        group, states = self.group, [self.state[p] for p in self.tensors]
        plain = [group["lr"]] * len(gradients)
        if not all(states):
            return plain
        s = [p - state["place"] for p, state in zip(self.tensors, states, strict=True)]
        y = [g - state["gradient"] for g, state in zip(gradients, states, strict=True)]
        along, moved, bent = dot(s, y), dot(s, s), dot(y, y)
        if not along > 0:
            for state in states:
                state.pop("diagonal", None)
            return plain
        long, short = min(moved / along, group["longest"]), min(along / bent, group["longest"])
        if group["kind"] != "diagonal":
            return [long if group["kind"] == "long" else short] * len(gradients)
        mu = group["mu"] * moved / sum(p.numel() for p in self.tensors)
        for si, yi, state in zip(s, y, states, strict=True):
            old = state.get("diagonal", torch.full_like(si, along / moved))
            state["diagonal"] = ((si * yi + mu * old) / (si * si + mu)).nan_to_num_(nan=along / moved)
            state["diagonal"].clamp_(1 / long, 1 / short)
        return [1 / state["diagonal"] for state in states]


class FrankWolfe(WholeVectorOptimizer):
    r"""Minimise over the ball ‖θ‖ ≤ radius: :math:`θ ← (1 − γ)θ + γs`, s the point of the ball furthest downhill.

    :math:`γ = \min(1, \mathrm{lr} · 2/(t + 2))` with t = 0, 1, …; ``lr=1`` is the classical rule. θ is a mean of points
    of the ball, so it never leaves it; a start outside is scaled onto it.

    Parameters
    ----------
    lr : float
    radius : float
    norm : {"l2", "l1", "linf"}
        Of all parameters as one vector. For ``"l1"`` each s has one parameter that is not zero.

    References
    ----------
    Frank & Wolfe (1956), Naval Research Logistics Quarterly 3(1-2). Jaggi (2013), ICML, algorithm 1.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1.0, *, radius: float = 10.0, norm: str = "l2") -> None:
        if not radius > 0:
            raise ValueError(f"radius={radius!r} must be a positive number")
        super().__init__(params, {"lr": lr, "radius": radius, "norm": norm, "t": 0})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient."""
        group = self.group
        if group["t"] == 0:
            size = self._size()
            if size > group["radius"]:
                for p in self.tensors:
                    p.mul_(group["radius"] / size)
        loss = evaluated(closure)
        corners = self._furthest(self.gradients())
        self.step_size = min(1.0, group["lr"] * 2 / (group["t"] + 2))
        for p, s in zip(self.tensors, corners, strict=True):
            p.lerp_(s, self.step_size)
        group["t"] += 1
        return loss

    def _size(self) -> float:
        if self.group["norm"] == "l2":
            length: float = dot(self.tensors, self.tensors) ** 0.5
            return length
        if self.group["norm"] == "l1":
            return sum(float(p.abs().sum()) for p in self.tensors)
        return max(float(p.abs().max()) for p in self.tensors)

    def _furthest(self, gradients: list[Tensor]) -> list[Tensor]:
        """argmin of ⟨g, s⟩ over the ball; where the gradient is zero, any point will do: θ itself."""
        radius = self.group["radius"]
        if not any(bool(g.any()) for g in gradients):
            return self.stand()
        if self.group["norm"] == "l2":
            length = dot(gradients, gradients) ** 0.5
            return [g * (-radius / length) for g in gradients]
        if self.group["norm"] == "linf":
            return [-radius * g.sign() for g in gradients]
        corners = [torch.zeros_like(g) for g in gradients]
        steepest = max(range(len(gradients)), key=lambda i: float(gradients[i].abs().max()))
        place = int(gradients[steepest].abs().argmax())
        corners[steepest].view(-1)[place] = -radius * gradients[steepest].reshape(-1)[place].sign()
        return corners
