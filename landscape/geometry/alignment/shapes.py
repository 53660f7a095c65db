"""What operations that only move entries do to axes: views, transposes, cuts, concatenations, padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from landscape.geometry.alignment.axes import (
    Axis,
    Dim,
    cut,
    free,
    held,
    hold,
    joined,
    length,
    resolved,
    select,
    split,
    stacked,
    tie,
)
from landscape.geometry.alignment.calls import Call, Dims, Unknown, broadcast
from landscape.geometry.alignment.layers import Rule


def viewed(x: Dims, sizes: Sequence[int]) -> Dims:
    """The dimensions of the same entries, in their order, as a tensor of another shape."""
    found: list[Dim] = []
    rest, wanted = list(x), list(sizes)
    while rest or wanted:
        taken, made = list(rest[:1]), list(wanted[:1])
        del rest[:1], wanted[:1]
        before, after = _lengths(taken), math.prod(made)
        while before != after:  # both end at the same entry
            if before < after:
                taken.append(rest.pop(0))
                before = _lengths(taken)
            else:
                made.append(wanted.pop(0))
                after = math.prod(made)
        found += split(tuple(axis for dim in taken for axis in dim), made)
    return tuple(found)


def _lengths(dims: Sequence[Dim]) -> int:
    return math.prod(map(length, dims))


def _view(call: Call) -> list[Dims]:
    out = call.outs[0]
    if out.numel() == 0:
        raise Unknown
    return [viewed(call.dims("self"), out.shape)]


def _transpose(call: Call) -> list[Dims]:
    x = list(call.dims("self"))
    if len(x) < 2:
        return [tuple(x)]
    one, other = (0, 1) if call.name == "t" else (call["dim0"] % len(x), call["dim1"] % len(x))
    x[one], x[other] = x[other], x[one]
    return [tuple(x)]


def _permute(call: Call) -> list[Dims]:
    x = call.dims("self")
    return [tuple(x[dim % len(x)] for dim in call["dims"])]


def _squeeze(call: Call) -> list[Dims]:
    """Dimensions of length 1 come or go; the others stay in their order."""
    rest = [dim for dim in call.dims("self") if length(dim) != 1]
    return [tuple(rest.pop(0) if size != 1 else () for size in call.outs[0].shape)]


def _expand(call: Call) -> list[Dims]:
    x, out = call.dims("self"), call.outs[0]
    x = ((),) * (out.ndim - len(x)) + x
    return [tuple(dim if length(dim) == size else free(size) for dim, size in zip(x, out.shape, strict=True))]


def _repeat(call: Call) -> list[Dims]:
    x, times = call.dims("self"), call["repeats"]
    x = ((),) * (len(times) - len(x)) + x
    return [tuple(free(count) + dim for dim, count in zip(x, times, strict=True))]


def _slice(call: Call) -> list[Dims]:
    x = call.dims("self")
    place, size = call["dim"] % len(x), length(x[call["dim"] % len(x)])
    start, stop, _ = slice(call.get("start"), call.get("end")).indices(size)
    if call.get("step", 1) != 1:
        hold(x[place])
        part = held(call.outs[0].shape[place])
    else:
        part = cut(x[place], start, stop)
    return [_with(x, place, part)]


def _with(x: Dims, place: int, dim: Dim) -> Dims:
    return (*x[:place], dim, *x[place + 1 :])


def _split(call: Call) -> list[Dims]:
    x = call.dims("self")
    place = call.get("dim", 0) % len(x)
    found, at = [], 0
    for out in call.outs:
        found.append(_with(x, place, cut(x[place], at, at + out.shape[place])))
        at += out.shape[place]
    return found


def _select(call: Call) -> list[Dims]:
    x = call.dims("self")
    return [tuple(select(x, call["dim"] % len(x), call["index"], call.trace.facts.seen))]


def _unbind(call: Call) -> list[Dims]:
    x = call.dims("self")
    place = call.get("dim", 0) % len(x)
    return [tuple(select(x, place, index, call.trace.facts.seen)) for index in range(len(call.outs))]


def _cat(call: Call) -> list[Dims]:
    several = [call.trace.dims_of(tensor) for tensor in call["tensors"]]
    several = [dims for dims in several if len(dims) == call.outs[0].ndim]  # torch passes over what is empty
    place = call.get("dim", 0) % call.outs[0].ndim
    others = broadcast([_with(dims, place, ()) for dims in several], len(several[0]))
    return [_with(others, place, joined([dims[place] for dims in several]))]


def _stack(call: Call) -> list[Dims]:
    several = [call.trace.dims_of(tensor) for tensor in call["tensors"]]
    place = call.get("dim", 0) % call.outs[0].ndim
    along = held(len(several))
    dims = [_piled([resolved(one[i]) for one in several], along) for i in range(len(several[0]))]
    return [(*dims[:place], along, *dims[place:])]


def _piled(several: Sequence[Sequence[Axis]], along: Dim) -> Dim:
    """A dimension of each of the tensors that are stacked, which need not be permuted alike."""
    sizes = [[axis.size for axis in axes] for axes in several]
    if along and all(one == sizes[0] for one in sizes):
        return tuple(stacked(axes, along[0]) for axes in zip(*several, strict=True))
    for axes in several[1:]:
        tie(several[0], axes)
    return tuple(several[0])


def _pad(call: Call) -> list[Dims]:
    """What is put around has one value, so that its own order does not matter."""
    x, pads = list(call.dims("self")), list(call["pad"])
    for place, (before, after) in zip(range(len(x) - 1, -1, -1), zip(pads[::2], pads[1::2], strict=True), strict=False):
        size = length(x[place])
        inside = cut(x[place], max(-before, 0), size - max(-after, 0))
        x[place] = joined([*_around(before), inside, *_around(after)])
    return [tuple(x)]


def _around(count: int) -> list[Dim]:
    return [free(count)] if count > 0 else []


def _glu(call: Call) -> list[Dims]:
    """One half gates the other."""
    x = call.dims("self")
    place = call.get("dim", -1) % len(x)
    half = length(x[place]) // 2
    first, second = cut(x[place], 0, half), cut(x[place], half, 2 * half)
    tie(first, second)
    return [_with(x, place, first)]


def _reversed(call: Call) -> list[Dims]:
    """The order along these dimensions is another one."""
    x = call.dims("self")
    asked: Any = call["dims"]
    if not asked:
        raise Unknown
    hold(*(x[dim % len(x)] for dim in asked))
    return [x]


def _triangle(call: Call) -> list[Dims]:
    x = call.dims("self")
    hold(*x[-2:])
    return [x]


def _unfold(call: Call) -> list[Dims]:
    """Windows along one dimension."""
    x = call.dims("self")
    place, out = call["dimension"] % len(x), call.outs[0]
    hold(x[place])
    return [(*_with(x, place, held(out.shape[place])), held(out.shape[-1]))]


def _patches(call: Call) -> list[Dims]:
    """Patches of images: (N, channels × places in a patch, patches)."""
    x, out = call.dims("self"), call.outs[0]
    if len(x) != 4:
        raise Unknown
    hold(*x[2:])
    return [(x[0], x[1] + held(out.shape[1] // length(x[1])), held(out.shape[2]))]


def _same(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Rule] = {
    **_same(_view, "view _unsafe_view _reshape_alias reshape flatten unflatten view_copy"),
    **_same(_transpose, "t transpose swapaxes t_copy transpose_copy"),
    **_same(_permute, "permute permute_copy"),
    **_same(_squeeze, "squeeze unsqueeze squeeze_copy unsqueeze_copy"),
    **_same(_expand, "expand expand_copy broadcast_to"),
    "repeat": _repeat,
    **_same(_slice, "slice slice_copy"),
    **_same(_split, "split split_with_sizes unsafe_split unsafe_split_with_sizes split_copy split_with_sizes_copy "
            "chunk unsafe_chunk"),
    **_same(_select, "select select_copy"),
    **_same(_unbind, "unbind unbind_copy"),
    **_same(_cat, "cat concat"),
    "stack": _stack,
    "constant_pad_nd": _pad,
    **_same(_reversed, "flip roll"),
    **_same(_triangle, "tril triu"),
    "glu": _glu,
    "unfold": _unfold,
    "im2col": _patches,
}  # fmt: skip
