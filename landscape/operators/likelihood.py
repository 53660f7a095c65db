"""Losses as negative log-likelihoods of the model's outputs: their Fisher information, and labels drawn from them."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.errors import ObjectiveError, UsageError

LIKELIHOODS = ("categorical", "gaussian", "bernoulli")
#: Of the loss's own Hessian against that of the likelihood, relative.
_AGREEMENT = {torch.float32: 1e-3, torch.float64: 1e-7}


class Likelihood(ABC):
    """What the labels are drawn from, given outputs f that are its natural parameters.

    A unit is what one label belongs to. The loss is ``Σ w_u NLL(f_u, y_u) + constant``: the weights w, of the units'
    shape, are read off the loss itself, so that masked tokens, token weights and the constant of a mean over outputs
    are all in them.
    """

    name: str

    @abstractmethod
    def information(self, f: Tensor, t: Tensor) -> Tensor:
        """Fisher information of each unit times tangents t ``(K, *f.shape)``."""

    @abstractmethod
    def spread(self, weights: Tensor, f: Tensor) -> Tensor:
        """Weights by unit to a shape that multiplies outputs."""

    @abstractmethod
    def per_unit(self, product: Tensor) -> Tensor:
        """Sum over the entries of each unit; of f's number of dimensions or with K in front."""

    @abstractmethod
    def draw(self, f: Tensor, rng: np.random.Generator, count: int) -> Tensor:
        """``count`` labels for each unit at outputs f, as :meth:`sampled` takes them. Units follow one another."""

    @abstractmethod
    def sampled(self, f: Tensor, drawn: Tensor, t: Tensor) -> Tensor:
        """``mean over labels of r rᵀ`` by unit, times tangents t ``(K, *f.shape)``; r = the gradient of NLL by f."""

    def weights(self, loss_of: Callable[[Tensor], Tensor], f: Tensor) -> Tensor:
        """w of each unit: the loss's Hessian by the outputs against this likelihood's, at outputs zero.

        There no label is certain, so nothing cancels; w does not depend on the outputs.
        """
        nought, z = torch.zeros_like(f), _normal_like(f)
        bent, known = curvature_times(loss_of, nought, z), self.information(nought, z[None])[0]
        return self.per_unit(bent * known) / self.per_unit(known * known)

    def explains(self, loss_of: Callable[[Tensor], Tensor], f: Tensor) -> bool:
        """Whether the loss has this likelihood's Hessian, at the outputs f and at zero."""
        weights = self.weights(loss_of, f)
        if not bool((weights >= 0).all()) or not bool((weights > 0).any()):
            return False
        z, eps = _normal_like(f), torch.finfo(f.dtype).eps
        for point in (f, torch.zeros_like(f)):
            seen = curvature_times(loss_of, point, z)
            expected = self.spread(weights, f) * self.information(point, z[None])[0]
            noise = 100 * eps * torch.linalg.vector_norm(self.spread(weights, f) * z)  # where every label is certain
            if not float((seen - expected).norm()) <= _AGREEMENT[f.dtype] * float(expected.norm()) + float(noise):
                return False
        return True


class Categorical(Likelihood):
    """Softmax over one dimension of the outputs; a unit is a position in the others: an example, a token, a pixel."""

    name = "categorical"

    def __init__(self, axis: int) -> None:
        self.axis = axis  # from the end, so that it holds with K columns in front too

    def information(self, f: Tensor, t: Tensor) -> Tensor:
        p = f.softmax(self.axis)
        return p * (t - (p * t).sum(self.axis, keepdim=True))

    def spread(self, weights: Tensor, f: Tensor) -> Tensor:
        return weights.unsqueeze(self.axis)

    def per_unit(self, product: Tensor) -> Tensor:
        return product.sum(self.axis)

    def draw(self, f: Tensor, rng: np.random.Generator, count: int) -> Tensor:
        p = f.detach().cpu().to(torch.float64).movedim(self.axis, -1).softmax(-1)
        heights = p.cumsum(-1)
        u = torch.from_numpy(rng.random((*p.shape[:-1], count)))
        labels = torch.searchsorted(heights, u * heights[..., -1:], right=True).clamp_max(p.shape[-1] - 1)
        return labels.to(f.device)

    def sampled(self, f: Tensor, drawn: Tensor, t: Tensor) -> Tensor:
        p, t = f.movedim(self.axis, -1).softmax(-1), t.movedim(self.axis, -1)
        labels = drawn.expand(len(t), *drawn.shape)
        along = (p * t).sum(-1, keepdim=True) - t.gather(-1, labels)  # rᵀt for r = p − e_label: (K, units, labels)
        out = p * along.sum(-1, keepdim=True)
        return (out.scatter_add(-1, labels, -along) / drawn.shape[-1]).movedim(-1, self.axis)


class _Elementwise(Likelihood):
    """Every number among the outputs is a unit, independent of the others."""

    def spread(self, weights: Tensor, f: Tensor) -> Tensor:
        return weights

    def per_unit(self, product: Tensor) -> Tensor:
        return product

    def sampled(self, f: Tensor, drawn: Tensor, t: Tensor) -> Tensor:
        return drawn * t


