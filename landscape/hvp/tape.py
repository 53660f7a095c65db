"""A recording of the operations that a function runs, as a graph.

``make_fx`` of torch makes such graphs too, with a stack trace and a tensor without memory for each node, which take ten
times as long as the operations.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import _extract_tensor_metadata
from torch.utils.weak import WeakTensorKeyDictionary

from landscape.hvp.modes import OperationMode

_aten = torch.ops.aten
#: What may stand in a graph besides its nodes.
_PLAIN = (str, int, float, bool, complex, torch.dtype, torch.device, torch.layout, torch.memory_format, type(None))


class _Tape(OperationMode):
    """Writes each operation down as a node; of the tensors it knows which node made them, as long as they live."""

    def __init__(self, given: Sequence[Tensor]) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.constants: dict[str, Tensor] = {}
        self._nodes = WeakTensorKeyDictionary()
        for place, tensor in enumerate(given):
            self._made(self.graph.placeholder(f"x{place}"), tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is _aten.lift_fresh.default:  # of a constant, which stays what it is when the result is overwritten
            func = _aten.lift_fresh_copy.default
        entered: Any = fx.node.map_aggregate(args, self.entry)
        named: Any = fx.node.map_aggregate(kwargs, self.entry)
        out = func(*args, **kwargs)
        results = out if isinstance(out, (tuple, list)) else (out,)
        if any(isinstance(result, Tensor) for result in results):  # what gives numbers is asked for by others
            node = self.graph.call_function(func, entered, named)
            self._note(node, out)
        return out

    def entry(self, leaf: Any) -> Any:
        """What stands for a value in the graph.

        Raises
        ------
        NotImplementedError
            If nothing can, as for a generator of random numbers.
        """
        if not isinstance(leaf, Tensor):
            if not isinstance(leaf, _PLAIN):
                raise NotImplementedError(f"an operation takes a {type(leaf).__name__}, which no recording can hold")
            return leaf
        if leaf not in self._nodes:
            name = f"constant{len(self.constants)}"
            self.constants[name] = leaf
            self._made(self.graph.get_attr(name), leaf)
        return self._nodes[leaf]

    def _note(self, node: fx.Node, out: Any) -> None:
        if isinstance(out, Tensor):
            self._made(node, out)
            return
        for place, part in enumerate(out):
            if isinstance(part, (tuple, list, Tensor)):
                inner = self.graph.call_function(operator.getitem, (node, place))
                self._note(inner, part)

    def _made(self, node: fx.Node, tensor: Tensor) -> None:
        if tensor.layout == torch.strided and not tensor.is_nested:
            node.meta["tensor_meta"], node.meta["device"] = _extract_tensor_metadata(tensor), tensor.device
        self._nodes[tensor] = node


def record(function: Callable[..., Any], given: Sequence[Tensor]) -> tuple[nn.Module, fx.Graph]:
    """The operations of ``function(*given)``, a list of tensors, as a graph of the same arguments, with the module that
    holds its constants.

    Each node holds the shape of what it makes in ``meta["tensor_meta"]`` and its device in ``meta["device"]``. Distinct
    arguments must be distinct tensors. Numbers that the function reads from tensors stay what they are.

    Raises
    ------
    NotImplementedError
        If an operation takes what no graph can hold.
    """
    tape = _Tape(given)
    with tape:
        out = function(*given)
    tape.graph.output([tape.entry(tensor) for tensor in out])
    root = nn.Module()
    for name, tensor in tape.constants.items():
        root.register_buffer(name, tensor.detach(), persistent=False)
    return root, tape.graph
