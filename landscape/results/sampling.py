"""How much a quantity changes with the data: its values on disjoint subsets. ``S`` subsets, ``N`` examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from landscape.checks import check_share
from landscape.results.base import Array, Record
from landscape.rounding import format_measured, format_value


@dataclass(frozen=True, eq=False, repr=False)
class SamplingSpread(Record):
    r"""One quantity on S disjoint random subsets of n examples each, beside its value on all N.

    By the central limit theorem a smooth function of a mean over examples varies like 1/√(number of examples). So the
    spread over subsets, times :math:`\sqrt{n/N}`, is the standard error of the value on all N as an estimate of what
    infinitely many examples would give.

    Attributes
    ----------
    values : (S,) array
    sems : (S,) array
        Standard error of each from its probes; 0 where the quantity is not random.
    subset_size, num_examples : int
        n and N.
    full, full_sem : float
        The value on all N and its standard error from probes.
    fresh_probes : bool
        Whether each subset had probes of its own. Only then is probe noise in the spread, and is taken out; probes
        common to all subsets shift all values together.
    seed : int
        Of the split.
    converged : bool
        Whether the quantity did, on every subset.
    """

    values: Array
    sems: Array
    subset_size: int
    num_examples: int
    full: float
    full_sem: float
    fresh_probes: bool
    seed: int
    converged: bool = True

    @property
    def mean(self) -> float:
        """Mean over subsets."""
        return float(self.values.mean())

    @property
    def spread(self) -> float:
        """Standard deviation of the values over subsets, as they are."""
        return float(self.values.std(ddof=1))

    @property
    def probe_noise(self) -> float:
        """Root mean square of the standard errors from probes, at subset size."""
        return float(np.sqrt((self.sems**2).mean()))

    @property
    def spread_from_data(self) -> float:
        """The spread without probe noise: 0 where that explains all of it."""
        noise = self.probe_noise if self.fresh_probes else 0.0
        return float(np.sqrt(max(self.spread**2 - noise**2, 0.0)))

    @property
    def sem_of_subset(self) -> float:
        """Standard error of the mean over subsets, at subset size: spread/√S."""
        return self.spread / float(np.sqrt(len(self.values)))

    @property
    def error(self) -> float:
        """Standard error of ``full`` from the choice of its N examples; S subsets know it to within 1/√(2(S − 1))."""
        return self.spread_from_data * float(np.sqrt(self.subset_size / self.num_examples))

    @property
    def shift(self) -> float:
        """Mean over subsets less the value on all N: the bias of fewer examples, which ``error`` does not hold.

        λ_max, for one, is larger on fewer examples.
        """
        return self.mean - self.full

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval around ``full`` for the value on infinitely many examples: Student's t with S − 1 degrees of
        freedom, and the noise of the probes in ``full``; the bias of finitely many examples is not in it.

        Raises
        ------
        UsageError
            If ``level`` is not between 0 and 1.
        """
        check_share("level", level)
        reach = float(special.stdtrit(len(self.values) - 1, 0.5 + level / 2)) * float(
            np.hypot(self.error, self.full_sem)
        )
        return self.full - reach, self.full + reach

    def _lines(self) -> list[tuple[str, str]]:
        low, high = self.interval()
        probes = "taken out of the error" if self.fresh_probes else "common to all subsets"
        lines = [
            ("on all examples", format_measured(self.full, self.error) + " from the choice of data"),
            ("95 % interval", f"{format_value(low)} … {format_value(high)}"),
            ("over subsets", f"{format_value(self.mean)}, spread {format_value(self.spread)}"),
            ("shift on fewer examples", format_measured(self.shift, self.sem_of_subset)),
        ]
        if self.probe_noise > 0:
            lines.append(("probe noise", f"{format_value(self.probe_noise)} per subset, {probes}"))
        size = f"{len(self.values)} disjoint subsets of {self.subset_size} of {self.num_examples} examples"
        return [*lines, ("", f"{size}, seed {self.seed}" + ("" if self.converged else "   NOT CONVERGED"))]
