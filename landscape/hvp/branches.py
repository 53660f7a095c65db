"""The course that a model takes by the values of its data: taken once while it is recorded, and asked for again."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from landscape.errors import ObjectiveError
from landscape.hvp.modes import OperationMode

_aten = torch.ops.aten


class Questions(OperationMode):
    """Answers what a model asks of tensors (``if mask.all()``, ``lengths.max().item()``) while it is recorded.

    torch refuses to record past such a question, because the answer may be another on other data. Here it is given, and
    the tensor it was read from is kept, so that the recording can ask again.

    Attributes
    ----------
    asked : list of tensors
        What was read, in order; one number each.
    answers : list of numbers
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Tensor] = []
        self.answers: list[Any] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is _aten._local_scalar_dense.default:
            asked = args[0].clone()  # it may be changed in place later
        elif func is _aten.equal.default and args[0].shape == args[1].shape:
            asked = (args[0] == args[1]).all()
        else:
            return func(*args, **(kwargs or {}))
        with _unrecorded():
            answer = func(*args, **(kwargs or {}))
        self.asked.append(asked)
        self.answers.append(answer)
        return answer


def _unrecorded() -> AbstractContextManager[object]:
    """Recordings of torch's own, which refuse questions, are blind here; where none is loaded there is none."""
    module = sys.modules.get("torch.fx.experimental.proxy_tensor")
    return module.disable_proxy_modes_tracing() if module else nullcontext()


@dataclass(frozen=True)
class Course:
    """Which way a recorded model went.

    Attributes
    ----------
    graph : GraphModule
        ``graph(*held, *leaves)``: the tensors it decided by, of any chunk of the shape.
    answers : tuple of numbers
        What they were where it was recorded.
    """

    graph: fx.GraphModule
    answers: tuple[Any, ...]

    def is_taken(self, held: Mapping[str, Tensor], data: Sequence[Tensor]) -> bool:
        """Whether the model goes the same way on these data."""
        if not self.answers:
            return True
        try:
            with torch.no_grad():
                found = [tensor.item() for tensor in self.graph(*held.values(), *data)]
        except (RuntimeError, IndexError):  # a step that only this way has
            return False
        return all(map(_same, found, self.answers))


def _same(one: Any, other: Any) -> bool:
    return bool(one == other or (one != one and other != other))


def course_of(
    root: nn.Module, recorded: fx.Graph, asked: Sequence[fx.Node], answers: Sequence[Any], *, moving: int
) -> Course:
    """The part of a recording that its questions hang on.

    Raises
    ------
    ObjectiveError
        If one of them hangs on the first ``moving`` inputs, which are other ones in the next product.
    """
    nodes = list(recorded.nodes)
    holders = [n for n in nodes if n.op == "placeholder"]
    needed = set(asked)
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    if needed & set(holders[:moving]):
        raise ObjectiveError(
            "the model decides by values that depend on its parameters (an if, or .item(), on what it computed), so a "
            "recording of one course would not be the model"
        )
    graph = fx.Graph()
    there = {node: graph.placeholder(f"x{i}") for i, node in enumerate(holders[moving:])}
    for node in nodes:
        if node in needed and node.op != "placeholder":
            there[node] = graph.node_copy(node, there.__getitem__)
    graph.output([there[node] for node in asked])
    return Course(fx.GraphModule(root, graph), tuple(answers))
