"""What a damped Newton step promises over gradient descent and conjugate gradients of equal cost. ``D`` dampings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from landscape.results.base import Array, Estimate
from landscape.rounding import format_measured, format_value


@dataclass(frozen=True, eq=False, repr=False)
class SecondOrderGain(Estimate):
    """How many times as much a damped Newton step lowers the quadratic model as k steps of gradient descent.

    ``value`` and ``bound`` are those of the middle damping; both sides cost k products with H.

    Attributes
    ----------
    dampings : (D,) array
        δ in units of λ₁, ascending; alike where negative curvature sets them.
    over_descent, over_descent_bound : (D,) arrays
        Newton's decrease over that of k gradient steps of 1/λ₁, and how far the truth may lie from it.
    over_conjugate, over_conjugate_bound : (D,) arrays
        The same over k steps of conjugate gradients, which stop at the first negative curvature; NaN where already
        the gradient itself points along one.
    over_one_step : float
        The middle one over that of a single gradient step, which costs one product: no comparison at equal cost.
    num_steps : int
        k.
    """

    dampings: Array = field(default_factory=lambda: np.empty(0))
    over_descent: Array = field(default_factory=lambda: np.empty(0))
    over_descent_bound: Array = field(default_factory=lambda: np.empty(0))
    over_conjugate: Array = field(default_factory=lambda: np.empty(0))
    over_conjugate_bound: Array = field(default_factory=lambda: np.empty(0))
    over_one_step: float = float("nan")
    num_steps: int = 0

    @property
    def by_damping(self) -> list[tuple[str, str, str]]:
        """Each damping with the gain over gradient descent and that over conjugate gradients, as they are printed."""
        over = zip(self.over_descent, self.over_descent_bound, strict=True)
        conjugate = zip(self.over_conjugate, self.over_conjugate_bound, strict=True)
        return [
            (format_value(float(damping), digits=2), format_measured(*map(float, a)), format_measured(*map(float, b)))
            for damping, a, b in zip(self.dampings, over, conjugate, strict=True)
        ]

    def _lines(self) -> list[tuple[str, str]]:
        lines = [("at equal cost", f"{self} times the decrease of {self.num_steps} gradient steps")]
        lines += [
            (f"damping {damping} λ₁", f"{descent} × gradient descent, {conjugate} × conjugate gradients")
            for damping, descent, conjugate in self.by_damping
        ]
        alone = f"{format_value(self.over_one_step, digits=3)}, at {self.num_steps} times its cost"
        return [*lines, ("against one step", alone), ("method", self.method), ("matvecs", str(self.num_matvecs))]
