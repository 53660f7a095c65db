"""What a measurement should cost, in work that does not depend on the machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Expected work in Hessian-vector products, gradients and losses over the whole data.

    >>> Cost(matvecs=20, gradients=2) + Cost(losses=6)
    Cost(matvecs=20, gradients=2, losses=6)
    >>> (Cost(matvecs=20) * 0.5).products, Cost(gradients=2, losses=6).products
    (10.0, 2.0)
    """

    matvecs: float = 0
    gradients: float = 0
    losses: float = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.matvecs + other.matvecs, self.gradients + other.gradients, self.losses + other.losses)

    def __sub__(self, other: Cost) -> Cost:
        return self + other * -1

    def __mul__(self, factor: float) -> Cost:
        return Cost(self.matvecs * factor, self.gradients * factor, self.losses * factor)

    @property
    def products(self) -> float:
        """In products: a gradient is half of one, a loss a sixth."""
        return self.matvecs + self.gradients / 2 + self.losses / 6

    def at(self, rate: Cost) -> float:
        """Seconds, where one of each takes as many as ``rate`` says."""
        return self.matvecs * rate.matvecs + self.gradients * rate.gradients + self.losses * rate.losses


def total(costs: list[Cost]) -> Cost:
    """All together."""
    return sum(costs, Cost())
