"""One step of training, seen from the loss: what it did, what its slope and curvature promised."""

from __future__ import annotations

import math
from dataclasses import dataclass

from landscape.results.base import Record
from landscape.rounding import format_measured, format_value


@dataclass(frozen=True, eq=False, repr=False)
class StepReport(Record):
    """A step d from θ to θ + d on the loss over all data; g is the gradient at θ.

    Attributes
    ----------
    loss, loss_after : float
    rounding : float
        How far ``change`` may be off because losses are rounded.
    grad_norm, step_norm : float
        ``‖g‖`` and ``‖d‖``.
    slope : float
        ``gᵀd``.
    curvature : float
        ``dᵀHd/‖d‖²`` at θ.
    mean_curvature : float
        ``(∇L(θ + d) − g)ᵀd/‖d‖²``, the curvature in the step's direction, averaged along it; never negative where
        the loss is convex.
    smoothness : float
        ``‖∇L(θ + d) − g‖/‖d‖``: the Lipschitz constant of the gradient that this step has met. It comes after the step
        and cannot judge it: with it the descent lemma is the Cauchy–Schwarz inequality, kept by a step straight uphill.
    known_smoothness : float or None
        ℓ, known before the step: λ_max at θ, or the largest smoothness that earlier steps met. It judges the step.
    """

    loss: float
    loss_after: float
    rounding: float
    grad_norm: float
    step_norm: float
    slope: float
    curvature: float
    mean_curvature: float
    smoothness: float
    known_smoothness: float | None = None

    @property
    def change(self) -> float:
        """``L(θ + d) − L(θ)``."""
        return self.loss_after - self.loss

    @property
    def predicted(self) -> float:
        """``gᵀd + ½dᵀHd``: the change by the quadratic model."""
        return self.slope + 0.5 * self.curvature * self.step_norm**2

    @property
    def decrease_ratio(self) -> float:
        """Observed ÷ predicted change, by the quadratic model; NaN where that predicts none."""
        return self.change / self.predicted if self.predicted else math.nan

    @property
    def step_size(self) -> float:
        """``η = ‖d‖²/(−gᵀd)``, of the gradient step of equal length and slope; ∞ for a step that does not descend."""
        return self.step_norm**2 / -self.slope if self.slope < 0 else math.inf

    @property
    def step_share(self) -> float | None:
        """``η ÷ 2/ℓ``: below 1 the descent lemma promises a decrease; None where no ℓ was known."""
        return None if self.known_smoothness is None else self.step_size * max(self.known_smoothness, 0.0) / 2

    @property
    def descent_bound(self) -> float | None:
        """``gᵀd + ½ℓ‖d‖²``: the change that the descent lemma allows at most, below 0 where η < 2/ℓ; None without ℓ."""
        return None if self.known_smoothness is None else self.slope + 0.5 * self.known_smoothness * self.step_norm**2

    @property
    def promises_descent(self) -> bool | None:
        """Whether the lemma promises that this step descends: η < 2/ℓ; None where no ℓ was known."""
        return None if self.descent_bound is None else self.descent_bound < 0

    @property
    def within_descent_bound(self) -> bool | None:
        """Whether the loss fell as the descent lemma promises, by ``η(1 − ηℓ/2)‖g‖²`` or more for a gradient step.

        False where ℓ promises no descent, as of a step uphill or one beyond 2/ℓ, and where the curvature grew so much
        on the way that the promise was not kept. None where no ℓ was known before the step.
        """
        bound = self.descent_bound
        return None if bound is None else bound < 0 and self.change <= bound + self.rounding

    @property
    def is_convex(self) -> bool:
        """Whether the loss lies above its tangent, as a convex one must: ``change ≥ gᵀd``."""
        return self.change >= self.slope - self.rounding

    @property
    def alignment(self) -> float:
        """Cosine between the step and the negative gradient over all data; NaN for a step or gradient of length 0."""
        lengths = self.grad_norm * self.step_norm
        return -self.slope / lengths if lengths > 0 else float("nan")

    def _lines(self) -> list[tuple[str, str]]:
        return [
            ("change", format_measured(self.change, self.rounding)),
            ("predicted", f"{format_value(self.predicted)} by slope and curvature"),
            ("observed ÷ predicted", format_value(self.decrease_ratio)),
            ("descent lemma", self._verdict()),
            ("tangent", "below the loss, as if convex" if self.is_convex else "above the loss: not convex here"),
            ("curvature", f"{format_value(self.curvature)} at θ, {format_value(self.mean_curvature)} along the step"),
            ("smoothness", format_value(self.smoothness)),
            ("cos(step, −g)", format_value(self.alignment)),
        ]

    def _verdict(self) -> str:
        """What the descent lemma says of the step."""
        bound = self.descent_bound
        if bound is None:
            return "not judged: no smoothness was known before the step"
        if bound >= 0:
            return "promises no descent: " + ("η ≥ 2/ℓ" if self.slope < 0 else "the step goes uphill")
        return f"promises {format_value(bound)}: {'kept' if self.within_descent_bound else 'BROKEN'}"
