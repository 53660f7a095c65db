"""Named parameters as one flat vector: which tensors θ is made of, in which order, and which stay fixed."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from landscape.errors import UsageError


@dataclass(frozen=True)
class ParamLayout:
    """The order in which named tensors stand in the flat vector θ of length P.

    Attributes
    ----------
    names, shapes : tuples
        The distinct trainable tensors of θ, in ``named_parameters()`` order.
    slots : dict
        Every place in the model that holds a parameter, by its first path, and the name of the tensor it holds. Tied
        weights are one tensor in several slots; a submodule that stands at two paths is one slot.
    frozen : tuple of str
        Parameters outside θ: ``requires_grad=False``, or not matched by the patterns.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    slots: dict[str, str]
    frozen: tuple[str, ...]

    @staticmethod
    def of(model: nn.Module, patterns: str | Sequence[str] = "*") -> ParamLayout:
        """Lay out the trainable parameters of a model whose names match any of the glob patterns.

        Raises
        ------
        UsageError
            If nothing matches, with the names there are; if a parameter has no values yet, or complex ones.
        """
        named = dict(model.named_parameters())
        _check_usable(model, named)
        first_name = {id(tensor): name for name, tensor in reversed(list(named.items()))}
        slots = {
            f"{path}.{attr}" if path else attr: first_name[id(tensor)]
            for path, module in model.named_modules()
            for attr, tensor in module._parameters.items()
            if tensor is not None
        }
        trainable = [name for name, tensor in named.items() if tensor.requires_grad]
        chosen = match_names(trainable, patterns)
        if not chosen:
            raise UsageError(_nothing_matches(patterns, trainable, len(named)))
        if imaginary := [name for name in chosen if named[name].is_complex()]:
            raise UsageError(
                f"parameter {imaginary[0]!r} is {_kind(named[imaginary[0]])}, and θ is a vector of real numbers. Hold "
                "it as a real parameter, nn.Parameter(torch.view_as_real(w)), and use torch.view_as_complex of that in "
                "forward; or leave it out with params="
            )
        return ParamLayout(
            names=tuple(chosen),
            shapes=tuple(named[name].shape for name in chosen),
            slots=slots,
            frozen=tuple(name for name in named if name not in set(chosen)),
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of elements of each tensor."""
        return tuple(shape.numel() for shape in self.shapes)

    @property
    def size(self) -> int:
        """P, the length of θ."""
        return sum(self.sizes)

    @property
    def aliases(self) -> dict[str, str]:
        """Slots whose tensor is stored under another name: tied weights."""
        return {slot: name for slot, name in self.slots.items() if slot != name}

    def slices(self) -> dict[str, slice]:
        """Where each tensor stands in θ."""
        ends = np.cumsum(self.sizes)
        return {n: slice(int(e) - s, int(e)) for n, s, e in zip(self.names, self.sizes, ends, strict=True)}

    def flatten(self, named: Mapping[str, Tensor]) -> Tensor:
        """Join named tensors into one vector ``(P,)``; names outside the layout are passed over.

        Raises
        ------
        UsageError
            If a tensor of the layout is missing or has another shape.
        """
        for name, shape in zip(self.names, self.shapes, strict=True):
            if name not in named:
                raise UsageError(f"no tensor named {name!r} to flatten; the layout needs {', '.join(self.names)}")
            if tuple(named[name].shape) != tuple(shape):
                raise UsageError(f"{name!r} has shape {tuple(named[name].shape)}, the layout has {tuple(shape)}")
        return torch.cat([named[name].reshape(-1) for name in self.names])

    def split(self, theta: Tensor) -> list[Tensor]:
        """Cut ``(P,)`` into views of the tensors' shapes, in the layout's order."""
        if theta.shape != (self.size,):
            raise UsageError(f"a vector of shape {tuple(theta.shape)} does not fit: θ has shape ({self.size},)")
        parts = theta.split(list(self.sizes))
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def split_rows(self, rows: Tensor) -> list[Tensor]:
        """Cut K vectors, the rows of (K, P), into the layout's tensors, each with K in front of its shape."""
        pieces = rows.split(list(self.sizes), dim=1)
        return [piece.reshape(len(rows), *shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def unflatten(self, theta: Tensor) -> dict[str, Tensor]:
        """Cut ``(P,)`` into named views."""
        return dict(zip(self.names, self.split(theta), strict=True))

    def select(self, patterns: str | Sequence[str]) -> list[str]:
        """Names of the layout that match any of the glob patterns, in order."""
        chosen = match_names(self.names, patterns)
        if not chosen:
            raise UsageError(_nothing_matches(patterns, self.names, len(self.names)))
        return chosen


def match_names(names: Iterable[str], patterns: str | Sequence[str]) -> list[str]:
    """Names that match any glob; a string may hold several, separated by commas.

    >>> match_names(["fc1.weight", "fc1.bias", "conv.weight"], "fc*.weight,conv*")
    ['fc1.weight', 'conv.weight']
    """
    globs = [p.strip() for p in patterns.split(",")] if isinstance(patterns, str) else list(patterns)
    return [name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in globs)]


def _check_usable(model: nn.Module, named: Mapping[str, Tensor]) -> None:
    """Refuse parameters without values, and models whose weights are packed away from ``parameters()``."""
    for name, tensor in named.items():
        if isinstance(tensor, nn.parameter.UninitializedParameter):
            raise UsageError(
                f"parameter {name!r} of a lazy module has no shape yet; call the model once on a batch, then come again"
            )
        if any(kind.__name__ == "DTensor" for kind in type(tensor).__mro__):
            raise UsageError(
                f"parameter {name!r} is in shards; gather the model first, on all ranks, by "
                "landscape.distributed.gathered(model), or pass an Objective of it"
            )
        if tensor.is_meta:
            raise UsageError(
                f"parameter {name!r} is on the meta device and has no values; load the weights first "
                "(model.to_empty(device='cpu'), then load_state_dict)"
            )
    packed = [path for path, module in model.named_modules() if ".quantized" in type(module).__module__]
    if packed:
        raise UsageError(
            f"module {packed[0]!r} ({type(model.get_submodule(packed[0])).__name__}) is quantised: its weights are "
            "whole numbers and have no derivatives. Analyze the model as it was before quantisation"
        )


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _nothing_matches(patterns: str | Sequence[str], names: Sequence[str], total: int) -> str:
    if not total:
        return "the model has no parameters, so there is nothing to differentiate"
    if not names:
        return f"no trainable parameter: all {total} have requires_grad=False. Call requires_grad_(True) on some"
    shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    return f"params={patterns!r} matches no trainable parameter; there are {shown}"
