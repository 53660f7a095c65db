r"""The gradient of a chunk as two graphs: what depends on θ and the data alone, and the linear map in v.

Forward mode through the gradient, :math:`\nabla^2 L\,v = \partial_\epsilon \nabla L(\theta + \epsilon v)`, is recorded
once as a list of elementary operations. Those that v does not reach are the first graph: their results, the
*residuals*, are kept. The rest is linear in v and is the second graph, which all chunks of the same shape share.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.autograd import forward_ad
from torch.func import functionalize, grad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from landscape.hvp.product import LossParts

_aten = torch.ops.aten
_ZEROS = {_aten.zeros.default, _aten.zeros_like.default, _aten.new_zeros.default, _aten._efficientzerotensor.default}
#: Zero as soon as one of their tensors is.
_PRODUCTS = {_aten.mul.Tensor, _aten.mul.Scalar, _aten.mm.default, _aten.bmm.default}
#: Zero where their first argument is.
_LINEAR = {
    _aten.alias.default, _aten.clone.default, _aten.detach.default, _aten.div.Scalar, _aten.div.Tensor,
    _aten.expand.default, _aten.neg.default, _aten.permute.default, _aten.reshape.default, _aten.squeeze.dim,
    _aten.sum.default, _aten.sum.dim_IntList, _aten.t.default, _aten.transpose.int, _aten.unsqueeze.default,
    _aten.view.default, _aten._unsafe_view.default,
}  # fmt: skip
_COPIES = {_aten.alias.default, _aten.detach.default}


@dataclass(frozen=True)
class TracedProduct:
    """∇²L·v of any chunk of one shape.

    Attributes
    ----------
    residuals : GraphModule
        ``residuals(*tensors, *leaves)``: what the linear map needs, from θ and the tensors of a chunk.
    tangent : GraphModule
        ``tangent(*directions, *residuals)``: the product, one tensor for each of θ.
    """

    residuals: fx.GraphModule
    tangent: fx.GraphModule

    def blocked(self, directions: Sequence[Tensor], residuals: Sequence[Tensor]) -> fx.GraphModule:
        """The map for K vectors at once: directions and results with a first axis of length K."""
        count = len(directions)

        def one(given: Sequence[Tensor], kept: Sequence[Tensor]) -> Any:
            return self.tangent(*given, *kept)

        def every(*given: Tensor) -> Any:
            return torch.vmap(one, in_dims=(0, None))(list(given[:count]), list(given[count:]))

        return make_fx(every)(*directions, *residuals)


def tensors_of(chunk: Any) -> list[Tensor]:
    """The tensors in a batch, in the order in which a traced product takes them."""
    return [leaf for leaf in pytree.tree_leaves(chunk) if isinstance(leaf, Tensor)]


def signature(chunk: Any) -> tuple[Any, ...]:
    """What two chunks must have in common to share a traced product: structure, shapes, dtypes and all constants."""
    leaves, spec = pytree.tree_flatten(chunk)
    facts = tuple((tuple(x.shape), x.dtype) if isinstance(x, Tensor) else repr(x) for x in leaves)
    return (str(spec), *facts)


def trace(parts: LossParts, index: int, tensors: Sequence[Tensor]) -> TracedProduct:
    """Record the product of chunk ``index``, in the state in which the model may be called.

    Raises
    ------
    RuntimeError, NotImplementedError, TypeError
        Where an operation has no forward mode, or the model decides by the values of tensors.
    """
    leaves, spec = pytree.tree_flatten(parts.chunk(index))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    count = len(tensors)

    def product(*given: Tensor) -> list[Tensor]:
        directions, theta, data = given[:count], given[count : 2 * count], given[2 * count :]
        filled = list(leaves)
        for place, tensor in zip(places, data, strict=True):
            filled[place] = tensor
        chunk = pytree.tree_unflatten(filled, spec)

        def loss(*at: Tensor) -> Tensor:
            return parts.loss_on(chunk, at)

        with forward_ad.dual_level():
            duals = [forward_ad.make_dual(t, v) for t, v in zip(theta, directions, strict=True)]
            gradient = grad(loss, argnums=tuple(range(count)))(*duals)
            tangents = [forward_ad.unpack_dual(g).tangent for g in gradient]
        return [torch.zeros_like(t) if g is None else g for g, t in zip(tangents, theta, strict=True)]

    # Distinct tensors: a proxy is found by the tensor it stands for.
    given = [*(t.clone() for t in tensors), *(t.clone() for t in tensors), *(leaves[i].clone() for i in places)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attempted to insert a get_attr Node")
        recorded = make_fx(product)(*given)
        # A kept residual must not be changed in place by the map that reads it.
        if any(_changes_in_place(node) for node in recorded.graph.nodes):
            recorded = make_fx(functionalize(recorded))(*given)
    _drop_copies(recorded.graph)
    _drop_zeros(recorded.graph)
    return _split(recorded, count)


def _changes_in_place(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and bool(schema.is_mutable)


def _drop_copies(graph: fx.Graph) -> None:
    """Aliases of tensors that nobody changes are the tensors themselves."""
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in _COPIES or (node.target is _aten._to_copy.default and _same_kind(node, node.args[0])):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.target is _aten.copy.default and _same_shape(node, node.args[1]):
            node.replace_all_uses_with(node.args[1])  # what functionalization makes of copy_; slow under vmap
            graph.erase_node(node)


def _drop_zeros(graph: fx.Graph) -> None:
    """Forward mode multiplies by the zero tangent of the data; follow the zeros, add none."""
    zero: set[fx.Node] = set()
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        first = node.args[0] if node.args else None
        if (
            node.target in _ZEROS
            or (node.target in _PRODUCTS and any(part in zero for part in node.all_input_nodes))
            or (node.target in _LINEAR and first in zero)
        ):
            zero.add(node)
        elif node.target in (_aten.add.Tensor, _aten.sub.Tensor) and not node.kwargs:
            left, right = node.args
            if left in zero and right in zero:
                zero.add(node)
            elif right in zero:
                _stand_in(graph, node, left)
            elif left in zero and node.target is _aten.add.Tensor:
                _stand_in(graph, node, right)
    graph.eliminate_dead_code()


def _stand_in(graph: fx.Graph, node: fx.Node, other: Any) -> None:
    """Let ``other`` take the place of a node that equals it, but for an axis it is repeated along."""
    if not isinstance(other, fx.Node) or "tensor_meta" not in node.meta or "tensor_meta" not in other.meta:
        return
    mine, its = node.meta["tensor_meta"], other.meta["tensor_meta"]
    if mine.dtype != its.dtype:
        return
    if mine.shape != its.shape:
        with graph.inserting_after(node):
            other = graph.call_function(_aten.expand.default, (other, list(mine.shape)))
        other.meta["tensor_meta"] = mine
    node.replace_all_uses_with(other, delete_user_cb=lambda user: user is not other)


def _join_products(graph: fx.Graph) -> None:
    """``x + ab`` in one operation, where nothing else needs ``ab``: a pass through memory less."""
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target is not _aten.add.Tensor or node.kwargs:
            continue
        for product, rest in (node.args, node.args[::-1]):
            if (
                isinstance(product, fx.Node) and isinstance(rest, fx.Node) and product is not rest
                and product.target is _aten.mm.default and len(product.users) == 1 and _same_shape(node, product)
                and "tensor_meta" in rest.meta and rest.meta["tensor_meta"].dtype == node.meta["tensor_meta"].dtype
                and len(rest.meta["tensor_meta"].shape) <= 2
            ):  # fmt: skip
                with graph.inserting_before(node):
                    joined = graph.call_function(_aten.addmm.default, (rest, *product.args))
                joined.meta["tensor_meta"] = node.meta["tensor_meta"]
                node.replace_all_uses_with(joined)
                graph.erase_node(node)
                graph.erase_node(product)
                break


def _same_kind(node: fx.Node, other: Any) -> bool:
    """Whether a conversion leaves shape, dtype and layout in memory as they are."""
    mine, its = node.meta.get("tensor_meta"), getattr(other, "meta", {}).get("tensor_meta")
    if mine is None or its is None:
        return False
    return _same_shape(node, other) and (mine.stride, mine.memory_format) == (its.stride, its.memory_format)


def _same_shape(node: fx.Node, other: Any) -> bool:
    if not isinstance(other, fx.Node):
        return False
    mine, its = node.meta.get("tensor_meta"), other.meta.get("tensor_meta")
    return mine is not None and its is not None and mine.shape == its.shape and mine.dtype == its.dtype


def _split(recorded: fx.GraphModule, count: int) -> TracedProduct:
    """Cut the recording where v enters."""
    nodes = list(recorded.graph.nodes)
    holders, output = [n for n in nodes if n.op == "placeholder"], nodes[-1]
    reached = set(holders[:count])
    for node in nodes:
        if node.op == "call_function" and any(part in reached for part in node.all_input_nodes):
            reached.add(node)
    cut: dict[fx.Node, None] = {}  # in order, once each
    for node in (*(n for n in nodes if n in reached), output):
        cut.update((part, None) for part in node.all_input_nodes if part not in reached)

    before, after = fx.Graph(), fx.Graph()
    there: dict[fx.Node, fx.Node] = {}
    here = {node: after.placeholder(f"v{i}") for i, node in enumerate(holders[:count])}
    for node in nodes:
        if node not in reached and node is not output:
            there[node] = before.node_copy(node, there.__getitem__)
    before.output(tuple(there[node] for node in cut))
    here |= {node: after.placeholder(f"r{i}") for i, node in enumerate(cut)}
    for node in nodes:
        if node in reached and node.op != "placeholder":
            here[node] = after.node_copy(node, here.__getitem__)
    after.output(fx.map_arg(output.args[0], here.__getitem__))
    for graph in (before, after):
        graph.eliminate_dead_code()
    _join_products(after)
    return TracedProduct(fx.GraphModule(recorded, before), fx.GraphModule(recorded, after))


def operations(graph: fx.GraphModule) -> int:
    """How many operations one application takes, views and tuple items left out."""
    calls = (n.target for n in graph.graph.nodes if n.op == "call_function")
    return sum(target is not operator.getitem and target not in _LINEAR for target in calls)
