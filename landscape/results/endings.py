"""Why an iteration ended: each way is a member whose text says what happened and what to do."""

from __future__ import annotations

import re
from enum import Enum


class Ending(Enum):
    """How an iteration ended; records keep the text, with the numbers of their case in it.

    >>> text = Ending.OUT_OF_MATVECS.text(max_matvecs=500)
    >>> text
    'max_matvecs=500 was reached: raise it or loosen tol'
    >>> Ending.of(text), Ending.of("as an earlier version put it")
    (<Ending.OUT_OF_MATVECS>, None)
    """

    CONVERGED = "all residuals are within the tolerance"
    OUT_OF_MATVECS = "max_matvecs={max_matvecs} was reached: raise it or loosen tol"
    UNBELIEVED = (
        "max_matvecs={max_matvecs} was reached before the pairs had stayed as they are for long enough to be believed: "
        "raise it by a few dozen"
    )
    UNSEARCHED = (
        "max_matvecs={max_matvecs} was reached before further copies of these eigenvalues were looked for outside an "
        "exhausted Krylov space: raise it, or ask for blocks with block="
    )
    TIED = (
        "max_matvecs={max_matvecs} was reached with eigenvalues tied at about {low} and {high}, equally far from "
        '{shift}: power iteration cannot separate them, method="lanczos" can'
    )
    NOISE = (
        "the basis spans the whole space; what is left is the noise of the matvecs: loosen tol, or compute in float64"
    )
    INTERVAL_TOO_WIDE = (
        "max_matvecs={max_matvecs} was reached while the 95 % interval is wider than tol={tol} asks for: raise it, "
        "loosen tol, or pass eigs= of the largest eigenvalues"
    )
    AVERAGE_TOO_WIDE = (
        "{max_losses} losses over the data were made while the 95 % interval is wider than tol and atol ask for: raise "
        "max_losses or loosen them"
    )
    NO_MAXIMUM = (
        "after {evaluations} gradients the highest point found is no maximum of the ball to first order: raise steps "
        "or restarts, or take the value for the lower bound that it is"
    )
    NOT_MIXED = (
        "after {steps} steps of each chain R̂ is {rhat}, where 1.01 is wanted, and all are worth {draws} independent "
        "draws, where {wanted} are: raise steps, or localization"
    )
    MIXED = "the chains have mixed"
    CHAIN_LOST = (
        "chain {chain} left the finite numbers at step {step}: take a step_size below {step_size}, or raise "
        "localization"
    )
    STEP_TOO_LONG = (
        "step_size={step_size} is too long where the chains have come: times the sharpest curvature there it is "
        "{stability}, and from 4 on a walk is unstable: take a smaller one"
    )
    NO_MINIMUM = (
        "the loss is lower around the point than at it, which is no minimum on this scale: train on, or raise "
        "localization"
    )
    NO_RADIUS = "the loss never rises by the margin, however large σ is: take a smaller margin"
    NO_MARGIN = (
        "the loss rises by more than the margin however small σ is, or is not a number around the point: take a "
        "smaller epsilon, a larger margin, or compute in float64"
    )
    UNDEFINED = "the loss is not a number somewhere in the ball: take a smaller rho, or compute in float64"

    def text(self, **facts: object) -> str:
        """The text with the numbers of this case."""
        return self.value.format(**facts)

    @classmethod
    def of(cls, text: str) -> Ending | None:
        """The member that a stored text is of; None for a text of another version."""
        return next((member for member in cls if _pattern(member.value).fullmatch(text)), None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}>"


def _pattern(template: str) -> re.Pattern[str]:
    """What the numbers are is left open, but for their length: a text may come from a file of anyone's."""
    return re.compile(r"\S{1,24}".join(map(re.escape, re.split(r"\{\w+\}", template))))
