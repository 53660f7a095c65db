"""The same question in another form: on other data, in another dtype, of fewer parameters, with other constants."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from landscape.device import place_of_float64
from landscape.objective import chunks, sharing
from landscape.objective.batches import Batches, Weight, check_chunk
from landscape.objective.losses import LossModule
from landscape.params import ParamLayout

Vector = Tensor | np.ndarray


class Variants:
    """What an objective can be made into; each is a shallow copy, and the first stays as it was."""

    module: LossModule
    layout: ParamLayout
    batches: Batches
    mode: str
    dtype: torch.dtype
    device: torch.device
    chunk: int | None
    lifted: bool
    interacting: bool
    drawn_from: int
    few: int
    _losses_seen: list[float] | None
    _weight: Weight | None
    _held: dict[str, Tensor]
    _resolution: float | None
    _is_shared: bool

    @property
    def num_examples(self) -> int:
        """N."""
        return self.batches.num_examples

    @property
    def can_pick(self) -> bool:
        """Whether single examples can be taken from the data, each with the same loss by itself as in a batch."""
        return self.batches.joined is not None and not self.interacting and self.mode == "eval"

    def point(self, theta: Vector | None = None) -> Tensor:
        """A vector (P,) in this dtype, on this device."""
        raise NotImplementedError

    def _prepare(self) -> None:
        raise NotImplementedError

    def with_dtype(self, dtype: torch.dtype, *, lift: bool = False) -> Self:
        """The same question asked in another floating-point type; float64 on the CPU where the device has none.

        With ``lift``, a model that casts to a lower precision by itself computes in float64 all through.
        """
        twin = copy.copy(self)
        twin.dtype, twin.lifted, twin._resolution = dtype, lift, None
        if dtype == torch.float64:
            twin.device = place_of_float64(self.device)
        finer = dtype == torch.float64 != self.dtype
        if finer and twin.chunk and self.mode == "eval" and self.batches.joined is not None:
            twin.chunk = chunks.in_double(twin.chunk, self.module.model, self.device)
        twin._prepare()
        return twin

    def restricted(self, params: str | Sequence[str], *, at: Vector | None = None) -> Self:
        """The same loss as a function of fewer parameters; the others stay where ``at``, or the model, has them."""
        twin = copy.copy(self)
        twin.layout = ParamLayout.of(self.module.model, self.layout.select(params))
        return twin if at is None else twin.with_constants(self.layout.unflatten(self.point(at)))

    def with_constants(self, named: Mapping[str, Tensor]) -> Self:
        """The same loss with these frozen parameters and buffers, by their names in the model, in place of its own."""
        twin = copy.copy(self)
        twin._held = {**self._held, **named}
        return twin

    def rechunked(self, chunk: int) -> Self:
        """The same question evaluated ``chunk`` examples at a time; the value changes by rounding alone."""
        check_chunk(chunk)
        twin = copy.copy(self)
        twin.chunk = None if self.batches.joined is None else chunk
        twin._prepare()
        return twin

    def in_pieces(self, sizes: Sequence[int]) -> Self:
        """The same question evaluated in pieces of these sizes, which sum to N, where data join; else as it is."""
        if self.batches.joined is None:
            return self
        twin = copy.copy(self)
        twin.batches, twin.chunk = self.batches.in_pieces(sizes), None
        twin._prepare()
        return twin

    def on_batches(self, batches: list[Any]) -> Self:
        """The same loss on other data, unchecked."""
        return self._on(batches, self.chunk)

    def at_once(self, batch: Any) -> Self:
        """The same loss on a batch in one piece, whatever the chunks are."""
        return self._on([batch], None)

    def _on(self, batches: list[Any], chunk: int | None) -> Self:
        twin = copy.copy(self)
        twin._is_shared = False  # few examples, or for somebody who wants all of them: whole on every rank
        twin.batches = Batches(batches, weight=self._weight)
        if self.interacting:
            twin.batches = twin.batches.kept_whole()
        twin.drawn_from = twin.batches.num_examples
        twin.chunk = None if twin.batches.joined is None else chunk
        twin._prepare()
        return twin

    def subset(self, indices: Any) -> Self:
        """The same loss on the examples with these numbers (M,), in this order, unchecked.

        Raises
        ------
        ObjectiveError
            If the batches do not join to one tensor per input, or stay as they came: single examples cannot be picked.
        UsageError
            If there is no index, or one is outside 0 … N − 1.
        """
        picked = self.batches.pick(indices)
        part = self.on_batches([picked])
        part.drawn_from = self.drawn_from
        part._is_shared = self._is_shared and sharing.is_worth_it(part.num_examples)
        return part.rechunked(chunks.even(part.num_examples, part.chunk)) if part.chunk else part

    def on_first(self, count: int) -> Self:
        """The same loss on the first ``count`` examples, or on the first batch where it cannot be cut.

        Those without weight, which are no part of the loss, are passed over.
        """
        return self.on_batches([self.first_batch(count)])

    def first_batch(self, count: int) -> Any:
        """The data of :meth:`on_first`."""
        return self.batches.first(count, self._weight)
