"""Problems whose curvature is known: a least-squares quadratic, and two wells of different width."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from landscape.checks import check_count, check_not_negative, check_positive, check_seed
from landscape.errors import UsageError
from landscape.problems.base import Examples, Problem, half_squared_error
from landscape.problems.recipe import Recipe


class Linear(nn.Module):
    """``x ↦ xᵀw``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Rows (N, P) → predictions (N, 1)."""
        return (x @ self.w)[:, None]


def quadratic(
    *,
    eigenvalues: Sequence[float] | None = None,
    dim: int = 10,
    condition: float = 100.0,
    num_examples: int = 128,
    noise: float = 0.1,
    data_seed: int = 0,
) -> Problem:
    """Least squares ``L(w) = ½ mean (xᵀw − y)²`` whose Hessian ``XᵀX/N`` has the eigenvalues asked for.

    The rows are ``X = √N·U·Λ^{1/2}·Qᵀ`` with U, Q orthonormal, so that ``XᵀX/N = QΛQᵀ`` up to float32 rounding of the
    rows; ``problem.hessian`` is ``XᵀX/N`` of the rows as they are. The labels' errors are orthogonal to the columns of
    X, so the minimum is ``noise²/2`` and minibatches disagree about where it is.

    Parameters
    ----------
    eigenvalues : sequence of float, optional
        None negative. Left out: ``dim`` values in geometric progression from 1 down to ``1/condition``.
    noise : float
        Root mean square of the labels' errors.
    """
    spectrum = _spectrum(eigenvalues, dim, condition)
    check_count("num_examples", num_examples)
    check_seed(data_seed, name="data_seed")
    check_not_negative("noise", noise)
    if num_examples <= len(spectrum):
        raise UsageError(f"num_examples={num_examples} must exceed the {len(spectrum)} eigenvalues")
    generator = torch.Generator().manual_seed(data_seed)
    rotation = _orthonormal(len(spectrum), len(spectrum), generator)
    target = torch.randn(len(spectrum), dtype=torch.float64, generator=generator)

    def rows() -> Examples:
        # One more column than needed: it is orthogonal to the rest, so it serves as the labels' error.
        basis = num_examples**0.5 * _orthonormal(num_examples, len(spectrum) + 1, generator)
        x = basis[:, :-1] * spectrum.sqrt() @ rotation.T
        return x.float(), (x @ target + noise * basis[:, -1]).float()[:, None]

    train, test = rows(), rows()
    x = train[0].double()
    return Problem(
        build=lambda: Linear(len(spectrum)),
        loss_fn=half_squared_error,
        loss_name="mse",
        train=train,
        test=test,
        hessian=x.T @ x / num_examples,
        recipe=Recipe("gd", batch_size=16, epochs=200, learning_rates={"gd": 1.0 / max(float(spectrum.max()), 1e-300)}),
    )


def _spectrum(eigenvalues: Sequence[float] | None, dim: int, condition: float) -> Tensor:
    if eigenvalues is not None:
        if len(eigenvalues) == 0 or not all(value >= 0 for value in eigenvalues):
            raise UsageError(f"eigenvalues={list(eigenvalues)!r} must be at least one number, none negative")
        return torch.tensor(sorted(eigenvalues, reverse=True), dtype=torch.float64)
    check_count("dim", dim)
    if check_positive("condition", condition) < 1:
        raise UsageError(f"condition={condition!r} must be at least 1")
    return torch.logspace(0, -1, dim, base=condition, dtype=torch.float64)


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    Q: Tensor = torch.linalg.qr(torch.randn(rows, columns, dtype=torch.float64, generator=generator))[0]
    return Q


class Position(nn.Module):
    """A point in the plane; the output is where it lies, seen from each data point."""

    def __init__(self, separation: float) -> None:
        super().__init__()
        # Starts cover both wells and the ground around them.
        self.position = nn.Parameter((torch.rand(2) - 0.5) * torch.tensor([2.0 * separation, separation]))

    def forward(self, points: Tensor) -> Tensor:
        """Points (N, 2) → offsets (N, 2)."""
        return self.position - points


def two_well(
    *,
    narrow: float = 20.0,
    wide: float = 1.0,
    separation: float = 4.0,
    noise: float = 0.2,
    num_points: int = 25,
    temperature: float = 0.05,
    data_seed: int = 0,
) -> Problem:
    """A plane with a narrow and a wide minimum, seen through noisy points: does the optimizer's noise choose?

    ``L(θ) = mean_i softmin(½·narrow·‖θ − x_i − c₁‖², ½·wide·‖θ − x_i − c₂‖²)`` with ``c₁ = (−separation/2, 0)``,
    ``c₂ = (separation/2, 0)`` and ``softmin(a, b) = −T·log(e^{−a/T} + e^{−b/T})``, T the temperature. Away from the
    ridge one branch counts: the minima lie at ``c₁ + x̄`` and ``c₂ + x̄`` with Hessians ``narrow·I`` and ``wide·I``
    and losses of half the curvature times the points' variance, so the gradient noise of a minibatch is in
    proportion to the curvature, as in networks.

    Parameters
    ----------
    noise : float
        Standard deviation of the points ``x_i`` in each coordinate. A spread as large as the narrow well fills it in.
    """
    for name, value in (("narrow", narrow), ("wide", wide), ("separation", separation), ("temperature", temperature)):
        check_positive(name, value)
    check_not_negative("noise", noise)
    check_count("num_points", num_points)
    check_seed(data_seed, name="data_seed")
    generator = torch.Generator().manual_seed(data_seed)
    centre = torch.tensor([separation / 2, 0.0])

    def loss(offset: Tensor, _: Tensor) -> Tensor:
        to = centre.to(offset)
        depths = torch.stack(
            [0.5 * narrow * (offset + to).square().sum(1), 0.5 * wide * (offset - to).square().sum(1)], dim=1
        )
        return -temperature * torch.logsumexp(-depths / temperature, dim=1).mean()

    def points() -> Examples:
        return noise * torch.randn(num_points, 2, generator=generator), torch.zeros(num_points)

    return Problem(
        build=lambda: Position(separation),
        loss_fn=loss,
        loss_name="two_well",
        train=points(),
        test=points(),
        recipe=Recipe("sgd", batch_size=4, epochs=50, learning_rates={"gd": 0.05, "sgd": 0.05}),
    )
