"""Model + loss + data as one fixed question: L(θ), ∇L(θ) and ∇²L(θ)v."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from landscape import distributed, hvp
from landscape.checks import check_choice
from landscape.device import has_float64
from landscape.errors import ObjectiveError, UsageError
from landscape.objective import chunks, derivatives, losses, preflight, shards, sharing
from landscape.objective.batches import Batches, Weight, check_chunk, weigh
from landscape.objective.frameworks import FromFrameworks
from landscape.objective.functional import Parts
from landscape.objective.options import Options
from landscape.objective.sharing import Own, Placed
from landscape.objective.variants import Variants, Vector
from landscape.params import ParamLayout
from landscape.progress import say


class Objective(FromFrameworks, Variants):
    r"""The loss of a model on a fixed set of examples, as a function of its parameters.

    .. math:: L(\theta) = \sum_b n_b L_b(\theta) \Big/ \sum_b n_b

    with :math:`L_b` the mean loss of chunk b and :math:`n_b` its number of examples (or what ``weight`` counts). The
    data are read once, here. The model is borrowed for each evaluation and left exactly as it was.

    Parameters
    ----------
    model : nn.Module
        One whose parameters are in shards is gathered into a plain copy, by all ranks.
    loss_fn : callable
        ``loss_fn(output, target) -> scalar``, a mean over examples.
    data : (inputs, targets), DataLoader, Dataset or list of batches
        Inputs that are a tuple are passed as positional, a mapping as keyword arguments. Batches may be of types of
        their own; the loss is handed that type, with tensors on the device and in the dtype.
    params : str or sequence of str
        Globs of the parameters that make up θ, e.g. ``"fc*.weight"``; the others stay fixed.
    weight : callable, optional
        ``weight(batch) -> float``, where the loss is a mean over something other than examples, such as the tokens that
        count; asked for where batches do not say how many examples they have.
    interacting : bool
        The loss is over pairs or groups of the examples of a batch (contrastive losses, statistics of a batch): batches
        stay as they come, everywhere, and nothing cuts them. L(θ) is still their mean, weighted by examples.
    likelihood : {"categorical", "gaussian", "bernoulli"}, optional
        Of what the loss is the negative logarithm, for :class:`landscape.FisherOperator`; known for losses of torch.
    mode : {"eval", "train"}
        ``"train"`` asks for batch statistics over the whole data as one batch.
    chunk : "auto", int or None
        Examples evaluated at a time; None keeps the batches as they come. Never changes the value beyond rounding:
        where examples interact, or ``check=False`` and the loss is seen to be no mean over them, batches stay as
        they come.
    dtype : torch.dtype, optional
        float32 or float64; left out, the model's own (float32 for half precision).
    device : optional
        Left out, the model's own.
    check : bool
        Examine the question before answering it (:mod:`landscape.objective.preflight`): the loss once on all examples,
        and on 12 of them, or 4 where an example is large, less than 12 gradients' worth of work.

    Attributes
    ----------
    layout : ParamLayout
        How θ is made of tensors; ``layout.frozen`` lists what is outside.
    module, batches : LossModule, Batches
        Model and loss as one module, borrowed; the data as they were read.
    drawn_from : int
        Examples of the whole data, where this is a subset of them.
    interacting : bool
        Whether batches stay as they came, asked for or seen to be needed.
    total_weight : float
        What the mean of the loss runs over: examples, or what ``weight`` counts.
    few : int
        Examples that things are tried on: 12, or as few as 4 where an example is large.
    unused, linear : tuple of str
        Tensors of θ the loss does not depend on, or depends on linearly by themselves: their rows of the Hessian are
        zero. Known after ``check=True``.

    Raises
    ------
    ObjectiveError
        If the question is ill-posed: the message says what was seen, likely causes, and the way out.
    UsageError
        If an argument is outside what is accepted.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> x, y = torch.eye(2), torch.ones(2, 1)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (x, y))
    >>> objective.hvp(torch.tensor([1.0, 0.0]))
    tensor([1., 0.])
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: losses.LossFn,
        data: Any,
        *,
        params: str | Sequence[str] = "*",
        weight: Weight | None = None,
        interacting: bool = False,
        likelihood: str | None = None,
        mode: str = "eval",
        chunk: int | str | None = "auto",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        check: bool = True,
    ) -> None:
        module = losses.SupervisedLoss(losses.plain_module(model, device), loss_fn)
        options = Options(
            params=params, weight=weight, interacting=interacting, likelihood=likelihood, mode=mode, chunk=chunk,
            dtype=dtype, device=device, check=check,
        )  # fmt: skip
        self._build(module, losses.name_of(loss_fn), data, options)

    @classmethod
    def from_loss(
        cls, model: nn.Module, loss: Callable[[Any, Any], Tensor], data: Any, **options: Unpack[Options]
    ) -> Objective:
        """Objective of ``loss(model, batch) -> scalar``, for everything that is not ``loss_fn(model(x), y)``.

        ``loss`` is a mean over the examples of a batch, or over what ``weight(batch)`` counts. The keyword arguments
        (params, weight, interacting, likelihood, mode, chunk, dtype, device, check) are those of :class:`Objective`.
        """
        self, plain = cls.__new__(cls), losses.plain_module(model, options.get("device"))
        self._build(losses.OwnLoss(plain, loss), losses.name_of(loss), data, options)
        return self

    @classmethod
    def from_outputs(
        cls,
        model: nn.Module,
        outputs: Callable[[Any, Any], Any],
        loss: Callable[[Any, Any], Tensor],
        data: Any,
        **options: Unpack[Options],
    ) -> Objective:
        """Objective of ``loss(outputs(model, batch), batch) -> scalar``, for any batches.

        As :meth:`from_loss`, but it says where the model ends and the loss begins, so that Gauss-Newton and Fisher
        matrices, and losses of normalised logits, can be had. ``outputs`` gives a tensor, or a nest of them.
        """
        self = cls.__new__(cls)
        module = losses.LossOfOutputs(losses.plain_module(model, options.get("device")), outputs, loss)
        self._build(module, losses.name_of(loss), data, options)
        return self

    def _build(self, module: losses.LossModule, loss_name: str, data: Any, options: Options) -> None:
        if unknown := set(options) - set(Options.__annotations__):
            raise TypeError(f"unexpected options {sorted(unknown)}; there are {', '.join(Options.__annotations__)}")
        mode, chunk, dtype = options.get("mode", "eval"), options.get("chunk", "auto"), options.get("dtype")
        check_choice("mode", mode, ("eval", "train"))
        check_chunk(chunk)
        self.module, self.loss_name, self.mode = module, loss_name, mode
        self._weight = options.get("weight")
        if options.get("likelihood") is not None:
            module.likelihood = options["likelihood"]
        self._held: dict[str, Tensor] = {}
        self.lifted = self._is_shared = False
        self._own: Own | None = None
        self._resolution: float | None = None
        self.few = chunks.FEW
        try:
            self.layout = ParamLayout.of(module.model, options.get("params", "*"))
        except UsageError as error:
            raise ObjectiveError(str(error)) from None
        first = next(p for p in module.model.parameters() if p.is_floating_point())
        self.device = torch.device(options.get("device") or first.device)
        self.dtype = dtype or (first.dtype if first.dtype in (torch.float32, torch.float64) else torch.float32)
        check_choice("dtype", self.dtype, (torch.float32, torch.float64))
        if self.dtype == torch.float64 and not has_float64(self.device):
            raise ObjectiveError(f"{self.device} has no float64; take dtype=torch.float32, or device='cpu'")
        say("reading the data")
        self.batches = data if isinstance(data, Batches) else Batches(data, weight=self._weight)
        self.drawn_from = self.batches.num_examples
        self.interacting = bool(options.get("interacting", False))
        self.chunk: int | None = None
        self.unused: tuple[str, ...] = ()
        self.linear: tuple[str, ...] = ()
        self._copies = False
        with preflight.explained(self):
            say("trying the loss on a few examples")
            scale = chunks.size_up(self)
            self._copies, self.few = scale.writes, scale.few
            self._settle_chunks(chunk, scale, check=options.get("check", True))
            if options.get("check", True):
                self.unused, self.linear = preflight.examine(self)

    def _settle_chunks(self, chunk: int | str | None, scale: chunks.Scale, *, check: bool) -> None:
        """Whether and how the data are cut; without a check, only if a mean is seen on the first examples."""
        if not self.interacting and not check:
            self.interacting = preflight.not_a_mean(self) is not None
        if self.interacting:
            self.batches = self.batches.kept_whole()
        joined = self.batches.joined is not None
        if self.mode == "train" and chunk == "auto" and joined:
            self.chunk = self.num_examples
        elif chunk != "auto":
            self.chunk = int(chunk) if chunk is not None and joined else None
        elif joined:
            with preflight.cuts_tried(self):
                self.chunk = chunks.automatic(self, scale)
        self._is_shared = distributed.current() is not None
        self._prepare()
        sharing.check_alike(self)

    def _prepare(self) -> None:
        """Cut and cast the data for this dtype and device."""
        pieces = self.batches.cut(self.chunk)
        weights = [self.weigh(piece) for piece in pieces]
        if min(weights) < 0 or sum(weights) <= 0:
            raise ObjectiveError(f"weight(batch) gave {min(weights):g}; it must count what the mean runs over")
        group = distributed.current() if self._is_shared else None
        counted = [piece for piece, w in zip(pieces, weights, strict=True) if w > 0]
        self._chunks = Placed(counted, self.dtype, self.device, at_once=group is None)
        self.total_weight = sum(weights)
        self._shares = [w / self.total_weight for w in weights if w > 0]
        self._losses_seen = None
        self._own = None if group is None else sharing.own_part(self, group, counted)

    def remember(self, losses: list[float]) -> None:
        """Loss of each chunk of :meth:`own_parts` at the parameters now, for who compares, and does not rely on it."""
        if self._own is not None and self.sums is not None:
            self._own.losses_seen = losses
        else:
            self._losses_seen = losses

    def weigh(self, batch: Any) -> float:
        """What the mean of the loss runs over in a batch: its examples, or what ``weight`` counts."""
        return weigh(batch, self._weight)

    @property
    def weighs_examples(self) -> bool:
        """Whether ``weight`` was given: then examples may count differently, or not at all."""
        return self._weight is not None

    @property
    def resolution(self) -> float:
        """Relative rounding error of a Hessian-vector product: eps of the dtype, or larger, as measured on a few
        examples, where the model computes in a coarser type by itself. Costs a loss, once; then a few products."""
        if self._resolution is None:
            self._resolution = derivatives.measured_resolution(self.at_once(self.first_batch(self.few)))
        return self._resolution

    @property
    def likelihood(self) -> str | None:
        """Of what the loss is the negative logarithm, where that was said."""
        return self.module.likelihood

    @property
    def num_chunks(self) -> int:
        """How many pieces the data are evaluated in."""
        return len(self._chunks)

    @property
    def theta(self) -> Tensor:
        """The model's parameters now, flat: a copy of shape (P,). Of a model in shards, as they were gathered."""
        shards.check_unmoved(self.module.model)
        named = dict(self.module.model.named_parameters())
        with torch.inference_mode(False):
            flat = self.layout.flatten({n: t.detach() for n, t in named.items()})
            return flat.to(self.device, self.dtype, copy=True)

    def parts(self) -> Parts:
        """L as a sum over chunks, with all that is not θ held as it is now."""
        return self._parts(self._chunks, self._shares, self._losses_seen)

    def own_parts(self) -> Parts:
        """The mean loss of what this rank evaluates of the data; what is made of it is to be summed by ``sums``."""
        own = None if self.sums is None else self._own
        return self.parts() if own is None else self._parts(own.chunks, own.shares, own.losses_seen)

    @property
    def sums(self) -> distributed.Sums | None:
        """Adds up what the ranks make of their parts of the data; None where each has all of them."""
        return None if self._own is None or distributed.current() is None else self._own.sums

    def _parts(self, chunks: Sequence[Any], shares: Sequence[float], losses_seen: list[float] | None) -> Parts:
        return Parts(
            self.module, self.layout, chunks, shares, mode=self.mode, dtype=self.dtype, device=self.device,
            held=self._held, lift=self.lifted, copies=self._copies, losses_seen=losses_seen,
        )  # fmt: skip

    def loss(self, theta: Vector | None = None) -> float:
        """L(θ), summed over chunks in double precision. Costs one forward pass over the data."""
        parts, point = self.own_parts(), self.point(theta)
        if self.sums is None:
            return parts.mean(point)
        return self.sums.number(lambda: parts.mean(point), [point], "a loss")

    def gradient(self, theta: Vector | None = None) -> Tensor:
        """∇L(θ), shape (P,). Costs one gradient."""
        return self.loss_and_gradient(theta)[1]

    def loss_and_gradient(self, theta: Vector | None = None) -> tuple[float, Tensor]:
        """L(θ) and ∇L(θ) for the price of the gradient."""
        parts, point = self.own_parts(), self.point(theta)
        if self.sums is None:
            return hvp.loss_and_gradient(parts, point)
        return self.sums.with_number(lambda: hvp.loss_and_gradient(parts, point), point, [point], "a gradient")

    def hvp(self, v: Vector, theta: Vector | None = None) -> Tensor:
        """∇²L(θ)·v, shape (P,), by double backward; for many products at one θ, HessianOperator is faster."""
        fresh, direction = hvp.Fresh(self.own_parts(), self.point(theta)), self.point(v)
        return (fresh if self.sums is None else hvp.Summed(fresh, self.sums))(direction)

    def digest(self) -> str:
        """SHA-256 of the question: data, loss and its settings, mode, dtype, names in θ; not of the values of θ."""
        facts: list[Any] = [self.batches.digest(), self.loss_name, self.mode, str(self.dtype), list(self.layout.names)]
        if self._weight and self.batches.joined is None:  # where batches are joined, a mean does not depend on it
            facts.append([self.weigh(batch) for batch in self.batches.batches])
        if settings := self.module.settings():
            facts.append(settings)
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def constants_digest(self) -> str:
        """SHA-256 of what is fixed in the model besides θ: frozen parameters and buffers."""
        return self.parts().constants_digest()

    def point(self, theta: Vector | None = None) -> Tensor:
        """A vector (P,) in this dtype, on this device; left out, θ now. Refuses another shape."""
        if theta is None:
            return self.theta
        point = torch.as_tensor(theta).detach().to(self.device, self.dtype)
        if point.shape != (self.layout.size,):
            raise UsageError(f"a vector of shape {tuple(point.shape)} does not fit: θ has shape ({self.layout.size},)")
        return point

    def __repr__(self) -> str:
        coarse = self.resolution > torch.finfo(self.dtype).eps
        inside = f", coarser inside: products to {self.resolution:.1e}" if coarse else ""
        remarks = "".join(f"\n  {remark}" for remark in (*self.module.remarks, *shards.remarks(self.module.model)))
        return (
            f"Objective(P={self.layout.size}, N={self.num_examples}, loss={self.loss_name}, mode={self.mode}, "
            f"{str(self.dtype).removeprefix('torch.')} on {self.device}{inside}, {self.num_chunks} chunks){remarks}"
        )
