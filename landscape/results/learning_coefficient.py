"""The local learning coefficient with what its chains did. ``C`` chains of ``T`` steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from landscape.checks import check_share
from landscape.errors import UsageError
from landscape.results.base import Array, Record
from landscape.rounding import format_measured, format_value


@dataclass(frozen=True, eq=False, repr=False)
class LearningCoefficient(Record):
    r""":math:`\hat\lambda = n\beta\,(\mathrm{E}_\beta[L] - L(\theta))`, the expectation over chains around θ.

    Attributes
    ----------
    value : float
        No unit: at a minimum that is a quadratic in all directions half the number of parameters, as far as γ lets
        them move; less at a degenerate one.
    error : float or None
        Standard error of the mean over the draws that were kept, by their effective number; None where a chain left the
        finite numbers. It says nothing of what the length of the steps does.
    rises : (C, T) array
        L − L(θ) at each step of each chain, in the order of walking.
    num_kept : int
        Steps of each chain that the mean is over: the last ones.
    loss : float
        L(θ).
    num_examples : int
        n.
    inverse_temperature : float
        β.
    localization : float
        γ.
    step_size : float
        ε.
    stability : float
        ε times the sharpest curvature of ``nβL + γ/2‖w − θ‖²`` where the chains ended: about 1, unstable from 4 on.
    batch_size : int
        Examples of a step; n where all were.
    rhat, effective_size : float
        Of the draws kept: how much the chains differ, and how many independent draws they are worth.
    converged : bool
        Whether the chains have mixed, and θ is lower than what is around it; ``reason`` says which not, and what to do.
    num_gradients : float
        Cost, in gradients over all data.
    """

    value: float
    error: float | None
    rises: Array
    num_kept: int
    loss: float
    num_examples: int
    inverse_temperature: float
    localization: float
    step_size: float
    stability: float
    batch_size: int
    rhat: float
    effective_size: float
    converged: bool
    reason: str
    num_gradients: float
    seed: int
    method: str = ""

    @property
    def kept(self) -> Array:
        """(C, K): the rises that the mean is over."""
        return self.rises[:, self.rises.shape[1] - self.num_kept :]

    @property
    def per_chain(self) -> Array:
        """(C,): the coefficient by each chain alone."""
        values: Array = self.num_examples * self.inverse_temperature * self.kept.mean(axis=1)
        return values

    def __float__(self) -> float:
        return float(self.value)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Where the value of endless chains lies, by Student's t with one degree of freedom less than effective draws.

        Raises
        ------
        UsageError
            If ``level`` is not between 0 and 1, or there is no error.
        """
        check_share("level", level)
        if self.error is None or not math.isfinite(self.error):
            raise UsageError(f"this learning coefficient has no error, so no interval: {self.reason}")
        quantile = float(special.stdtrit(max(self.effective_size - 1, 1.0), 0.5 + level / 2))
        return self.value - quantile * self.error, self.value + quantile * self.error

    def _lines(self) -> list[tuple[str, str]]:
        chains, steps = self.rises.shape
        how = f"{chains} chains of {steps} steps, the last {self.num_kept} kept"
        mixing = f"R̂ {self.rhat:.3f}, {self.effective_size:.0f} effective draws"
        settings = (
            f"n = {self.num_examples:,}, β = {format_value(self.inverse_temperature)}, "
            f"γ = {format_value(self.localization)}, ε = {format_value(self.step_size)}"
        )
        lines = [
            ("learning coefficient", format_measured(self.value, self.error)),
            ("chains", f"{how}: {mixing}"),
            ("settings", settings),
            ("cost", f"{format_value(self.num_gradients)} gradients"),
        ]
        return lines if self.converged else [*lines, ("", f"NOT CONVERGED: {self.reason}")]
