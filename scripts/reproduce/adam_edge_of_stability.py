#!/usr/bin/env python
"""Full-batch Adam: the largest eigenvalue of P⁻¹H comes to rest at 38/η.

P is what Adam divides its momentum by, bias corrections included (``landscape.preconditioner``); with averages of
gradients under β₁ = 0.9 a quadratic is stable up to (2 + 2β₁)/((1 − β₁)η). The network of ``edge_of_stability.py`` at
two step sizes, four seeds each.
"""

from __future__ import annotations

import sys
from functools import partial

from shared.fact import Fact, main
from shared.stability import STRICTER, Case, draw_cases, judge_cases, stability_path

STEP_SIZES, SEEDS = (3e-4, 1e-3), (0, 1, 2, 3)
STEPS, EVERY = 3000, 50
THRESHOLD = 38.0  # times 1/η


def measure(quick: bool) -> list[Case]:
    """The paths of each step size."""
    steps, seeds = (100, SEEDS[:1]) if quick else (STEPS, SEEDS)
    return [
        Case(
            f"η = {lr:g}",
            THRESHOLD / lr,
            [stability_path("adam", lr, steps=steps, every=EVERY, seed=seed) for seed in seeds],
        )
        for lr in STEP_SIZES
    ]


FACT = Fact(
    name="adam_edge_of_stability",
    claim="In full-batch Adam (β₁ = 0.9) the largest eigenvalue of the preconditioned Hessian comes to rest at 38/η.",
    source="Cohen et al. (2022), Adaptive gradient methods at the edge of stability, arXiv:2207.14484, fig. 1",
    measure=measure,
    judge=judge_cases,
    draw=partial(draw_cases, steps_of="full-batch Adam", ylabel=r"preconditioned sharpness $\lambda_{\max}(P^{-1}H)$"),
    changes=(STRICTER,),
)

if __name__ == "__main__":
    sys.exit(main(FACT))
