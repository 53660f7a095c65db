"""One step of training, seen from the loss: what it did, what its slope and curvature promised."""

from __future__ import annotations

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
        ``‖∇L(θ + d) − g‖/‖d‖``: the Lipschitz constant of the gradient that this step has met.
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

    @property
    def change(self) -> float:
        """``L(θ + d) − L(θ)``."""
        return self.loss_after - self.loss

    @property
    def predicted(self) -> float:
        """``gᵀd + ½dᵀHd``: the change by the quadratic model."""
        return self.slope + 0.5 * self.curvature * self.step_norm**2

    @property
    def descent_bound(self) -> float:
        """``gᵀd + ½ℓ‖d‖²`` with ℓ the local smoothness: what the descent lemma allows the change to be at most."""
        return self.slope + 0.5 * self.smoothness * self.step_norm**2

    @property
    def within_descent_bound(self) -> bool:
        """Whether the change keeps to the descent lemma with the smoothness met at the end of the step."""
        return self.change <= self.descent_bound + self.rounding

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
            (
                "descent lemma",
                f"allows {format_value(self.descent_bound)}: {'kept' if self.within_descent_bound else 'BROKEN'}",
            ),
            ("tangent", "below the loss, as if convex" if self.is_convex else "above the loss: not convex here"),
            ("curvature", f"{format_value(self.curvature)} at θ, {format_value(self.mean_curvature)} along the step"),
            ("smoothness", format_value(self.smoothness)),
            ("cos(step, −g)", format_value(self.alignment)),
        ]
