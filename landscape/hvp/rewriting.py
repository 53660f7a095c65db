"""Recorded graphs made cheaper: copies and zeros dropped, operations joined, slow kernels avoided.

Each rewriting leaves what a graph computes as it is, up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

_aten = torch.ops.aten
_ZEROS = {_aten.zeros.default, _aten.zeros_like.default, _aten.new_zeros.default, _aten._efficientzerotensor.default}
#: Zero as soon as one of their tensors is.
_PRODUCTS = {_aten.mul.Tensor, _aten.mul.Scalar, _aten.mm.default, _aten.bmm.default}
#: Zero where their first argument is.
LINEAR = {
    _aten.alias.default, _aten.clone.default, _aten.detach.default, _aten.div.Scalar, _aten.div.Tensor,
    _aten.expand.default, _aten.neg.default, _aten.permute.default, _aten.reshape.default, _aten.squeeze.dim,
    _aten.sum.default, _aten.sum.dim_IntList, _aten.t.default, _aten.transpose.int, _aten.unsqueeze.default,
    _aten.view.default, _aten._unsafe_view.default, _aten.mse_loss_backward.default, _aten.tanh_backward.default,
    _aten.sigmoid_backward.default, _aten.threshold_backward.default,
}  # fmt: skip
_COPIES = {_aten.alias.default, _aten.detach.default}
_POOLING_BACK = _aten.avg_pool2d_backward.default
_LARGEST_PATCH = 16  # a sum of at most this many slices is surely faster
_END = 2**63 - 1  # of a slice, as torch writes it


def drop_changes_in_place(graph: fx.Graph) -> bool:
    """Let operations that overwrite a tensor make a new one; False where something else may share its memory.

    A tensor shares its memory with nothing if an operation has just made it and no view of it was taken since.
    """
    order = {node: place for place, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.op != "call_function" or not _overwrites(node):
            continue
        packet, _, overload = str(node.target).removeprefix("aten.").partition(".")
        twin = getattr(_aten, packet[:-1], None) if packet.endswith("_") else None
        target = getattr(twin, overload, None)
        changed = node.args[0]
        before = [user for user in changed.users if order[user] < order[node]]
        if target is None or changed.op != "call_function" or any(_shares_memory(n) for n in (changed, *before)):
            return False
        node.target = target
        changed.replace_all_uses_with(node, delete_user_cb=lambda user, node=node: order[user] > order[node])
    return True


def _overwrites(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _shares_memory(node: fx.Node) -> bool:
    """Whether the result may be a view of an argument; unknown, so True, for what is no operation of torch."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or node.target is _aten._unsafe_view.default:
        return True
    return any(result.alias_info is not None for result in schema.returns)


def drop_copies(graph: fx.Graph) -> None:
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


def drop_zeros(graph: fx.Graph) -> None:
    """Forward mode multiplies by the zero tangent of the data; follow the zeros, add none."""
    zero: set[fx.Node] = set()
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        first = node.args[0] if node.args else None
        if (
            node.target in _ZEROS
            or (node.target in _PRODUCTS and any(part in zero for part in node.all_input_nodes))
            or (node.target in LINEAR and first in zero)
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


def join_products(graph: fx.Graph) -> None:
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


def spell_out_pooling(graph: fx.Graph) -> None:
    """Means over patches that do not overlap, as sums of slices: torch's own on a CPU is several times slower."""
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target not in (_aten.avg_pool2d.default, _POOLING_BACK):
            continue
        back = node.target is _POOLING_BACK
        patch = _patch(node, *node.args[back + 1 :]) if not node.kwargs else None
        if patch is None:
            continue
        with graph.inserting_before(node):
            spread = _spread(graph, node, *patch) if back else _mean_of_patches(graph, node, *patch)
        spread.meta["tensor_meta"] = node.meta["tensor_meta"]
        node.replace_all_uses_with(spread)
        graph.erase_node(node)


def _patch(
    node: fx.Node, kernel: list[int], stride: Any = (), padding: Any = (0,), ceil: bool = False, include: bool = True,
    divisor: int | None = None,
) -> tuple[int, int] | None:  # fmt: skip
    """Height and width of the patches that ``avg_pool2d`` or its backward takes means of; None where it does more."""
    # Both take the larger tensor, contiguous in the layout for which torch's kernel is slow.
    large = node.args[1 if node.target is _POOLING_BACK else 0]
    if not isinstance(large, fx.Node):
        return None
    meta, device = large.meta.get("tensor_meta"), large.meta.get("device")
    if meta is None or device is None or device.type != "cpu" or len(meta.shape) != 4:
        return None
    height, width = (list(kernel) * 2)[:2]
    contiguous = meta.memory_format == torch.contiguous_format
    apart = list(stride) and (list(stride) * 2)[:2] != [height, width]
    if apart or any(padding) or divisor is not None or height * width > _LARGEST_PATCH or not contiguous:
        return None
    return (height, width) if meta.shape[2] % height == 0 == meta.shape[3] % width else None


def _mean_of_patches(graph: fx.Graph, node: fx.Node, height: int, width: int) -> fx.Node:
    total = node.args[0]
    for axis, count in ((2, height), (3, width)):
        parts = [graph.call_function(_aten.slice.Tensor, (total, axis, i, _END, count)) for i in range(count)]
        total = parts[0]
        for part in parts[1:]:
            total = graph.call_function(_aten.add.Tensor, (total, part))
    return graph.call_function(_aten.mul.Scalar, (total, 1 / (height * width)))


def _spread(graph: fx.Graph, node: fx.Node, height: int, width: int) -> fx.Node:
    batch, channels, rows, columns = node.meta["tensor_meta"].shape
    part = graph.call_function(_aten.mul.Scalar, (node.args[0], 1 / (height * width)))
    line = graph.call_function(_aten.stack.default, ([part] * width, -1))
    line = graph.call_function(_aten.view.default, (line, [batch, channels, rows // height, 1, columns]))
    lines = graph.call_function(_aten.cat.default, ([line] * height, 3))
    return graph.call_function(_aten.view.default, (lines, [batch, channels, rows, columns]))


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
