"""A small generative adversarial network: a game of two losses, and the eigenvalues of its Jacobian, no Hessian."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional

from landscape.checks import check_choice, check_count, check_not_negative, check_positive, check_seed
from landscape.problems.base import Problem
from landscape.problems.recipe import Recipe

KINDS = ("ring", "dirac")
Tensors = Mapping[str, Tensor]
#: Columns of the Jacobian at once.
AT_ONCE = 64
REAL, TURNING, OWN, COVERED, ENERGY = (
    "smallest real part of the game's eigenvalues, relative", "antisymmetric share of its Jacobian",
    "smallest curvature of a player's own loss, relative", "share of modes covered", "energy distance to the data",
)  # fmt: skip


class Gan(nn.Module):
    """A generator and a discriminator; θ is both of them."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator

    def forward(self, noise: Tensor) -> Tensor:
        """Noise (N, d) → what is generated, (N, D)."""
        made: Tensor = self.generator(noise)
        return made


class Anywhere(nn.Module):
    """The generator of the Dirac-GAN: a point, whatever the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Parameter(1 + 0.3 * torch.randn(1))

    def forward(self, noise: Tensor) -> Tensor:
        """Noise (N, d) → (N, 1)."""
        return self.point.expand(len(noise), 1)


@dataclass(frozen=True)
class Game:
    """The losses of both players at any parameters.

    Attributes
    ----------
    penalty : float
        γ of ``½γ E‖∇_x D(x)‖²`` over the data, in the discriminator's loss.
    saturating : bool
        Whether the generator's loss is minus the discriminator's, instead of −log of what D gives.
    """

    gan: Gan
    penalty: float
    saturating: bool

    def split(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The parameters of the generator and of the discriminator."""
        return dict(self.gan.generator.named_parameters()), dict(self.gan.discriminator.named_parameters())

    def of_discriminator(self, g: Tensors, d: Tensors, noise: Tensor, real: Tensor) -> Tensor:
        """Cross-entropy of telling data from what is generated, and the penalty."""
        made = functional_call(self.gan.generator, dict(g), (noise,))
        loss = functional.softplus(-self._score(d, real)).mean() + functional.softplus(self._score(d, made)).mean()
        if not self.penalty:
            return loss
        slopes = vmap(grad(lambda x: self._score(d, x[None]).sum()))(real)
        penalised: Tensor = loss + 0.5 * self.penalty * slopes.square().sum(1).mean()
        return penalised

    def of_generator(self, g: Tensors, d: Tensors, noise: Tensor) -> Tensor:
        """What the generator lowers."""
        scores = self._score(d, functional_call(self.gan.generator, dict(g), (noise,)))
        sign = 1.0 if self.saturating else -1.0
        mean: Tensor = functional.softplus(sign * scores).mean()
        return -sign * mean

    def _score(self, d: Tensors, x: Tensor) -> Tensor:
        found: Tensor = functional_call(self.gan.discriminator, dict(d), (x,))
        return found

    def loss(self, noise: Tensor, real: Tensor) -> Tensor:
        """The sum of both, each a function of its own player alone: its gradient is the field of the game."""
        g, d = self.split()
        held_g, held_d = ({name: p.detach() for name, p in own.items()} for own in (g, d))
        return self.of_discriminator(held_g, d, noise, real) + self.of_generator(g, held_d, noise)

    def jacobian(self, noise: Tensor, real: Tensor) -> tuple[Tensor, int]:
        """(P, P) float64 derivative of the field by all parameters, and how many are the generator's."""
        g, d = ({name: p.detach().double() for name, p in own.items()} for own in self.split())
        noise, real = noise.double(), real.double()
        sizes = [p.numel() for p in (*g.values(), *d.values())]

        def field(theta: Tensor) -> Tensor:
            parts = dict(zip([*(("g", n) for n in g), *(("d", n) for n in d)], theta.split(sizes), strict=True))
            at_g = {name: parts["g", name].view_as(p) for name, p in g.items()}
            at_d = {name: parts["d", name].view_as(p) for name, p in d.items()}
            of_g = grad(lambda own: self.of_generator(own, at_d, noise))(at_g)
            of_d = grad(lambda own: self.of_discriminator(at_g, own, noise, real))(at_d)
            return torch.cat([part.reshape(-1) for part in (*of_g.values(), *of_d.values())])

        theta = torch.cat([p.reshape(-1) for p in (*g.values(), *d.values())])
        columns = vmap(lambda v: jvp(field, (theta,), (v,))[1], chunk_size=AT_ONCE)(torch.eye(len(theta)).double())
        return columns.T, sum(p.numel() for p in g.values())


