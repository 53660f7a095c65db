"""PyTorch Geometric: losses of graphs and of nodes, on batches of graphs that stay as they come."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from landscape.errors import ObjectiveError, UsageError
from landscape.objective.adapters.attributes import attributes_kept
from landscape.objective.batches import unpack
from landscape.objective.losses import LossFn, name_of, settings_of

if TYPE_CHECKING:
    from landscape.objective import Objective

_OTHERWISE = "For anything else use Objective.from_outputs(model, outputs, loss, loader, weight=..., interacting=True)"


def objective_of(
    from_outputs: Callable[..., Objective],
    model: nn.Module,
    loss: LossFn,
    loader: Any,
    nodes: str | None,
    outputs: Callable[[Any, Any], Any] | None,
    options: dict[str, Any],
) -> Objective:
    """What :meth:`Objective.from_graphs` gives; it refuses a loss that is no mean, unless told what that runs over."""
    weight = options.get("weight") or weight_of(nodes)
    settled = {**options, "weight": weight, "interacting": True}
    graph_loss = GraphLoss(loss, nodes)
    made = from_outputs(model, GraphOutputs(outputs, nodes), graph_loss, loader, **settled)
    if options.get("check", True) and not options.get("weight"):
        check_mean(made, graph_loss)
    return made


class GraphOutputs:
    """``outputs(model, batch)``: one row for each graph, or each node that counts.

    The model is called with the batch where ``forward`` takes one argument, else with the fields of the batch that have
    the names of its arguments (``x``, ``edge_index``, ``edge_attr``, ``batch`` …); ``call(model, batch)`` says it
    otherwise. What convolutions keep for themselves, such as a cached normalisation, is theirs as it was afterwards.
    """

    def __init__(self, call: Callable[[Any, Any], Any] | None, nodes: str | None) -> None:
        if nodes is not None and not isinstance(nodes, str):
            raise UsageError(f"nodes={nodes!r} must be 'all' or the name of a mask, such as 'train_mask'; None: graphs")
        self._call, self.nodes = call, nodes
        self.__qualname__ = name_of(call) if call else "forward"
        vars(self).update({f"call.{name}": text for name, text in settings_of(call)} if call else {})

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        with attributes_kept(model):
            found = self._call(model, batch) if self._call else _called(model, batch)
        wanted = num_graphs(batch) if self.nodes is None else int(batch.num_nodes)
        if not isinstance(found, Tensor) or found.ndim == 0 or len(found) != wanted:
            seen = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            level = "graphs" if self.nodes is None else "nodes"
            other = "nodes='all' or nodes='train_mask' for a loss of nodes" if self.nodes is None else "nodes=None"
            raise ObjectiveError(
                f"the model must give one row for each of the {wanted} {level} of a batch; it gave {seen}. Pass "
                f"{other}, or outputs=lambda model, batch: ... for another call. {_OTHERWISE}"
            )
        return found if self.nodes is None else counted(found, batch, self.nodes)


class GraphLoss(nn.Module):
    """``loss(outputs, y)`` as a loss of outputs and batch; a module, so that what a loss module holds is cast along."""

    def __init__(self, loss: LossFn, nodes: str | None) -> None:
        super().__init__()
        self.loss, self.nodes = loss, nodes
        self.__qualname__ = name_of(loss)
        if not isinstance(loss, nn.Module):
            vars(self).update({f"loss.{name}": text for name, text in settings_of(loss)})

    def forward(self, outputs: Tensor, batch: Any) -> Tensor:
        return self.loss(outputs, self.targets(batch))

    def targets(self, batch: Any) -> Tensor:
        """What the outputs are held against: ``batch.y`` of the graphs, or of the nodes that count."""
        y = getattr(batch, "y", None)
        if not isinstance(y, Tensor):
            raise ObjectiveError(f"a batch must have its targets in batch.y; this {type(batch).__name__} has none")
        return y if self.nodes is None else counted(y, batch, self.nodes)


def weight_of(nodes: str | None) -> Callable[[Any], float]:
    """``weight(batch)``: how many graphs a batch has, or nodes that count."""
    if nodes is None:
        return lambda batch: float(num_graphs(batch))
    return lambda batch: float(len(counted(torch.arange(batch.num_nodes), batch, nodes)))


def num_graphs(batch: Any) -> int:
    """One where a graph stands alone."""
    return int(getattr(batch, "num_graphs", 1))


def counted(rows: Tensor, batch: Any, nodes: str) -> Tensor:
    """Those of the rows of nodes that count."""
    if nodes == "all":
        return rows
    mask = getattr(batch, nodes, None)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or tuple(mask.shape) != (int(batch.num_nodes),):
        seen = f"{mask.dtype} of shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else f"{mask!r}"
        raise ObjectiveError(
            f"nodes={nodes!r} must name a mask, bool of shape ({int(batch.num_nodes)},), in each batch; it is {seen}"
        )
    return rows[mask.to(rows.device)]


def check_mean(objective: Objective, loss: GraphLoss) -> None:
    """Refuse a loss that is no mean over graphs or nodes: on the rows of the first chunk against its two parts.

    Graphs stay together where the model is called, so the check of other objectives, which cuts batches, has no hold.
    """
    parts = objective.parts()
    with parts.borrowed(), torch.no_grad():
        outputs = parts.outputs(parts.chunk(0), objective.layout.split(objective.theta))
        batch = unpack(parts.chunk(0))
        rows, y = len(outputs), loss.targets(batch).to(outputs.device)
        if rows < 2 or len(y) != rows:
            return
        function = copy.deepcopy(loss.loss).to(outputs) if isinstance(loss.loss, nn.Module) else loss.loss
        y = y.to(outputs.dtype) if y.is_floating_point() else y
        cut = max(1, rows // 3)
        whole, left, right = (float(function(outputs[s], y[s])) for s in (slice(None), slice(cut), slice(cut, None)))
    average = (cut * left + (rows - cut) * right) / rows
    if not abs(whole - average) <= 1e-5 * max(abs(whole), abs(left), abs(right)):
        raise ObjectiveError(
            f"the loss is not a mean over {'graphs' if loss.nodes is None else 'nodes'}: on {rows} of them it gives "
            f"{whole:.6g}, but its parts of {cut} and {rows - cut} average to {average:.6g}. Likely causes: "
            f"reduction='sum', class weights, outputs {tuple(outputs.shape)} spread against targets {tuple(y.shape)}. "
            "Pass a mean-reduced loss; or weight=lambda batch: ... for what its mean runs over"
        )


def _called(model: nn.Module, batch: Any) -> Any:
    given = inspect.signature(model.forward).parameters.values()
    named = [p for p in given if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    required = [p.name for p in named if p.default is inspect.Parameter.empty]
    if len(required) < 2 and not (required and required[0] in batch and required[0] != "batch"):
        return model(batch)
    if absent := [name for name in required if name not in batch and name != "batch"]:
        raise ObjectiveError(
            f"{type(model).__name__}.forward needs {', '.join(absent)}, which a {type(batch).__name__} of these data "
            "does not have. Say how the model is called: outputs=lambda model, batch: model(...)"
        )
    return model(**{p.name: getattr(batch, p.name) for p in named if p.name in required or p.name in batch})
