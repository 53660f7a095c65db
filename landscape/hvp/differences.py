"""The product from gradients alone, where nothing else works."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.hvp.product import LossParts, each_column
from landscape.hvp.reverse import loss_and_gradient


class Differences:
    r"""Central differences of gradients, :math:`(\nabla L(\theta + hv) - \nabla L(\theta - hv)) / 2h`: four gradients.

    The step is relative to ``‖θ‖ / ‖v‖`` and about the cube root of eps, where truncation and rounding balance. Every
    product is made twice, with h and 2h, and extrapolated; their distance is the error.

    Attributes
    ----------
    error : float
        Largest relative distance of the two seen so far; infinite once a product was not finite. About 1e-7 in float64
        and 1e-2 in float32.
    """

    name = "differences"

    def __init__(self, parts: LossParts, theta: Tensor) -> None:
        self.parts, self.theta, self.error = parts, theta, 0.0

    def __call__(self, v: Tensor) -> Tensor:
        length = float(v.norm())
        if length == 0:
            return torch.zeros_like(v)
        step = torch.finfo(v.dtype).eps ** (1 / 3) * max(float(self.theta.norm()), 1.0) / length
        narrow, wide = self._quotient(v, step), self._quotient(v, 2 * step)
        out = narrow + (narrow - wide) / 3  # the truncation error of the quotient falls like h²
        apart = float((out - wide).norm()) / max(float(out.norm()), torch.finfo(v.dtype).tiny)
        self.error = max(self.error, apart if math.isfinite(apart) else math.inf)  # max() would pass over NaN
        return out

    def _quotient(self, v: Tensor, step: float) -> Tensor:
        ahead, behind = (loss_and_gradient(self.parts, self.theta + s * step * v)[1] for s in (1, -1))
        return (ahead - behind) / (2 * step)

    def block(self, V: Tensor) -> Tensor:
        """The products with the columns of V (P, K), one after another."""
        return each_column(self, V)