def gan(
    *,
    kind: str = "ring",
    width: int = 16,
    modes: int = 4,
    spread: float = 0.1,
    penalty: float = 0.0,
    saturating: bool = False,
    num_examples: int = 128,
    data_seed: int = 0,
) -> Problem:
    r"""A generator against a discriminator, on Gaussians around a circle, or on one point of the line.

    The training loss is the sum of both losses with the other player held, so that its gradient, which any optimizer
    follows, is the vector field :math:`v = (∇_g ℓ_g, ∇_d ℓ_d)` of the game: simultaneous gradient descent is ``gd``. It
    is the gradient of no function, so there is no curvature, and an analysis refuses it. The problem measures instead,
    at the data and the noise of training, the Jacobian :math:`J = ∂v/∂θ`: the smallest real part of its eigenvalues,
    relative to the largest modulus (below 0 no step size of gradient descent converges; above,
    :math:`η < 2\,\mathrm{Re}λ/|λ|^2` for all of them does); how much of :math:`‖J‖^2` is antisymmetric; the smallest
    eigenvalue of the players' own Hessians, the blocks on the diagonal, relative to the largest (below 0 the point is
    no Nash equilibrium).

    Parameters
    ----------
    kind : {"ring", "dirac"}
        ``"dirac"``: data and generator are a point each, D(x) = ψx. At its equilibrium (0, 0) the eigenvalues are
        :math:`γ/2 ± \sqrt{γ^2/4 − 1/4}`.
    width : int
        Of two hidden layers in both networks.
    modes, spread : int, float
        Gaussians on the unit circle, and their standard deviation.
    penalty : float
        γ of :math:`½γ\,E‖∇_x D‖^2` over the data.
    saturating : bool
        Zero-sum: the generator raises the discriminator's loss.

    References
    ----------
    Mescheder, Nowozin & Geiger (2017), NeurIPS, arXiv:1705.10461, for convergence by the eigenvalues. Mescheder, Geiger
    & Nowozin (2018), ICML, arXiv:1801.04406, for the Dirac-GAN and the penalty. Székely & Rizzo (2013), J. Stat. Plan.
    Inference 143(8), for the energy distance.
    """
    check_choice("kind", kind, KINDS)
    for name, value in (("width", width), ("modes", modes), ("num_examples", num_examples)):
        check_count(name, value)
    check_positive("spread", spread)
    check_not_negative("penalty", penalty)
    check_seed(data_seed, name="data_seed")
    generator = torch.Generator().manual_seed(data_seed)
    centres = _centres(kind, modes)

    def draw() -> tuple[Tensor, Tensor]:
        noise = torch.randn(num_examples, 2, generator=generator)
        real = centres[torch.arange(num_examples) % len(centres)]
        return noise, real if kind == "dirac" else real + spread * torch.randn(real.shape, generator=generator)

    train, test = draw(), draw()
    game = partial(Game, penalty=penalty, saturating=saturating)
    return Problem(
        build=_dirac if kind == "dirac" else partial(_networks, width),
        loss=lambda model, batch: game(_as_gan(model)).loss(*batch),
        loss_name="ℓ_g + ℓ_d, each by its own player",
        train=train,
        test=test,
        interacting=False,
        measures=partial(_measures, game, train, test, None if kind == "dirac" else (centres, spread)),
        recipe=Recipe("gd", batch_size=num_examples, epochs=2000, full_batch_epochs=2000, learning_rates={"gd": 0.1}),
    )


def _centres(kind: str, modes: int) -> Tensor:
    if kind == "dirac":
        return torch.zeros(1, 1)
    angles = 2 * math.pi * torch.arange(modes) / modes
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def _dirac() -> nn.Module:
    discriminator = nn.Linear(1, 1, bias=False)
    nn.init.normal_(discriminator.weight, 1.0, 0.3)
    return Gan(Anywhere(), discriminator)


def _networks(width: int) -> nn.Module:
    def layers(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs)
        )

    return Gan(layers(2, 2), layers(2, 1))


def _as_gan(model: Any) -> Gan:
    return next(module for module in model.modules() if isinstance(module, Gan))


def _measures(
    game: Any, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], modes: Any, model: nn.Module, split: str
) -> Mapping[str, float]:
    """Of the game on the training data; of what is generated from new noise, against the test data."""
    its = _as_gan(model)
    like = next(its.parameters())
    if split == "train":
        J, count = game(its).jacobian(*(part.to(like) for part in train))
        return of_jacobian(J, count)
    if modes is None:
        return {}
    noise, real = (part.to(like) for part in test)
    with torch.no_grad():
        made = its(noise)
    centres, spread = modes
    near = (torch.cdist(made, centres.to(like)) < 4 * spread).double().mean(0)
    return {
        COVERED: float((near > 0.25 / len(centres)).double().mean()),
        ENERGY: float(
            2 * torch.cdist(made, real).mean() - torch.cdist(made, made).mean() - torch.cdist(real, real).mean()
        ),
    }


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """The mean distance."""
    return torch.cdist(a, b).mean()


def of_jacobian(J: Tensor, count: int) -> dict[str, float]:
    """What is said of a game by its Jacobian, the first ``count`` rows of which are the first player's."""
    values = torch.linalg.eigvals(J)
    skew = 0.5 * (J - J.T)
    own = [torch.linalg.eigvalsh(0.5 * (block + block.T)) for block in (J[:count, :count], J[count:, count:])]
    size = max(float(block.abs().max()) for block in own)
    return {
        REAL: float(values.real.min() / values.abs().max().clamp(min=1e-300)),
        TURNING: float(skew.square().sum() / J.square().sum().clamp(min=1e-300)),
        OWN: min(float(block.min()) for block in own) / max(size, 1e-300),
    }
