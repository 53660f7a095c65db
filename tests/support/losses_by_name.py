"""Every loss of torch.nn.functional, of the outputs of a model of about thirty parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

EXAMPLES = 6

Case = tuple[nn.Module, Callable[[Any, Any], torch.Tensor], tuple[Any, Any]]


def inputs(*shape: int, seed: int = 7) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(count: int, *shape: int) -> torch.Tensor:
    return torch.randint(count, shape, generator=torch.Generator().manual_seed(8))


def network(outputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs))


def supervised(loss: Any, target: torch.Tensor, *, outputs: int = 3, link: Any = None) -> Callable[[], Case]:
    def make() -> Case:
        model = network(outputs) if link is None else nn.Sequential(network(outputs), link)
        return model, loss, (inputs(EXAMPLES, 3), target)

    return make


class Then(nn.Module):
    """A function of torch as a layer."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: torch.Tensor) -> Any:
        return self.function(*x)


class TwoInputs(nn.Module):
    """Two images of one input, for layers and losses that compare."""

    def __init__(self, compare: Any, width: int = 3) -> None:
        super().__init__()
        self.left, self.right, self.compare = network(width), nn.Linear(3, width), compare

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.compare(self.left(x), self.right(x))


def compared(compare: Any, width: int = 3, *, outer: Any = None) -> Callable[[], Case]:
    def make() -> Case:
        loss = outer or (lambda output, _: torch.tanh(output).pow(2).mean())
        return TwoInputs(compare(), width), loss, (inputs(EXAMPLES, 3), classes(2, EXAMPLES))

    return make


def pairs(loss: Any, **options: Any) -> Callable[[], Case]:
    """A loss of two outputs and a sign."""

    def make() -> Case:
        signs = 2.0 * classes(2, EXAMPLES) - 1
        return (
            TwoInputs(Then(lambda a, b: torch.stack([a, b], 1)), options.get("width", 3)),
            lambda output, y: loss(output[:, 0].squeeze(-1), output[:, 1].squeeze(-1), y),
            (inputs(EXAMPLES, 3), signs.double()),
        )

    return make


def ctc() -> Case:
    """Time first, as it asks for; a batch of three sequences."""

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        logits = output.reshape(len(output), 4, 3).transpose(0, 1).log_softmax(-1)
        return F.ctc_loss(logits, target, torch.full((len(output),), 4), torch.full((len(output),), 2))

    return network(12), loss, (inputs(EXAMPLES, 3), 1 + classes(2, EXAMPLES, 2))


def bce(weighted: bool) -> Any:
    weight = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    return lambda o, t: F.binary_cross_entropy_with_logits(o, t, pos_weight=weight if weighted else None)


REAL, SHARES = inputs(EXAMPLES, 3, seed=9), inputs(EXAMPLES, 3, seed=9).softmax(1)
BITS, LABEL = classes(2, EXAMPLES, 3).double(), classes(3, EXAMPLES)
REDUCTIONS = ("mean", "sum", "none")


def reduced(loss: Any, reduction: str, **options: Any) -> Any:
    return lambda o, t: loss(o, t, reduction=reduction, **options).mean()


LOSSES: dict[str, Callable[[], Case]] = {
    **{f"mse_loss {r}": supervised(reduced(F.mse_loss, r), REAL) for r in REDUCTIONS},
    **{f"huber_loss {r}": supervised(reduced(F.huber_loss, r), REAL) for r in REDUCTIONS},
    **{f"smooth_l1_loss {r}": supervised(reduced(F.smooth_l1_loss, r), REAL) for r in REDUCTIONS},
    **{f"l1_loss {r}": supervised(reduced(F.l1_loss, r), REAL) for r in REDUCTIONS},
    "mse_loss weight": supervised(lambda o, t: F.mse_loss(o, t, weight=REAL.exp()[: len(o)]), REAL),
    "cross_entropy": supervised(F.cross_entropy, LABEL),
    "cross_entropy smoothed": supervised(lambda o, t: F.cross_entropy(o, t, label_smoothing=0.1), LABEL),
    "cross_entropy shares": supervised(F.cross_entropy, SHARES),
    "nll_loss": supervised(F.nll_loss, LABEL, link=nn.LogSoftmax(1)),
    "binary_cross_entropy": supervised(F.binary_cross_entropy, BITS, link=nn.Sigmoid()),
    "binary_cross_entropy_with_logits": supervised(bce(False), BITS),
    "binary_cross_entropy_with_logits weight": supervised(bce(True), BITS),
    "kl_div": supervised(lambda o, t: F.kl_div(o, t, reduction="batchmean"), SHARES, link=nn.LogSoftmax(1)),
    "kl_div log": supervised(lambda o, t: F.kl_div(o, t, log_target=True), SHARES.log(), link=nn.LogSoftmax(1)),
    "poisson_nll_loss": supervised(F.poisson_nll_loss, BITS),
    "poisson_nll_loss full": supervised(lambda o, t: F.poisson_nll_loss(o, t, full=True), BITS + 2),
    "gaussian_nll_loss": supervised(
        lambda o, t: F.gaussian_nll_loss(o[:, :1], t, o[:, 1:].exp()), REAL[:, :1], outputs=2
    ),
    "hinge_embedding_loss": supervised(F.hinge_embedding_loss, 2 * BITS - 1),
    "soft_margin_loss": supervised(F.soft_margin_loss, 2 * BITS - 1),
    "multi_margin_loss": supervised(F.multi_margin_loss, LABEL),
    "multi_margin_loss squared": supervised(lambda o, t: F.multi_margin_loss(o, t, p=2), LABEL),
    "multilabel_margin_loss": supervised(F.multilabel_margin_loss, torch.tensor([[0, -1, 0], [2, 1, -1]] * 3)),
    "multilabel_soft_margin_loss": supervised(F.multilabel_soft_margin_loss, BITS),
    "margin_ranking_loss": pairs(F.margin_ranking_loss, width=1),
    "cosine_embedding_loss": pairs(F.cosine_embedding_loss),
    "triplet_margin_loss": pairs(lambda a, b, y: F.triplet_margin_loss(a, b, a.roll(1, 1) * y[:, None])),
    "triplet_margin_with_distance_loss": pairs(
        lambda a, b, y: F.triplet_margin_with_distance_loss(a, b, a.roll(1, 1) * y[:, None])
    ),
    "ctc_loss": ctc,
    "linear_cross_entropy": supervised(lambda o, t: F.linear_cross_entropy(o, REAL[:4], t), LABEL),
}
