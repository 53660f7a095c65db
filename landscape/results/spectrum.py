"""Eigenpairs and their gap. ``P`` parameters, ``K`` pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from landscape.results.base import Array, Estimate, Record
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

    Attributes
    ----------
    values : (K,) array
    vectors : (P, K) array
        Orthonormal columns; empty ``(P, 0)`` where they were not kept.
    residuals : (K,) array
        ``‖Hu − λu‖`` from products with H, not from a recurrence. A symmetric matrix has an eigenvalue within this
        distance.
    converged : (K,) bool array
    reason : str
        Why the iteration ended.
    num_matvecs : int
        All matvecs, those for the residuals included.
    upper_bound : (value, confidence) or None
        λ_max exceeds ``value`` with probability ``1 − confidence`` at most, over the random start; None where the start
        was not random. With ``values[0]`` and its residual, a statement from both sides.
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

    def __len__(self) -> int:
        return len(self.values)

    def without_vectors(self) -> Eigenpairs:
        """The same pairs with ``vectors`` of shape (P, 0), to store where many are kept."""
        return replace(self, vectors=self.vectors[:, :0])

    def _lines(self) -> list[tuple[str, str]]:
        rows = [
            (f"λ{i + 1}", format_measured(v, r) + ("" if ok else "   NOT CONVERGED"))
            for i, (v, r, ok) in enumerate(zip(self.values, self.residuals, self.converged, strict=True))
        ]
        if self.upper_bound is not None:
            value, confidence = self.upper_bound
            rows.append(("λ_max", f"at most {format_value(value, digits=5)} with probability {100 * confidence:g} %"))
        return [*rows, ("", f"{self.which}, {self.method}, {self.num_matvecs} matvecs; {self.reason}")]
