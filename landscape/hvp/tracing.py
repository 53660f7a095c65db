r"""The gradient of a chunk as two graphs: what depends on θ and the data alone, and the linear map in v.

Forward mode through the gradient, :math:`\nabla^2 L\,v = \partial_\epsilon \nabla L(\theta + \epsilon v)`, is recorded
once as a list of elementary operations. Those that v does not reach are the first graph: their results, the
*residuals*, are kept. The rest is linear in v and is the second graph, which all chunks of the same shape share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.autograd import forward_ad
from torch.func import functionalize, grad_and_value
from torch.utils import _pytree as pytree

from landscape.hvp.branches import Course, Questions, course_of
from landscape.hvp.forward_mode import recording
from landscape.hvp.product import LossParts
from landscape.hvp.rewriting import drop_changes_in_place, drop_copies, drop_zeros, join_products, spell_out_pooling
from landscape.hvp.tape import record


@dataclass(frozen=True, eq=False)
class TracedProduct:
    """∇²L·v of any chunk of one shape.

    Attributes
    ----------
    residuals : GraphModule
        ``residuals(*tensors, *held, *leaves)``: what the linear map needs, from θ, what is held fixed and the tensors
        of a chunk; and last the chunk's loss.
    tangent : GraphModule
        ``tangent(*directions, *residuals)``: the product, one tensor for each of θ.
    course : Course
        The way the model went by the values of its data: the recording is of chunks on which it goes the same.
    one_point : bool
        Whether shapes in it come from values that θ or what is held fixed decides: it is of one point alone.
    """

    residuals: fx.GraphModule
    tangent: fx.GraphModule
    course: Course
    one_point: bool = False

    @cached_property
    def singular(self) -> bool:
        """Whether it takes roots, norms or the like, whose derivatives are not finite everywhere."""
        nodes = (*self.residuals.graph.nodes, *self.tangent.graph.nodes)
        return any(node.op == "call_function" and _is_singular(node) for node in nodes)

    def run(
        self, tensors: Sequence[Tensor], held: Mapping[str, Tensor], data: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """The residuals and the loss of a chunk."""
        *kept, value = self.residuals(*tensors, *held.values(), *data)
        return tuple(kept), value

    def blocked(self, directions: Sequence[Tensor], residuals: Sequence[Tensor]) -> fx.GraphModule:
        """The map for K vectors at once: directions and results with a first axis of length K."""
        count = len(directions)

        def one(given: Sequence[Tensor], kept: Sequence[Tensor]) -> Any:
            return self.tangent(*given, *kept)

        def every(*given: Tensor) -> Any:
            return torch.vmap(one, in_dims=(0, None))(list(given[:count]), list(given[count:]))

        every(*directions, *residuals)  # nothing is recorded that has not run
        return fx.GraphModule(*record(every, [t.detach() for t in (*directions, *residuals)]))


def tensors_of(chunk: Any) -> list[Tensor]:
    """The tensors in a batch, in the order in which a traced product takes them."""
    return [leaf for leaf in pytree.tree_leaves(chunk) if isinstance(leaf, Tensor)]


def signature(chunk: Any, held: Mapping[str, Tensor]) -> tuple[Any, ...]:
    """What two chunks must have in common to share a traced product: structure, shapes, dtypes and all constants."""
    leaves, spec = pytree.tree_flatten(chunk)
    facts = tuple((tuple(x.shape), x.dtype) if isinstance(x, Tensor) else repr(x) for x in leaves)
    return (str(spec), *facts, *((name, tuple(x.shape), x.dtype) for name, x in held.items()))


def trace(parts: LossParts, index: int, tensors: Sequence[Tensor]) -> TracedProduct:
    """Record the product of chunk ``index``, in the state in which the model may be called.

    What is held fixed is an input of the recording, as the data are, so that it serves when that has moved. Where the
    model decides by their values, it goes one way in the recording, which says what decided.

    Raises
    ------
    RuntimeError, NotImplementedError, TypeError, ObjectiveError
        Where an operation has no forward mode, or the model decides by values that θ decides.
    """
    answers: list[Any] = []
    product, given = _product_of(parts, index, tensors, answers)
    product(*given)  # where eager code raises, a recording may end the process: nothing is recorded that has not run
    return _record(product, given, len(tensors), len(parts.held), answers)


def _product_of(
    parts: LossParts, index: int, tensors: Sequence[Tensor], answers: list[Any]
) -> tuple[Callable[..., list[Tensor]], list[Tensor]]:
    """The product as a function of directions, θ, what is held fixed and data, all flat; with arguments to try it on.

    Its results are the product, a tensor for each of θ, the loss, and what the model decided by; how that turned out in
    the last call stands in ``answers``.
    """
    leaves, spec = pytree.tree_flatten(parts.chunk(index))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    count, held = len(tensors), dict(parts.held)

    def product(*given: Tensor) -> list[Tensor]:
        directions, theta, rest = given[:count], given[count : 2 * count], given[2 * count :]
        fixed = dict(zip(held, rest, strict=False))
        filled = list(leaves)
        for place, tensor in zip(places, rest[len(held) :], strict=True):
            filled[place] = tensor
        chunk = pytree.tree_unflatten(filled, spec)

        def loss(*at: Tensor) -> Tensor:
            return parts.loss_on(chunk, at, fixed)

        with recording(), Questions() as questions, forward_ad.dual_level():
            duals = [forward_ad.make_dual(t, v) for t, v in zip(theta, directions, strict=True)]
            gradient, value = grad_and_value(loss, argnums=tuple(range(count)))(*duals)
            tangents = [forward_ad.unpack_dual(g).tangent for g in gradient]
            primal = forward_ad.unpack_dual(value).primal
        products = [torch.zeros_like(t) if g is None else g for g, t in zip(tangents, theta, strict=True)]
        answers[:] = questions.answers
        return [*products, primal, *questions.asked]

    # Distinct tensors: a proxy is found by the tensor it stands for.
    at = (*tensors, *tensors, *held.values(), *(leaves[i] for i in places))
    return product, [t.clone() for t in at]


def _record(
    product: Callable[..., Any], given: Sequence[Tensor], count: int, constants: int, answers: list[Any]
) -> TracedProduct:
    root, graph = record(product, given)
    # A kept residual must not be changed in place by the map that reads it.
    if not drop_changes_in_place(graph):
        root, graph = record(functionalize(fx.GraphModule(root, graph)), given)
    drop_copies(graph)
    drop_zeros(graph)
    spell_out_pooling(graph)
    return _split(root, graph, count, answers, moving=2 * count + constants)


#: Finite where their derivatives are not. (1/√x is not finite itself there, which its loss shows.)
_SINGULAR = {"sqrt", "norm", "dist", "cdist", "_cdist_forward", "_pdist_forward", "hypot", "acos", "asin", "atan2"}


def _is_singular(node: fx.Node) -> bool:
    name = str(node.target).removeprefix("aten.").partition(".")[0]
    if name != "pow":
        return name in _SINGULAR or "linalg" in name
    power = node.args[1]
    return not (isinstance(power, (int, float)) and power >= 0 and power == int(power))


def _shaped_by_values(nodes: Sequence[fx.Node], moving: int) -> bool:
    """Whether a shape comes from values that the first ``moving`` inputs decide: those of a mask, say."""
    reached = set([n for n in nodes if n.op == "placeholder"][:moving])
    for node in nodes:
        if node.op != "call_function" or not any(part in reached for part in node.all_input_nodes):
            continue
        reached.add(node)
        deciding: Any = ()
        if node.target is torch.ops.aten.index.Tensor:
            indices: Any = node.args[1]
            deciding = [n for n in indices if n is not None and n.meta["tensor_meta"].dtype in _MASKS]
        elif torch.Tag.dynamic_output_shape in getattr(node.target, "tags", ()):
            deciding = node.all_input_nodes
        if any(part in reached for part in deciding):
            return True
    return False


_MASKS = (torch.bool, torch.uint8)


def _split(root: nn.Module, recorded: fx.Graph, count: int, answers: Sequence[Any], *, moving: int) -> TracedProduct:
    """Cut the recording where v enters."""
    nodes = list(recorded.nodes)
    holders, output = [n for n in nodes if n.op == "placeholder"], nodes[-1]
    found: Any = output.args[0]
    products, value, asked = found[:count], found[count], found[count + 1 :]
    course = course_of(root, recorded, asked, answers, moving=2 * count)
    reached = set(holders[:count])
    for node in nodes:
        if node.op == "call_function" and any(part in reached for part in node.all_input_nodes):
            reached.add(node)
    cut: dict[fx.Node, None] = {}  # in order, once each
    for node in (n for n in nodes if n in reached):
        cut.update((part, None) for part in node.all_input_nodes if part not in reached)
    cut.update((part, None) for part in products if part not in reached)

    before, after = fx.Graph(), fx.Graph()
    there: dict[fx.Node, fx.Node] = {}
    here = {node: after.placeholder(f"v{i}") for i, node in enumerate(holders[:count])}
    for node in nodes:
        if node not in reached and node is not output:
            there[node] = before.node_copy(node, there.__getitem__)
    before.output((*(there[node] for node in cut), there[value]))
    here |= {node: after.placeholder(f"r{i}") for i, node in enumerate(cut)}
    for node in nodes:
        if node in reached and node.op != "placeholder":
            here[node] = after.node_copy(node, here.__getitem__)
    after.output(fx.map_arg(products, here.__getitem__))
    for graph in (before, after):
        graph.eliminate_dead_code()
    join_products(after)
    return TracedProduct(
        fx.GraphModule(root, before),
        fx.GraphModule(root, after),
        course,
        one_point=_shaped_by_values(nodes, moving),
    )
