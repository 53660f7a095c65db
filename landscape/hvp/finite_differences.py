"""The product from gradients alone, where nothing else works."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.device import widened
from landscape.hvp.product import LossParts, each_column, one_chunk
from landscape.hvp.reverse import loss_and_gradient

_SETTLED = 1e-3  # a relative error at which differences are believed


class Differences:
    r"""Central differences of gradients, :math:`(\nabla L(\theta + hv) - \nabla L(\theta - hv)) / 2h`: four gradients.

    The step is relative to ``‖θ‖ / ‖v‖`` and about the cube root of eps, where truncation and rounding balance. Every
    product is made twice, with h and 2h, and extrapolated; their distance is the error. Gradients are taken in float64
    where the model runs in it; in float32 only two digits are left.

    Attributes
    ----------
    error : float
        Largest relative distance of the two seen so far; infinite once a product was not finite. About 1e-7 in float64
        and 1e-2 where the model has float32 alone.
    """

    name = "differences"

    def __init__(self, parts: LossParts, theta: Tensor) -> None:
        self.parts, self.theta, self.error = parts, theta, 0.0
        self._double: Differences | None = None
        self._chosen = theta.dtype == torch.float64

    def __call__(self, v: Tensor) -> Tensor:
        if not self._chosen:
            self._double, self._chosen = self._in_double(v), True
        if self._double is None:
            return self._product(v)
        out = self._double(widened(v))
        self.error = max(self._double.error, torch.finfo(v.dtype).eps)
        return out.to(v.dtype)

    def settled(self, v: Tensor, *, within: float = _SETTLED) -> Tensor | None:
        """The product where it is finite and its error at most ``within``; None where the differences do not settle."""
        out = self(v)
        return out if bool(out.isfinite().all()) and self.error <= within else None

    def _in_double(self, v: Tensor) -> Differences | None:
        """The same in float64, unless the model has none, or computes in less by itself and does not settle."""
        double = Differences(self.parts.in_double(), widened(self.theta))
        try:
            return None if double.settled(widened(v)) is None else double
        except (RuntimeError, TypeError):
            return None

    def _product(self, v: Tensor) -> Tensor:
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

    def of_chunk(self, index: int, v: Tensor) -> Tensor:
        """The product of one chunk's Hessian, without its share."""
        return Differences(one_chunk(self.parts, index), self.theta)(v)

    def block(self, V: Tensor) -> Tensor:
        """The products with the columns of V (P, K), one after another."""
        return each_column(self, V)
