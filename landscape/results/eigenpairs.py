"""Eigenpairs and their gap. ``P`` parameters, ``K`` pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from landscape.results.base import Array, Estimate, Record
from landscape.results.endings import Ending
from landscape.rounding import format_measured, format_value


@dataclass(frozen=True, eq=False, repr=False)
class SpectralGap(Record):
    """Distance between the two largest eigenvalues: ``difference`` λ₁ − λ₂ and ``ratio`` λ₁/λ₂, each with its bound."""

    difference: Estimate
    ratio: Estimate

    @property
    def value(self) -> float:
        """λ₁ − λ₂."""
        return self.difference.value

    def _lines(self) -> list[tuple[str, str]]:
        return [("λ₁ − λ₂", str(self.difference)), ("λ₁ / λ₂", str(self.ratio))]


@dataclass(frozen=True, eq=False, repr=False)
class Eigenpairs(Record):
    """Eigenvalues in descending order (of ``|λ|`` for ``which="magnitude"``), with true residuals.

    ``largest`` and ``smallest`` are the ends of the spectrum, where the pairs hold them. Which pairs these are depends
    on what was asked for: read them there, not from the ends of ``values``.

    Attributes
    ----------
    values : (K,) array
    vectors : (P, K) array
        Orthonormal columns; empty ``(P, 0)`` where they were not kept.
    residuals : (K,) array
        ``‖Hu − λu‖`` from products with H, not from a recurrence. The matrix that was multiplied has an eigenvalue
        within this distance.
    converged : (K,) bool array
    reason : str
        Why the iteration ended, and what to do where that was too early.
    num_matvecs : int
        All matvecs, those for the residuals included.
    upper_bound : (value, confidence) or None
        λ_max exceeds ``value`` with probability ``1 − confidence`` at most, over the random start; None where the start
        was not random. With ``largest`` and its bound, a statement from both sides. Confidence 1 is certainty: all
        eigenvalues are known.
    rounding : float
        How far the matrix multiplied may be from the one that is meant: rounding of the products, measured on a few
        examples. ``bounds`` holds it; 0 in records of earlier versions.
    core_products : float
        What was multiplied on parts of the data, in products on all of them, drawing the parts included.
    tol, negative_tol : float
        Relative residuals that were asked of positive eigenvalues and of the others; the latter None where it is the
        same.
    """

    values: Array
    vectors: Array
    residuals: Array
    converged: Array
    num_matvecs: int
    reason: str
    which: str
    method: str
    tol: float
    seed: int
    dim: int
    upper_bound: tuple[float, float] | None = None
    rounding: float = 0.0
    core_products: float = 0.0
    negative_tol: float | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def bounds(self) -> Array:
        """How far an eigenvalue may be from each value (K,): residual and rounding."""
        bounds: Array = self.residuals + self.rounding
        return bounds

    def tol_at(self, value: float) -> float:
        """The relative residual that was asked of an eigenvalue."""
        return self.tol if value > 0 or self.negative_tol is None else self.negative_tol

    @property
    def products(self) -> float:
        """All that was multiplied, in products on all data; NaN where none was on parts, as ``num_matvecs`` tells."""
        return self.num_matvecs + self.core_products if self.core_products else float("nan")

    @property
    def top(self) -> Array:
        """Positions of the pairs that are λ₁, λ₂, … of the whole spectrum, in that order; empty where none is known.

        With ``which="both"`` the upper half of the list. With ``"magnitude"`` every pair above −min|λ|, since nothing
        outside the list is larger in ``|λ|``: the positive ones, and zeros where the list goes down to them. A list of
        all P pairs holds both ends whatever was asked for.
        """
        return self._from_end(1.0)

    @property
    def bottom(self) -> Array:
        """The same from the other end: positions of λ_P, λ_{P−1}, …."""
        return self._from_end(-1.0)

    @property
    def largest(self) -> Estimate | None:
        """λ_max, with residual and rounding as the bound; None where the pairs do not hold that end of the spectrum."""
        return self._estimate(self.top, "λ_max")

    @property
    def smallest(self) -> Estimate | None:
        """λ_min, with residual and rounding as the bound; None where the pairs do not hold that end of the spectrum."""
        return self._estimate(self.bottom, "λ_min")

    @property
    def ending(self) -> Ending | None:
        """``reason`` as one of the ways in which an iteration ends; None in records of another version."""
        return Ending.of(self.reason)

    def _from_end(self, sign: float) -> Array:
        values = sign * self.values
        order = np.argsort(-values, kind="stable")
        if len(self) == self.dim:
            return order
        if self.which == "magnitude":
            # Within its residual a value counts as beyond what may lie outside the list: of zeros, rounding sets the
            # sign.
            reaches = values + self.bounds >= np.abs(values).min(initial=np.inf)
            beyond: Array = order[reaches[order]]
            return beyond
        if self.which == "both":
            return order[: (len(self) + (sign > 0)) // 2]
        return order if (self.which == "largest") == (sign > 0) else order[:0]

    def _estimate(self, places: Array, name: str) -> Estimate | None:
        if not len(places):
            return None
        i = int(places[0])
        return Estimate(
            float(self.values[i]),
            bound=float(self.bounds[i]),
            num_matvecs=self.num_matvecs,
            seed=self.seed,
            method=f"{name}, bound from its residual",
            converged=bool(self.converged[i]),
        )

    def without_vectors(self) -> Eigenpairs:
        """The same pairs with ``vectors`` of shape (P, 0), to store where many are kept."""
        return replace(self, vectors=self.vectors[:, :0])

    def _lines(self) -> list[tuple[str, str]]:
        rows = [
            (f"λ{i + 1}", format_measured(v, r) + ("" if ok else "   NOT CONVERGED"))
            for i, (v, r, ok) in enumerate(zip(self.values, self.bounds, self.converged, strict=True))
        ]
        if self.upper_bound is not None and self.upper_bound[1] < 1:
            value, confidence = self.upper_bound
            rows.append(("λ_max", f"at most {format_value(value, digits=5)} with probability {100 * confidence:g} %"))
        beside = f" and {self.core_products:.1f} more on parts of the data" if self.core_products else ""
        return [*rows, ("", f"{self.which}, {self.method}, {self.num_matvecs} matvecs{beside}; {self.reason}")]