class Gaussian(_Elementwise):
    """Mean f and variance 1: ½(f − y)². Another variance is a constant factor of the loss, and in its weights."""

    name = "gaussian"

    def information(self, f: Tensor, t: Tensor) -> Tensor:
        return t

    def draw(self, f: Tensor, rng: np.random.Generator, count: int) -> Tensor:
        squares = rng.standard_normal((*f.shape, count)) ** 2
        return torch.from_numpy(squares.mean(-1)).to(f)


class Bernoulli(_Elementwise):
    """Logit f of the label 1."""

    name = "bernoulli"

    def information(self, f: Tensor, t: Tensor) -> Tensor:
        return f.sigmoid() * (-f).sigmoid() * t

    def draw(self, f: Tensor, rng: np.random.Generator, count: int) -> Tensor:
        logits = f.detach().cpu().to(torch.float64)[..., None]
        ones = torch.from_numpy(rng.random((*f.shape, count))) < logits.sigmoid()
        residual = torch.where(ones, -(-logits).sigmoid(), logits.sigmoid())
        return (residual**2).mean(-1).to(f)


def curvature_times(loss_of: Callable[[Tensor], Tensor], f: Tensor, z: Tensor) -> Tensor:
    """The Hessian of the loss by its outputs, at f, times z."""
    point = f.detach().clone().requires_grad_()
    with torch.enable_grad():
        loss = loss_of(point)
        if not loss.requires_grad:
            return torch.zeros_like(f)
        (slope,) = torch.autograd.grad(loss, point, create_graph=True)
    if not slope.requires_grad:
        return torch.zeros_like(f)
    (bent,) = torch.autograd.grad(slope, point, z, allow_unused=True)
    return torch.zeros_like(f) if bent is None else bent.detach()


def find_likelihood(
    name: str, loss_fn: Callable[..., Any] | None, loss_of: Callable[[Tensor], Tensor], f: Tensor
) -> Likelihood:
    """The likelihood of a name, on the outputs f of one chunk, held against the chunk's loss as a function of them.

    Raises
    ------
    ObjectiveError
        If the loss does not have the second derivative of that likelihood.
    """
    for candidate in _candidates(name, f, _unwrap(loss_fn)[0] is F.cross_entropy):
        if candidate.explains(loss_of, f):
            return candidate
    raise ObjectiveError(
        f"the loss is not the negative log-likelihood of a {name} distribution with the model's outputs "
        f"{tuple(f.shape)} for natural parameters: its second derivative by the outputs is another. A categorical one "
        "takes logits along the last dimension (or dimension 1), not probabilities or log-probabilities; bernoulli "
        "takes logits. Use GaussNewtonOperator, or kind='empirical' without a likelihood"
    )


def _candidates(name: str, f: Tensor, torch_loss: bool) -> list[Likelihood]:
    if name == "gaussian":
        return [Gaussian()]
    if name == "bernoulli":
        return [Bernoulli()]
    if torch_loss:
        return [Categorical((1 if f.ndim > 1 else 0) - f.ndim)]
    return [Categorical(axis) for axis in dict.fromkeys((-1, 1 - f.ndim)) if f.ndim > 1 or axis == -1]


def _unwrap(loss_fn: Any) -> tuple[Any, dict[str, Any]]:
    """The function of torch.nn.functional that a loss is, and its options."""
    options: dict[str, Any] = {}
    while isinstance(loss_fn, functools.partial) and not loss_fn.args:
        options = {**loss_fn.keywords, **options}
        loss_fn = loss_fn.func
    modules = {
        nn.CrossEntropyLoss: F.cross_entropy,
        nn.MSELoss: F.mse_loss,
        nn.BCEWithLogitsLoss: F.binary_cross_entropy_with_logits,
    }
    if type(loss_fn) in modules:
        options = {k: getattr(loss_fn, k, None) for k in ("weight", "pos_weight")}
        loss_fn = modules[type(loss_fn)]
    return loss_fn, options


def recognise(loss_fn: Any) -> str | None:
    """The likelihood of a loss of torch; None for any other loss.

    Raises
    ------
    UsageError
        If the loss has class weights, under which it is no likelihood.
    """
    function = _unwrap(loss_fn)[0]
    names = {F.cross_entropy: "categorical", F.mse_loss: "gaussian", F.binary_cross_entropy_with_logits: "bernoulli"}
    name = next((name for known, name in names.items() if function is known), None)
    if name is not None and has_class_weights(loss_fn):
        raise UsageError(
            f"{function.__name__} with weights is no negative log-likelihood, so it has no Fisher information of its "
            "own; use GaussNewtonOperator, or leave the weights out"
        )
    return name


def has_class_weights(loss_fn: Any) -> bool:
    """Whether a loss of torch was given weights for classes or outputs."""
    options = _unwrap(loss_fn)[1]
    return any(options.get(key) is not None for key in ("weight", "pos_weight"))


def _normal_like(f: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(f.shape, generator=generator, dtype=torch.float64).to(f)
