"""Axes of tensors that operations tie to one another: which indices stand for the same neurons.

A dimension is a product of axes, the slowest first, as in ``(heads × width of a head)``; one of length 1 is the empty
product. An axis may turn out to be finer: a product, where it is viewed as several dimensions, or a sum, where it is
cut or concatenated. Axes that must be permuted alike are one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

_numbers = itertools.count()


class Axis:
    """``size`` indices that are permuted as one set, or not at all where it is ``fixed``.

    Attributes
    ----------
    number : int
        Grows in the order in which axes come up.
    factors : list of axes or None
        What it is the product of, the slowest first.
    parts : list of dimensions or None
        What it is the sum of, one after the other.
    splits : list of axes
        Products of which it is the first factor.
    members : tuple of (axis, list of axes) or None
        An axis, and for each index of it the axis that stands here: of what was stacked, or will be told apart; see
        :func:`select`. They are tied as soon as this one is to be anything else.
    told : list of axes or None
        Of a sum whose parts were told apart by an index: that index, and what has members for each.
    """

    __slots__ = ("_above", "factors", "fixed", "members", "number", "parts", "size", "splits", "told")

    def __init__(self, size: int, *, fixed: bool = False, parts: list[Dim] | None = None) -> None:
        self.size, self.fixed, self.parts = size, fixed, parts
        self.number = next(_numbers)
        self.factors: list[Axis] | None = None
        self.splits: list[Axis] = []
        self.members: tuple[Axis, list[Axis]] | None = None
        self.told: list[Axis] | None = None
        self._above: Axis | None = None

    @property
    def root(self) -> Axis:
        """The axis that stands for all it is tied to."""
        axis = self
        while axis._above is not None:
            if axis._above._above is not None:
                axis._above = axis._above._above
            axis = axis._above
        return axis

    def put_below(self, other: Axis) -> None:
        """Let another root stand for this one."""
        other.splits += self.splits
        self._above = other


Dim = tuple[Axis, ...]


def free(size: int) -> Dim:
    """A dimension that nothing is known of yet."""
    return (Axis(size),) if size != 1 else ()


def held(size: int) -> Dim:
    """A dimension that stays as it is."""
    return (Axis(size, fixed=True),) if size != 1 else ()


def length(dim: Sequence[Axis]) -> int:
    return math.prod(axis.size for axis in dim)


def resolved(dim: Sequence[Axis]) -> list[Axis]:
    """The dimension as a product of axes that are no products themselves."""
    found: list[Axis] = []
    for one in dim:
        axis = one.root
        found += [axis] if axis.factors is None else resolved(axis.factors)
    return found


def leaves(dim: Sequence[Axis]) -> Iterator[Axis]:
    """All axes that are neither products nor sums, those of all parts of a sum."""
    for axis in resolved(dim):
        if axis.parts is None:
            yield axis
        else:
            for part in axis.parts:
                yield from leaves(part)


def is_held(axis: Axis) -> bool:
    return axis.fixed if axis.parts is None else all(leaf.fixed for leaf in leaves((axis,)))


def stacked(axes: Sequence[Axis], along: Axis) -> Axis:
    """Axes of one length that stand in the same place, one for each index of ``along``."""
    if all(axis.root is axes[0].root for axis in axes):
        return axes[0]
    made = Axis(axes[0].size)
    made.members = along, list(axes)
    return made


def _settled(axis: Axis) -> Axis:
    """The axis with its members, if it has some, tied to be one."""
    if axis.members is None:
        return axis
    members, axis.members = axis.members[1], None
    for member in members:
        tie((axis,), (member,))
    return axis.root


def hold(*dims: Sequence[Axis]) -> None:
    """Keep dimensions as they are, from now on."""
    for dim in dims:
        for leaf in leaves(dim):
            leaf.fixed = True
            if leaf.members is not None:
                hold(leaf.members[1])


def tie(one: Sequence[Axis], other: Sequence[Axis]) -> None:
    """Let two dimensions of one length be permuted alike."""
    a, b = resolved(one), resolved(other)
    while a and b:
        a, b = resolved(a), resolved(b)  # what came before may have made them finer
        x, y = a.pop(0), b.pop(0)
        if x is y:
            continue
        if x.size == y.size:
            _join(x, y)
            continue
        more, (large, small) = (a, (x, y)) if x.size > y.size else (b, (y, x))
        factors = _factored(large, small.size)
        if factors is None:
            hold((x, y, *a, *b))
            return
        more[:0] = resolved(factors[1])
        tie(factors[0], (small,))


def split(dim: Sequence[Axis], sizes: Sequence[int]) -> list[Dim]:
    """A dimension viewed as several, whose lengths multiply to its own."""
    rest, found = resolved(dim), []
    for size in sizes:
        taken: list[Axis] = []
        need = size
        while need > 1:
            axis = rest.pop(0)
            if need % axis.size == 0:
                taken.append(axis)
                need //= axis.size
                continue
            factors = _factored(axis, need)
            if factors is None:
                hold(dim)
                return [held(size) for size in sizes]
            taken += factors[0]
            rest[:0] = resolved(factors[1])
            need = 1
        found.append(tuple(taken))
    return found


def cut(dim: Sequence[Axis], start: int, stop: int) -> Dim:
    """The part of a dimension from ``start`` to before ``stop``."""
    axes = resolved(dim)
    if (start, stop) == (0, length(axes)):
        return tuple(axes)
    if not axes or stop <= start:
        return held(max(stop - start, 0))
    inner = length(axes[1:])
    if start % inner or stop % inner:
        hold(axes)
        return held(stop - start)
    return _cut_axis(axes[0], start // inner, stop // inner) + tuple(axes[1:])


def joined(dims: Sequence[Dim]) -> Dim:
    """Dimensions one after the other, as one."""
    dims = [dim for dim in dims if length(dim) > 0]
    size = sum(map(length, dims))
    if len(dims) == 1:
        return dims[0]
    if all(is_held(axis) for dim in dims for axis in resolved(dim)):
        return held(size)
    return (Axis(size, parts=list(dims)),)


def select(dims: Sequence[Dim], place: int, index: int, seen: Sequence[Sequence[Dim]]) -> list[Dim]:
    """The dimensions of what stands at one index of the dimension at ``place``.

    Where a projection makes queries, keys and values at once and they are told apart by an index, each has neurons of
    its own: the axis ``(3 × width)`` turns from a product into a sum. That is possible as long as no tensor that was
    ``seen`` has the width without the three.
    """
    others = [dim for i, dim in enumerate(dims) if i != place]
    told = resolved(dims[place])
    if len(told) != 1:
        hold(dims[place])
        return others
    (axis,) = told
    if not axis.fixed and axis.parts is None:
        _tell_apart(axis, seen)
    hold((axis,))
    return [_of_member(dim, axis, index) for dim in others]


def _of_member(dim: Dim, axis: Axis, index: int) -> Dim:
    """A dimension with each axis that was copied for the indices of ``axis`` replaced by the copy of one."""
    index %= axis.size
    found: list[Axis] = []
    for one in resolved(dim):
        told = one.members is not None and one.members[0].root is axis
        found.append(one.members[1][index] if told and one.members else one)
    return tuple(found)


def _tell_apart(axis: Axis, seen: Sequence[Sequence[Dim]]) -> None:
    inner = [resolved((one.root.factors or [])[1:]) for one in axis.splits if one.root.factors]
    if not inner or any(one != inner[0] for one in inner) or any(a.fixed or a.parts or a.members for a in inner[0]):
        return
    copied = set(inner[0])
    for dims in seen:
        found = {leaf for dim in dims for leaf in leaves(dim)}
        if found & copied and axis not in found:
            return
    for leaf in inner[0]:
        leaf.members = axis, [Axis(leaf.size) for _ in range(axis.size)]
    for one in axis.splits:
        whole = one.root
        whole.factors = None
        whole.told = [axis, *inner[0]]
        whole.parts = [tuple(leaf.members[1][i] for leaf in inner[0] if leaf.members) for i in range(axis.size)]


def _factored(axis: Axis, size: int) -> tuple[Dim, Dim] | None:
    """An axis as a product whose first factor has this size; None where it cannot be one and is fixed instead."""
    if axis.size % size:
        return None
    rest = axis.size // size
    if axis.told is not None and axis.told[0].size == size:
        return (axis.told[0],), tuple(axis.told[1:])
    if is_held(axis):
        return held(size), held(rest)
    if axis.members is not None:
        return _refactored(axis, size)
    if axis.parts is None:
        axis.factors = [Axis(size), Axis(rest)]
        axis.factors[0].splits.append(axis)
        return (axis.factors[0],), (axis.factors[1],)
    if any(length(part) % rest for part in axis.parts):
        return None
    pieces = [split(part, (length(part) // rest, rest)) for part in axis.parts]
    for piece in pieces[1:]:
        tie(pieces[0][1], piece[1])
    first = Axis(size, parts=[piece[0] for piece in pieces])
    axis.parts, axis.factors = None, [first, *resolved(pieces[0][1])]
    return (first,), tuple(axis.factors[1:])


def _refactored(axis: Axis, size: int) -> tuple[Dim, Dim]:
    """What has members as a product, once these are tied."""
    first, second = split((_settled(axis),), (size, axis.size // size))
    return first, second


def _cut_axis(axis: Axis, start: int, stop: int) -> Dim:
    if (start, stop) == (0, axis.size):
        return (axis,)
    if axis.members is not None:
        return cut((_settled(axis),), start, stop)
    if is_held(axis):
        return held(stop - start)
    if axis.parts is None:
        bounds = (0, start, stop, axis.size)
        axis.parts = [free(b - a) for a, b in itertools.pairwise(bounds) if b > a]
    if not (_has_bound(axis, start) and _has_bound(axis, stop)):
        hold((axis,))
        return held(stop - start)
    found, at = [], 0
    for part in axis.parts:
        if start <= at < stop:
            found.append(part)
        at += length(part)
    return joined(found)


def _has_bound(axis: Axis, bound: int) -> bool:
    """Make one part of a sum end here, by cutting the one across it; whether that could be done."""
    assert axis.parts is not None
    at = 0
    for place, part in enumerate(axis.parts):
        size = length(part)
        if at == bound:
            return True
        if at < bound < at + size:
            pieces = [cut(part, 0, bound - at), cut(part, bound - at, size)]
            axis.parts[place : place + 1] = pieces
            return True
        at += size
    return at == bound


def _bounds(axis: Axis) -> list[int]:
    found = [0]
    for part in axis.parts or ():
        found.append(found[-1] + length(part))
    return found


def _join(x: Axis, y: Axis) -> None:
    """Let two different roots of one size be one axis."""
    if x.members is not None or y.members is not None:
        tie((_settled(x),), (_settled(y),))
        return
    if is_held(x) or is_held(y):
        hold((x,), (y,))
        if x.parts is None and y.parts is None:
            y.put_below(x)
        return
    if x.parts is not None and y.parts is not None:
        for bound in sorted({*_bounds(x), *_bounds(y)}):
            _has_bound(x, bound)
            _has_bound(y, bound)
        for one, other in zip(list(x.parts), list(y.parts), strict=True):
            tie(one, other)
        if x.root is not y.root:
            y.put_below(x)
        return
    whole, plain = (x, y) if x.parts is not None else (y, x)
    plain.put_below(whole)
