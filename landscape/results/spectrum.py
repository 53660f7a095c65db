"""Eigenpairs, trace, norm, density and moments of one operator from the same Krylov runs."""

from __future__ import annotations

from dataclasses import dataclass

from landscape.results.base import Estimate, Record
from landscape.results.eigenpairs import Eigenpairs
from landscape.results.spectral_measure import SpectralMeasure
from landscape.rounding import format_measured


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Record):
    """Eigenpairs, trace, norm and density of one operator, from one set of Krylov runs.

    Attributes
    ----------
    eigs : Eigenpairs
        ``num_matvecs`` are those made for them besides the runs.
    trace, frobenius : Estimate
        tr(H) and ‖H‖_F.
    density : SpectralMeasure
        ``num_matvecs`` are those of the runs.
    """

    eigs: Eigenpairs
    trace: Estimate
    frobenius: Estimate
    density: SpectralMeasure

    @property
    def num_matvecs(self) -> int:
        """All matvecs, each counted once."""
        return self.density.num_matvecs + self.eigs.num_matvecs

    @property
    def moments(self) -> tuple[Estimate, ...]:
        """``tr(H^p)/P`` for p = 1 … 4."""
        return tuple(self.density.moment(p) for p in range(1, 5))

    def _lines(self) -> list[tuple[str, str]]:
        pairs = zip(self.eigs.values, self.eigs.bounds, self.eigs.converged, strict=True)
        values = ";  ".join(format_measured(v, r) + ("" if ok else " NOT CONVERGED") for v, r, ok in pairs)
        return [
            ("trace", str(self.trace)),
            ("Frobenius norm", str(self.frobenius)),
            ("eigenvalues", values),
            *self.density._lines()[:-1],
            ("", f"{self.num_matvecs} matvecs in all; {self.eigs.reason}"),
        ]
