"""Products of matrices: not convex, every minimum global, and minima of every sharpness."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from landscape.checks import check_count, check_not_negative, check_positive, check_seed, check_share
from landscape.errors import UsageError
from landscape.problems.base import Examples, Problem, half_squared_error
from landscape.problems.recipe import Recipe

IMBALANCE = "imbalance of the factors"


class Factorization(nn.Module):
    """The entries of UVᵀ."""

    def __init__(self, rows: int, columns: int, rank: int, scale: float, imbalance: float = 1.0) -> None:
        super().__init__()
        self.U = nn.Parameter(scale * imbalance * torch.randn(rows, rank))
        self.V = nn.Parameter(scale / imbalance * torch.randn(columns, rank))

    def forward(self, places: Tensor) -> Tensor:
        """Places (N, 2), row and column → entries (N, 1)."""
        return (self.U[places[:, 0]] * self.V[places[:, 1]]).sum(1, keepdim=True)


def matrix_factorization(
    *,
    rows: int = 20,
    columns: int = 20,
    rank: int = 3,
    model_rank: int | None = None,
    observed: float = 0.7,
    noise: float = 0.0,
    scale: float = 0.3,
    imbalance: float = 1.0,
    data_seed: int = 0,
) -> Problem:
    r"""Complete a matrix of low rank from a share of its entries; ½ squared error. The rest of the entries is the test.

    ``(U, V)`` and ``(Uc, V/c)`` are the same matrix, so that a minimum is as sharp as one likes: curvature says nothing
    about the matrix here unless it is made invariant. Where all m × n entries are observed without noise and the
    factors have room for the rank, λ_max at a minimum is :math:`(σ_1(U)^2 + σ_1(V)^2)/mn` and the trace
    :math:`(n‖U‖^2 + m‖V‖^2)/mn`; ``problem.known`` has the least that any minimum has of them,
    :math:`2σ_1(M)/mn` and :math:`2‖M‖_*/\sqrt{mn}`.

    Parameters
    ----------
    rank, model_rank : int
        Of the true matrix, and of the factors; left out, the same.
    observed : float
        Share of the entries to train on; 1: all of them, and there is no test.
    scale : float
        Standard deviation of the entries at the start; small ones give solutions of low rank.
    imbalance : float
        U is multiplied by it at the start and V divided. Gradient flow keeps :math:`U^⊤U − V^⊤V` as it is (Du, Hu & Lee
        2018, NeurIPS); the problem measures how large that is beside :math:`U^⊤U + V^⊤V`.
    """
    for name, value in (("rows", rows), ("columns", columns), ("rank", rank)):
        check_count(name, value)
    check_seed(data_seed, name="data_seed")
    if isinstance(observed, bool) or observed != 1:
        check_share("observed", observed)
    check_not_negative("noise", noise)
    check_positive("scale", scale)
    check_positive("imbalance", imbalance)
    width = rank if model_rank is None else model_rank
    check_count("model_rank", width)
    generator = torch.Generator().manual_seed(data_seed)
    truth = torch.randn(rows, rank, generator=generator) @ torch.randn(rank, columns, generator=generator) / rank**0.5
    seen = torch.rand(rows, columns, generator=generator) < observed
    is_exact = observed == 1 and not noise and width >= min(rank, rows, columns)
    known = _flattest(truth) if is_exact else {}
    truth = truth + noise * torch.randn(rows, columns, generator=generator)

    def entries(mask: Tensor) -> Examples:
        places = mask.nonzero()
        return places, truth[places[:, 0], places[:, 1]][:, None]

    return Problem(
        build=lambda: Factorization(rows, columns, width, scale, imbalance),
        loss_fn=half_squared_error,
        loss_name="½ mse",
        train=entries(seen),
        test=None if seen.all() else entries(~seen),
        measures=_imbalance,
        known=known,
        recipe=Recipe(
            "sgd",
            batch_size=32,
            epochs=200,
            full_batch_epochs=1000,
            learning_rates={"sgd": 0.3, "gd": 1.0, "adam": 0.01},
        ),
    )


def _flattest(truth: Tensor) -> dict[str, float]:
    """The least λ_max and the least trace of all pairs of factors whose product is this matrix."""
    values, entries = torch.linalg.svdvals(truth.double()), truth.numel()
    return {"lambda_max": float(2 * values[0]) / entries, "trace": float(2 * values.sum()) / entries**0.5}


def _imbalance(model: nn.Module, split: str) -> Mapping[str, float]:
    """‖UᵀU − VᵀV‖ relative to ‖UᵀU + VᵀV‖; the same of all splits."""
    if split != "train":
        return {}
    assert isinstance(model, Factorization)
    left, right = (factor.detach().double().T @ factor.detach().double() for factor in (model.U, model.V))
    return {IMBALANCE: float((left - right).norm() / (left + right).norm())}


class DeepLinear(nn.Module):
    """``x ↦ W_L … W_1 x``."""

    def __init__(self, widths: list[int], scale: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(widths))
        for p in self.parameters():
            nn.init.normal_(p, std=scale * p.shape[1] ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (N, dim) → outputs (N, dim)."""
        for layer in self.layers:
            x = layer(x)
        return x


def deep_linear(
    *, dim: int = 10, depth: int = 3, width: int = 20, num_examples: int = 100, noise: float = 0.0, scale: float = 1.0,
    data_seed: int = 0,
) -> Problem:  # fmt: skip
    """A linear map learned by ``depth`` matrices in a row; ½ squared error over whitened inputs.

    The function is linear, the loss in the matrices is not: it has saddles and no local minima but global ones
    (Kawaguchi 2016, NeurIPS, theorem 2.3), and learns the map's singular values one after the other (Saxe, McClelland &
    Ganguli 2014, ICLR).

    Parameters
    ----------
    depth : int
        Matrices; 1 is linear regression.
    scale : float
        Of the weights at the start, in units of ``1/√fan-in``.
    """
    for name, value in (("dim", dim), ("depth", depth), ("width", width), ("num_examples", num_examples)):
        check_count(name, value)
    check_seed(data_seed, name="data_seed")
    check_not_negative("noise", noise)
    check_positive("scale", scale)
    if num_examples < dim:
        raise UsageError(f"num_examples={num_examples} must be at least dim={dim}, or the inputs cannot be whitened")
    generator = torch.Generator().manual_seed(data_seed)
    left, right = (torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0] for _ in range(2))
    truth = left @ torch.diag(torch.linspace(2.0, 0.2, dim)) @ right

    def draw() -> Examples:
        x = torch.linalg.qr(torch.randn(num_examples, dim, generator=generator))[0] * num_examples**0.5
        return x, x @ truth.T + noise * torch.randn(num_examples, dim, generator=generator)

    return Problem(
        build=lambda: DeepLinear([dim, *([width] * (depth - 1)), dim], scale),
        loss_fn=half_squared_error,
        loss_name="½ squared error",
        train=draw(),
        test=draw(),
        recipe=Recipe(
            "sgd", batch_size=20, epochs=100, full_batch_epochs=500, learning_rates={"sgd": 0.02, "gd": 0.05}
        ),
    )
