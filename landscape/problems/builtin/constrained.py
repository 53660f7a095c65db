"""(x − c)² over x ≥ 0: the constraint left out, built into the variable, or paid for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from landscape.checks import check_choice, check_count, check_not_negative, check_positive, check_seed
from landscape.problems.base import Examples, Problem
from landscape.problems.recipe import Recipe

METHODS = ("none", "square", "penalty")


class Variable(nn.Module):
    """One number u; the output is x = u, or x = u² ≥ 0."""

    def __init__(self, start: float, *, squared: bool) -> None:
        super().__init__()
        self._squared = squared
        self.u = nn.Parameter(torch.tensor([start]))

    @property
    def x(self) -> Tensor:
        """The variable of the problem, (1,)."""
        return self.u.square() if self._squared else self.u

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (N, 1), of which only the number counts → x for each of them, (N, 1)."""
        return self.x.expand(len(rows), 1)


def constrained(
    *,
    c: float = 2.0,
    method: str = "none",
    penalty: float = 10.0,
    noise: float = 0.0,
    num_examples: int = 32,
    start: float = 1.0,
    data_seed: int = 0,
) -> Problem:
    """Minimise the mean of ``(x − cᵢ)²`` subject to x ≥ 0: the solution is max(c, 0), without the constraint c.

    At c = 2 the constraint is inactive, at c = −2 active. The cᵢ are c, with errors of standard deviation ``noise``
    that sum to zero.

    Parameters
    ----------
    c : float
    method : {"none", "square", "penalty"}
        Nothing is done about it; x = u² (at c < 0 the minimum u = 0 is approached, and is flat at c = 0); ``penalty`` ·
        min(x, 0)² is added, whose minimum at c < 0 is ``c/(1 + penalty)``: the larger the penalty the nearer to 0, and
        the worse conditioned.
    start : float
        x of a fresh model is about here, with a spread by seed.
    """
    check_choice("method", method, METHODS)
    check_count("num_examples", num_examples)
    check_seed(data_seed, name="data_seed")
    check_positive("penalty", penalty)
    check_not_negative("noise", noise)
    check_positive("start", start, hint="an admissible start")
    generator = torch.Generator().manual_seed(data_seed)
    rows = torch.zeros(num_examples, 1)

    def draw() -> Examples:
        errors = noise * torch.randn(num_examples, 1, generator=generator)
        return rows, c + errors - errors.mean()

    return Problem(
        build=_builder(start, squared=method == "square"),
        loss_fn=lambda x, ci: (x - ci).square().mean(),
        loss_name="(x − c)²",
        train=draw(),
        test=draw(),
        regularizer=partial(_penalty, penalty) if method == "penalty" else None,
        recipe=Recipe("gd", batch_size=8, epochs=50, full_batch_epochs=100, learning_rates={"gd": 0.02, "sgd": 0.02}),
    )


def _penalty(penalty: float, model: nn.Module) -> Tensor:
    assert isinstance(model, Variable)
    return penalty * model.x.clamp(max=0.0).square().sum()


def _builder(start: float, *, squared: bool) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        x = start * float(torch.exp(0.3 * torch.randn(())))
        return Variable(x**0.5 if squared else x, squared=squared)

    return build
