"""The diagonal, spectral moments, and curvature per block. ``P`` parameters, ``K`` blocks or moments, ``R`` probes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from landscape.checks import check_share
from landscape.errors import UsageError
from landscape.results.base import Array, Estimate, Record
from landscape.rounding import format_brief, format_measured, format_value


@dataclass(frozen=True, eq=False, repr=False)
class Diagonal(Record):
    """The diagonal of an operator, one number with its error per parameter.

    Attributes
    ----------
    values : (P,) array
    sem : (P,) array
        Standard errors, each of its own entry; 0 where the diagonal was multiplied out, NaN after one probe.
    num_samples : int
        Samples behind each entry; 0 where it is exact.
    num_matvecs, seed, method
        Cost, seed (-1 where nothing is random) and how it was computed.
    converged : bool
        False where a tolerance was asked for and the matvecs ended before it was met.
    """

    values: Array
    sem: Array
    num_samples: int
    num_matvecs: int
    seed: int
    method: str
    converged: bool = True

    def __len__(self) -> int:
        return len(self.values)

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Lower and upper ends (P,) of Student's t: each entry by itself is covered with probability ``level``."""
        check_share("level", level)
        reach = float(special.stdtrit(max(self.num_samples - 1, 1), 0.5 + level / 2)) * self.sem
        return self.values - reach, self.values + reach

    def _lines(self) -> list[tuple[str, str]]:
        error = np.sqrt(np.mean(self.sem**2))
        low, high = (int(f(self.values)) for f in (np.argmin, np.argmax))
        return [
            ("entries", f"{len(self)}"),
            ("mean entry", format_value(float(self.values.mean()))),
            ("smallest", f"{format_measured(float(self.values[low]), float(self.sem[low]))} at {low}"),
            ("largest", f"{format_measured(float(self.values[high]), float(self.sem[high]))} at {high}"),
            ("typical error", format_value(float(error)) + ("" if self.converged else "   NOT CONVERGED")),
            ("", f"{self.method}, {self.num_matvecs} matvecs"),
        ]


@dataclass(frozen=True, eq=False, repr=False)
class SpectralMoments(Record):
    """``tr(H^p)`` for several powers p from the same probes: ``moments[2]`` is the `Estimate` of ``tr(H²)``.

    Attributes
    ----------
    powers : tuple of int
    values, sem : (K,) arrays
        ``sem`` is NaN after one probe.
    samples : (K, R) array
        Column r is of probe r in every row, so the errors of the moments are correlated as their rows are.
    num_matvecs : int
        Of all moments together.
    """

    powers: tuple[int, ...]
    values: Array
    sem: Array
    samples: Array
    num_matvecs: int
    seed: int
    method: str

    def __getitem__(self, power: int) -> Estimate:
        if power not in self.powers:
            raise UsageError(f"moment {power!r} was not measured; there are {', '.join(map(str, self.powers))}")
        k = self.powers.index(power)
        return Estimate(
            float(self.values[k]),
            sem=None if np.isnan(self.sem[k]) else float(self.sem[k]),
            samples=self.samples[k],
            num_matvecs=self.num_matvecs,
            seed=self.seed,
            method=f"tr(H^{power}), {self.method}",
        )

    def __iter__(self) -> Iterator[Estimate]:
        return (self[power] for power in self.powers)

    def __len__(self) -> int:
        return len(self.powers)

    def _lines(self) -> list[tuple[str, str]]:
        rows = [("tr(H)" if p == 1 else f"tr(H^{p})", str(self[p])) for p in self.powers]
        return [*rows, ("", f"{self.method}, {self.num_matvecs} matvecs")]


@dataclass(frozen=True, eq=False, repr=False)
class BlockTable(Record):
    """Curvature of diagonal blocks, such as a network's layers. Rows in the order of ``names``.

    Attributes
    ----------
    names : tuple of str
    sizes : (K,) int array
        Parameters of each block.
    trace, trace_sem : (K,) arrays
        Trace of each block and its standard error (NaN after one probe).
    samples : (K, R) array
        One value per block and probe.
    lambda_max, residual : (K,) arrays
        Largest eigenvalue of each block with its residual; NaN where it was not asked for.
    converged : (K,) bool array
        Whether ``lambda_max`` met its tolerance; True where it was not asked for.
    total, total_sem : float
        Trace of all blocks together, and its standard error.
    num_matvecs : int
        Products with the whole operator.
    block_matvecs : int
        Products with single blocks.
    """

    names: tuple[str, ...]
    sizes: Array
    trace: Array
    trace_sem: Array
    samples: Array
    lambda_max: Array
    residual: Array
    converged: Array
    total: float
    total_sem: float
    num_matvecs: int
    block_matvecs: int
    seed: int
    method: str

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> Estimate:
        if name not in self.names:
            raise UsageError(f"no block named {name!r}; there are {', '.join(self.names)}")
        k = self.names.index(name)
        return Estimate(
            float(self.trace[k]),
            sem=None if np.isnan(self.trace_sem[k]) else float(self.trace_sem[k]),
            samples=self.samples[k],
            num_matvecs=self.num_matvecs + self.block_matvecs,
            seed=self.seed,
            method=f"trace of {name}, {self.method}",
        )

    @property
    def trace_per_parameter(self) -> Array:
        """Trace ÷ number of parameters, (K,): the mean eigenvalue of the block."""
        means: Array = self.trace / self.sizes
        return means

    @property
    def share(self) -> Array:
        """Trace of the block ÷ trace of all, (K,); NaN where that is zero. Negative where the signs differ."""
        return self.trace / self.total if self.total else np.full(len(self), np.nan)

    def _lines(self) -> list[tuple[str, str]]:
        head = ["parameters", "trace", "trace ÷ parameters", "share", "λ_max"]
        cells = [head] + [self._cells(k) for k in range(len(self))]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        text = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
        note = f"{self.method}, {self.num_matvecs} matvecs, {self.block_matvecs} of single blocks; ± one standard error"
        total = format_measured(self.total, self.total_sem)
        return [("block", text[0]), *zip(self.names, text[1:], strict=True), ("trace of all", total), ("", note)]

    def _cells(self, k: int) -> list[str]:
        largest = "—"
        if not np.isnan(self.lambda_max[k]):
            largest = format_brief(float(self.lambda_max[k]), float(self.residual[k]))
        share = self.share[k]
        return [
            str(self.sizes[k]),
            format_brief(float(self.trace[k]), float(self.trace_sem[k])),
            format_brief(float(self.trace_per_parameter[k]), float(self.trace_sem[k] / self.sizes[k])),
            "—" if np.isnan(share) else f"{100 * share:.1f} %",
            largest + ("" if self.converged[k] else " NOT CONVERGED"),
        ]
