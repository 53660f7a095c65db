"""The network whose neurons are matched: run with given parameters, traced, and held against itself permuted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape.device import widened
from landscape.errors import ObjectiveError, UsageError
from landscape.geometry.alignment.axes import free
from landscape.geometry.alignment.calls import Dims, Facts, Tap
from landscape.geometry.alignment.symmetry import Symmetry, symmetry_of
from landscape.geometry.alignment.tracing import Tracing
from landscape.objective import Objective

_MODEL = "model."  # in front of the names of its constants
#: Examples on which the network is traced and tried, where they can be taken one by one.
FEW = 8
#: Largest change of an output, of the largest output, that is rounding in float64.
ROUNDING = 1e-8


class Network:
    """A model in float64 on some examples, as a function of named tensors: those of θ and the state that goes along.

    Parameters
    ----------
    objective : Objective
    state : mapping from name to tensor
        Buffers that belong to one θ, such as running statistics: permuted with it.
    constants : mapping from name to tensor
        The other buffers and frozen parameters.
    """

    def __init__(self, objective: Objective, state: Mapping[str, Tensor], constants: Mapping[str, Tensor]) -> None:
        held = {**constants, **state}
        wide = objective.with_dtype(torch.float64, lift=True).with_constants(held)
        if objective.num_chunks == 1 < wide.num_chunks:  # in float64 chunks are smaller
            wide = wide.rechunked(objective.num_examples)
        self._objective = wide
        self._parts = self._objective.parts()
        self._state = tuple(state)
        self.layout = objective.layout

    @property
    def num_chunks(self) -> int:
        return self._objective.num_chunks

    def named(self, theta: Tensor, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """θ and state as named tensors in float64."""
        found = self.layout.unflatten(self._objective.point(theta))
        with_state = {n: t.detach().to(self._objective.device) for n, t in state.items()}
        wide = {n: widened(t) if t.is_floating_point() else t for n, t in with_state.items()}
        return {n: t.contiguous() for n, t in {**found, **wide}.items()}

    def outputs(self, named: Mapping[str, Tensor], index: int = 0) -> list[Tensor]:
        """What the model gives for a chunk of the data, as a list of tensors; its loss, where that calls the model."""
        with self._ready():
            return self._run(named, index)

    def run_in(self, mode: Any, named: Mapping[str, Tensor], index: int = 0) -> list[Tensor]:
        """The same within a context that sees each operation."""
        with self._ready(), mode:
            return self._run(named, index)

    @contextmanager
    def _ready(self) -> Iterator[None]:
        with self._parts.borrowed(), torch.no_grad():
            yield

    def _run(self, named: Mapping[str, Tensor], index: int) -> list[Tensor]:
        tensors = [named[name] for name in self.layout.names]
        held = {**self._parts.held, **{f"{_MODEL}{name}": named[name] for name in self._state}}
        chunk = self._parts.chunk(index)
        if self._objective.module.is_separable:
            out = self._parts.outputs(chunk, tensors, held)
        else:
            out = self._parts.loss_on(chunk, tensors, held)
        return [leaf for leaf in pytree.tree_leaves(out) if isinstance(leaf, Tensor)]

    def trace(self, named: Mapping[str, Tensor]) -> tuple[Symmetry, Facts]:
        """The permutations of neurons that the operations of a pass allow, not proved yet, and what the pass showed.

        A model that decides by values of its data is traced on every chunk; it goes one way on each.

        Raises
        ------
        ObjectiveError
            If it decides by values that depend on θ: what it does elsewhere is not seen.
        """
        dims: dict[str, Dims] = {name: tuple(map(free, tensor.shape)) for name, tensor in named.items()}
        facts = Facts()
        index = 0
        taps: list[Tap] = []
        while index < (self.num_chunks if facts.asks_data else 1):
            chunk = [leaf for leaf in pytree.tree_leaves(self._parts.chunk(index)) if isinstance(leaf, Tensor)]
            inside = Tracing([(named[name], dims[name]) for name in named], chunk, facts)
            inside.hold_all(self.run_in(inside, named, index))
            taps = taps if index else list(facts.taps)  # of the first chunk, where activations are compared
            index += 1
        if facts.asks_theta:
            raise ObjectiveError(
                "the model reads numbers that depend on its parameters (an if, .item() or bool() on what it computed), "
                "so that one pass does not show all that it does, and which of its neurons can be exchanged is not "
                "known. Spell the choice out with torch.where"
            )
        return symmetry_of(dims, facts), replace(facts, taps=taps)

    def prove(self, symmetry: Symmetry, facts: Facts, named: Mapping[str, Tensor], *, seed: int) -> Symmetry:
        """The groups of which permutations at random change no output beyond rounding, also at another θ.

        Raises
        ------
        UsageError
            If no group is left that can be permuted.
        """
        generator = torch.Generator().manual_seed(seed)
        points = [shaken(named, generator), dict(named)]
        points = [point for point in points if self._is_finite(point)] or [dict(named)]
        if not self._holds(symmetry, points, generator):
            wrong = [a for a in symmetry.sizes if not self._holds(symmetry, points, generator, only=[a])]
            symmetry = symmetry.without(wrong, "its permutations change the outputs")
            if not self._holds(symmetry, points, generator):
                symmetry = symmetry.without(list(symmetry.sizes), "together their permutations change the outputs")
        if not symmetry.sizes:
            remarks = "".join(f"\n  {remark}" for remark in symmetry.dropped)
            if facts.unknown:
                remarks += f"\n  without a rule, so that all they meet stays: {', '.join(facts.unknown)}"
            raise UsageError(
                "no neurons of this model can be exchanged: each axis of its parameters that is not an input or output "
                f"meets an operation that does not treat its indices alike{remarks}"
            )
        return symmetry

    def change(self, one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
        """Largest difference between the outputs of two, of the largest output."""
        found = 0.0
        for index in range(self.num_chunks):
            for a, b in zip(self.outputs(one, index), self.outputs(other, index), strict=True):
                if a.shape != b.shape:
                    return float("inf")
                if a.numel():
                    found = max(found, _relative(widened(a), widened(b)))
        return found

    def _holds(
        self,
        symmetry: Symmetry,
        points: list[dict[str, Tensor]],
        generator: torch.Generator,
        only: list[int] | None = None,
    ) -> bool:
        """Whether random permutations of all groups, or of some, change nothing at these points."""
        return all(
            self.change(point, symmetry.apply(point, symmetry.drawn(generator, only))) <= ROUNDING for point in points
        )

    def _is_finite(self, named: Mapping[str, Tensor]) -> bool:
        return all(bool(out.isfinite().all()) for out in self.outputs(named) if out.is_floating_point())


def _relative(a: Tensor, b: Tensor) -> float:
    """Largest difference of two tensors, of the largest finite entry of the first; equal infinities do not differ."""
    apart = torch.where(a == b, 0.0, (a - b).abs()).nan_to_num(nan=float("inf")).max()
    size = torch.where(a.isfinite(), a.abs(), 0.0).max()
    return float(apart / size.clamp_min(torch.finfo(torch.float64).tiny))


def shaken(named: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Tensors moved by about half of their size, so that equal entries, as zeros of biases, are told apart."""
    found: dict[str, Tensor] = {}
    for name, tensor in named.items():
        if not tensor.is_floating_point():
            found[name] = tensor
            continue
        noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor.device)
        if bool((tensor >= 0).all()) and bool((tensor > 0).any()):  # perhaps a variance, which stays positive
            found[name] = tensor * (0.5 * noise).exp()
        else:
            size = tensor.square().mean().sqrt() if tensor.numel() else tensor.sum()
            found[name] = tensor + 0.5 * noise * (size if size > 0 else 0.1)
    return found
