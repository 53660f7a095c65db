"""What the operations of layers do to axes: products, convolutions, normalisations, sums, pooling, look-ups."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from landscape.geometry.alignment.axes import held, hold, length, split, tie
from landscape.geometry.alignment.calls import Call, Dims, Unknown, broadcast

Rule = Callable[[Call], Iterable[Dims]]


def _product(a_name: str, b_name: str, added: str = "") -> Rule:
    """Of (…, m, k) and (…, k, n), or a vector in place of either; with what is added to it."""

    def rule(call: Call) -> list[Dims]:
        a, b = call.dims(a_name), call.dims(b_name)
        batch = broadcast([a[:-2], b[:-2]], max(len(a), len(b)) - 2) if min(len(a), len(b)) > 2 else ()
        inner = b[-2] if len(b) > 1 else b[0]
        tie(a[-1], inner)
        kept = (*batch, *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))
        call.mix([a[-1]], kept, a_name, b_name)
        return [broadcast([kept, call.dims(added)], len(kept)) if added else kept]

    return rule


def _trilinear(call: Call) -> list[Dims]:
    """Three tensors multiplied entry by entry, then summed, as of ``nn.Bilinear``."""
    several = []
    for one in ("1", "2", "3"):
        dims = list(call.dims(f"i{one}"))
        for place in sorted(call[f"expand{one}"]):
            dims.insert(place, ())
        several.append(tuple(dims))
    whole = broadcast(several, len(several[0]))
    summed = {place % len(whole) for place in call["sumdim"]}
    kept = tuple(dim for place, dim in enumerate(whole) if place not in summed)
    call.mix([whole[place] for place in sorted(summed)], kept, "i1", "i2")
    return [kept]


def _linear(call: Call) -> list[Dims]:
    x, w = call.dims("input"), call.dims("weight")
    tie(x[-1], w[1])
    call.mix([x[-1]], [*x[:-1], w[0]], "input")
    if isinstance(call.get("bias"), Tensor):
        tie(w[0], call.dims("bias")[0])
    return [(*x[:-1], w[0])]


def _convolution(call: Call) -> list[Dims]:
    x, w = call.dims("input"), call.dims("weight")
    groups, (out,) = call.get("groups", 1), call.outs
    if len(x) != len(w):
        raise Unknown
    hold(*x[2:], *w[2:])
    if call.get("transposed", False):
        outer, inner = split(w[0], (groups, length(w[0]) // groups))
        made = w[1]
    else:
        outer, made = split(w[0], (groups, length(w[0]) // groups))
        inner = w[1]
    x_outer, x_inner = split(x[1], (groups, length(x[1]) // groups))
    tie(outer, x_outer)
    tie(inner, x_inner)
    channels = outer + made
    call.mix([x_inner], [x[0], channels], "input")
    if isinstance(call.get("bias"), Tensor):
        tie(channels, call.dims("bias")[0])
    return [(x[0], channels, *map(held, out.shape[2:]))]


# --- normalisation ----------------------------------------------------------------------------------------------------


def _batch_norm(call: Call) -> list[Dims]:
    x = call.dims("input")
    for name in ("weight", "bias", "running_mean", "running_var"):
        if isinstance(call.get(name), Tensor):
            tie(x[1], call.dims(name)[0])
    call.mix([x[0], *x[2:]], [x[1]])
    return [x, *((x[1],) if tuple(o.shape) == (length(x[1]),) else tuple(map(held, o.shape)) for o in call.outs[1:])]


def _layer_norm(call: Call) -> list[Dims]:
    x = call.dims("input")
    count = len(call["normalized_shape"])
    outer, inner = x[: len(x) - count], x[len(x) - count :]
    for name in ("weight", "bias"):
        if isinstance(call.get(name), Tensor):
            broadcast([inner, call.dims(name)], count)
    call.mix(inner, outer, "input")
    rest = outer + ((),) * count
    return [x, *(rest for _ in call.outs[1:])]


def _group_norm(call: Call) -> list[Dims]:
    x, groups = call.dims("input"), call["group"]
    outer, inner = split(x[1], (groups, length(x[1]) // groups))
    for name in ("weight", "bias"):
        if isinstance(call.get(name), Tensor):
            tie(outer + inner, call.dims(name)[0])
    call.mix([inner, *x[2:]], [x[0], outer], "input")
    return [(x[0], outer + inner, *x[2:]), *((x[0], outer) for _ in call.outs[1:])]


def _softmax(call: Call) -> list[Dims]:
    x = call.dims("self")
    place = call.place(call["dim"], len(x))
    call.mix([x[place]], [*x[:place], *x[place + 1 :]], "self")
    return [x]


# --- sums and pooling -------------------------------------------------------------------------------------------------


def _reduction(call: Call) -> list[Dims]:
    x = call.dims("self")
    asked = call.get("dim", [])
    asked = [asked] if isinstance(asked, int) else list(asked)
    places = {call.place(dim, len(x)) for dim in asked} if asked else set(range(len(x)))
    mixed = [dim for place, dim in enumerate(x) if place in places]
    kept = [dim for place, dim in enumerate(x) if place not in places]
    call.mix(mixed, kept, "self")
    out: Dims = tuple(kept)
    if call.get("keepdim", False):
        out = tuple(() if place in places else dim for place, dim in enumerate(x))
    return [out for _ in call.outs]


def _ordered(call: Call) -> list[Dims]:
    """Sums and choices along a dimension in whose order they are made."""
    x = call.dims("self")
    if not isinstance(call.get("dim"), int):
        raise Unknown
    place = call.place(call["dim"], len(x))
    hold(x[place])
    call.mix([x[place]], [*x[:place], *x[place + 1 :]])
    found = []
    for out in call.outs:
        if out.ndim == len(x):
            found.append((*x[:place], held(out.shape[place]), *x[place + 1 :]))
        else:
            found.append((*x[:place], *x[place + 1 :]))
    return found


def _extreme(call: Call) -> Iterable[Dims]:
    """The larger of two tensors, the largest of all entries, or along one dimension, with its place there."""
    if isinstance(call.get("other"), Tensor):
        return [broadcast([call.dims("self"), call.dims("other")], call.outs[0].ndim)]
    return _reduction(call) if call.get("dim") is None else _ordered(call)


def _pooling(call: Call) -> list[Dims]:
    """What moves in space, on the last dimensions of the tensor."""
    found = re.search(r"([123])d", call.name)
    x = call.dims("self") if "self" in call.given else call.dims("input")
    if found is None:
        raise Unknown
    outer = len(x) - int(found[1])
    hold(*x[outer:])
    call.mix(x[outer:], x[:outer])
    return [(*x[:outer], *map(held, out.shape[outer:])) for out in call.outs]


# --- look-ups ---------------------------------------------------------------------------------------------------------


def _embedding(call: Call) -> list[Dims]:
    table, indices = call.dims("weight"), call.dims("indices")
    hold(table[0])
    return [(*indices, *table[1:])]


def _embedding_bag(call: Call) -> list[Dims]:
    """Sums of rows; what else it gives are places."""
    table, (out, *places) = call.dims("weight"), call.outs
    hold(table[0])
    call.mix([table[0]], [table[1]])
    return [(held(out.shape[0]), table[1]), *(tuple(map(held, one.shape)) for one in places)]


def _index_select(call: Call) -> list[Dims]:
    x = call.dims("self")
    place = call.place(call["dim"], len(x))
    hold(x[place], *call.dims("index"))
    return [(*x[:place], held(call.outs[0].shape[place]), *x[place + 1 :])]


def _index(call: Call) -> list[Dims]:
    """Picking by whole numbers in neighbouring dimensions; the others go along."""
    x, indices = call.dims("self"), list(call["indices"])
    indices += [None] * (len(x) - len(indices))
    places = [place for place, index in enumerate(indices) if index is not None]
    if places != list(range(places[0], places[-1] + 1)) or any(
        index.dtype in (torch.bool, torch.uint8) for index in indices if index is not None
    ):
        raise Unknown
    hold(*(x[place] for place in places))
    chosen = [call.trace.dims_of(indices[place]) for place in places]
    hold(*(dim for dims in chosen for dim in dims))
    picked = call.outs[0].shape[places[0] : places[0] + call.outs[0].ndim - len(x) + len(places)]
    return [(*x[: places[0]], *map(held, picked), *x[places[-1] + 1 :])]


def _names(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Rule] = {
    "mm": _product("self", "mat2"),
    "bmm": _product("self", "mat2"),
    "matmul": _product("self", "other"),
    "addmm": _product("mat1", "mat2", "self"),
    "baddbmm": _product("batch1", "batch2", "self"),
    "mv": _product("self", "vec"),
    "dot": _product("self", "tensor"),
    "addmv": _product("mat", "vec", "self"),
    "linear": _linear,
    "_trilinear": _trilinear,
    **_names(_convolution, "convolution _convolution conv1d conv2d conv3d"),
    **_names(_batch_norm, "native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit "
             "_native_batch_norm_legit_no_training batch_norm _batch_norm_with_update"),
    **_names(_layer_norm, "native_layer_norm _fused_rms_norm"),
    "native_group_norm": _group_norm,
    **_names(_softmax, "_softmax _log_softmax _safe_softmax softmax log_softmax"),
    **_names(_reduction, "sum nansum mean amax amin var std var_mean std_mean prod logsumexp norm linalg_vector_norm "
             "all any count_nonzero"),
    **_names(_extreme, "max min"),
    **_names(_ordered, "cumsum cumprod cummax cummin logcumsumexp median mode argmax argmin sort topk kthvalue "
             "argsort"),
    **_names(_pooling, "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d "
             "avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
             "adaptive_max_pool2d adaptive_max_pool3d upsample_nearest1d upsample_nearest2d upsample_bilinear2d "
             "upsample_bicubic2d upsample_nearest3d reflection_pad1d reflection_pad2d replication_pad1d "
             "replication_pad2d mkldnn_max_pool2d"),
    "embedding": _embedding,
    **_names(_embedding_bag, "_embedding_bag _embedding_bag_forward_only"),
    "index_select": _index_select,
    "index": _index,
}  # fmt: skip
