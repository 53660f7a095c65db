#!/usr/bin/env python
"""Full-batch gradient descent with heavy-ball momentum β: sharpness hovers at (2 + 2β)/η.

The network of ``edge_of_stability.py`` at one step size and two momenta, four seeds each. Without momentum the same
step size ends at 2/η = 20.
"""

from __future__ import annotations

import sys
from functools import partial

from shared.fact import Fact, main
from shared.stability import STRICTER, Case, draw_cases, judge_cases, stability_path

LR, BETAS, SEEDS = 0.1, (0.5, 0.9), (0, 1, 2, 3)
STEPS, EVERY = 2000, 50


def measure(quick: bool) -> list[Case]:
    """The paths of each momentum."""
    steps, seeds = (100, SEEDS[:1]) if quick else (STEPS, SEEDS)
    return [
        Case(
            f"β = {beta:g}, η = {LR:g}",
            (2 + 2 * beta) / LR,
            [stability_path("momentum", LR, steps=steps, every=EVERY, seed=seed, momentum=beta) for seed in seeds],
        )
        for beta in BETAS
    ]


FACT = Fact(
    name="momentum_edge_of_stability",
    claim="In full-batch gradient descent with momentum β the sharpness ends at (2 + 2β)/η and stays there.",
    source="Cohen, Kaur, Li, Kolter & Talwalkar (2021), ICLR, section 2 and appendix N",
    measure=measure,
    judge=judge_cases,
    draw=partial(
        draw_cases, steps_of="full-batch gradient descent with momentum", ylabel=r"sharpness $\lambda_{\max}$"
    ),
    changes=(STRICTER,),
)

if __name__ == "__main__":
    sys.exit(main(FACT))
