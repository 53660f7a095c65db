"""What every result is: a frozen record that prints well, and a number with its error."""

from __future__ import annotations

import html
import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from landscape.checks import check_share
from landscape.errors import UsageError
from landscape.rounding import format_measured, format_value

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Array = np.ndarray


class Drawable:
    """What draws itself."""

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw it on ``ax``, or on new axes (``.plot().figure`` shows them in a notebook).

        ``options`` are those of the function in :mod:`landscape.plots` that :mod:`landscape.plots.single_record` names.

        Raises
        ------
        UsageError
            Where there is nothing to draw, or ``ax`` is no Axes.
        """
        if ax is not None and not hasattr(ax, "plot"):
            raise UsageError(f"ax={ax!r} is no Axes of matplotlib; options go by name, as in plot(measure='trace')")
        # By name: drawing stands above the results, which are read where there is no matplotlib.
        drawn: Axes = importlib.import_module("landscape.plots.single_record").draw(self, ax=ax, **options)
        return drawn


@dataclass(frozen=True, eq=False, repr=False)
class Record(Drawable, ABC):
    """Base of all results: prints as a person would write it, in a terminal and in a notebook."""

    @abstractmethod
    def _lines(self) -> list[tuple[str, str]]:
        """(label, text) pairs; the first is the headline."""

    def __str__(self) -> str:
        lines = self._lines()
        width = max(len(label) for label, _ in lines)
        return "\n".join(f"{label:<{width}}  {text}".strip() for label, text in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for label, text in self._lines()
        )
        return f"<table><caption>{type(self).__name__}</caption>{cells}</table>"

    def to_dataframe(self) -> pd.DataFrame:
        """The record as a table: a row for each eigenvalue, point, block …; of a record of single numbers, one row."""
        import pandas as pd

        from landscape.results.dataframes import columns

        return pd.DataFrame(dict(columns(self)))


@dataclass(frozen=True, eq=False, repr=False)
class Estimate(Record):
    """A number with its error.

    Attributes
    ----------
    value : float
    sem : float or None
        Standard error of the mean over probes, where the estimate is random.
    bound : float or None
        A deterministic bound: the truth lies within ``value ± bound``.
    samples : (R,) array
        One value per probe; empty where the estimate is not random.
    num_matvecs, seed, method
        Cost, seed (-1 where nothing is random) and how it was computed.
    converged : bool
        False where a tolerance was asked for and the matvecs ended before it was met.
    products : float
        The cost more precisely, where parts of the data were multiplied by: matvecs by their share of the examples, a
        gradient as half a product, a loss as a sixth. NaN where every matvec was of all data.
    freedom : float or None
        Degrees of freedom of ``sem``, where it is not that of the samples; else None: one less than there are samples.
    """

    value: float
    sem: float | None = None
    bound: float | None = None
    samples: Array = field(default_factory=lambda: np.empty(0))
    num_matvecs: int = 0
    seed: int = -1
    method: str = ""
    converged: bool = True
    products: float = float("nan")
    freedom: float | None = None

    @property
    def error(self) -> float | None:
        """What is printed behind ``±``: the bound where there is one, else one standard error."""
        return self.bound if self.bound is not None else self.sem

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval that covers the truth with probability ``level``; always, where the error is a bound.

        For a mean over probes: Student's t with R − 1 degrees of freedom, or those of ``freedom``, and on the side
        where the samples are skewed as far as t corrected for skewness reaches (Hall 1992, JRSS B 54(1), 221–228), as
        they are where one eigenvalue dominates. Coverage measured: docs/accuracy.md.

        Raises
        ------
        UsageError
            If ``level`` is not between 0 and 1, or the estimate has no error.
        """
        check_share("level", level)
        if self.bound is not None:
            return self.value - self.bound, self.value + self.bound
        if self.sem is None:
            raise UsageError(f"this estimate ({self.method}) has no error, so no interval; one probe is not enough")
        freedom = max(self.samples.size - 1, 1) if self.freedom is None else self.freedom
        quantile = float(special.stdtrit(freedom, 0.5 + level / 2))
        up, down = skewed_quantiles(self.samples, quantile)
        return self.value - down * self.sem, self.value + up * self.sem

    def reach(self, level: float = 0.95) -> float:
        """How far its interval goes from the value, on the longer side; infinite where it has no error."""
        if self.error is None:
            return float("inf")
        low, high = self.interval(level)
        return max(high - self.value, self.value - low)

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        return format_measured(self.value, self.error)

    __repr__ = __str__

    def _cost(self) -> str:
        return str(self.num_matvecs) if np.isnan(self.products) else f"{self.products:.2g}"

    def _lines(self) -> list[tuple[str, str]]:
        value = str(self) if self.converged else f"{self}   NOT CONVERGED"
        lines = [("value", value), ("method", self.method), ("matvecs", self._cost())]
        if self.sem is not None and self.bound is None:
            lines.insert(1, ("95 % interval", " … ".join(format_value(x) for x in self.interval())))
        return lines


def skewed_quantiles(samples: Array, quantile: float) -> tuple[float, float]:
    """How many standard errors the interval of a mean reaches ``(up, down)``, at least ``quantile`` each.

    Hall's cubic transformation of the studentised mean, ``g(x) = x + γx²/3 + γ²x³/27 + γ/(6R)`` with ``x = t/√R``,
    removes its first-order skewness and is monotone; its inverse at ``±quantile/√R`` gives the two reaches. The
    skewness γ is the bias-corrected one. The longer of this and the symmetric reach counts, because γ from few samples
    is itself uncertain.
    """
    count = samples.size
    spread = float(samples.std()) if count > 2 else 0.0
    if not 0 < spread < np.inf:
        return quantile, quantile
    skewness = float(np.mean(((samples - samples.mean()) / spread) ** 3)) * np.sqrt(count * (count - 1)) / (count - 2)
    if abs(skewness) < 1e-6:
        return quantile, quantile

    def inverse(t: float) -> float:
        inside = 1 + skewness * (t / np.sqrt(count) - skewness / (6 * count))
        return float(3 * np.sqrt(count) / skewness * (np.cbrt(inside) - 1))

    return max(quantile, -inverse(-quantile)), max(quantile, inverse(quantile))
