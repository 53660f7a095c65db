"""Axes that are viewed, cut, joined and tied: what stays one group, and what becomes several."""

from __future__ import annotations

import pytest

from landscape.geometry.alignment.axes import cut, free, held, hold, joined, leaves, length, select, split, tie
from landscape.geometry.alignment.blocks import blocks_of


def sizes(dim):
    return [axis.size for axis in leaves(dim)]


def test_tied_axes_are_one_and_what_is_held_holds_all_that_is_tied():
    a, b, c = free(6), free(6), free(6)
    tie(a, b)
    tie(b, c)
    assert a[0].root is c[0].root
    hold(b)
    assert all(leaf.fixed for leaf in leaves(c))


def test_a_view_makes_a_product_of_whatever_is_tied_to_it():
    rows, columns = free(12), free(12)
    tie(rows, columns)
    heads, inner = split(rows, (3, 4))
    assert sizes(columns) == [3, 4]
    tie(columns, (*free(3), *free(4)))
    assert [next(iter(leaves(heads))), next(iter(leaves(inner)))] == list(leaves(columns))
    tie(rows, held(12))
    assert all(leaf.fixed for leaf in leaves(heads + inner))


def test_cuts_at_the_same_places_are_the_same_parts_and_others_make_finer_ones():
    whole = free(10)
    first, rest = cut(whole, 0, 4), cut(whole, 4, 10)
    assert cut(whole, 0, 4)[0].root is first[0].root
    middle = cut(whole, 4, 7)
    assert (sizes(whole), sizes(rest), sizes(middle)) == ([4, 3, 3], [3, 3], [3])
    other = joined([free(2), free(8)])
    tie(whole, other)
    assert sizes(other) == sizes(whole) == [2, 2, 3, 3]


def test_a_cut_through_the_slow_factor_leaves_the_fast_one_whole():
    pair = (*free(6), *free(5))
    part = cut(pair, 10, 20)
    assert sizes(part) == [2, 5]
    assert [block.axes[1] for block in blocks_of([pair])] == [part[1].number] * 3
    assert all(leaf.fixed for leaf in leaves(cut((*free(6), *free(5)), 3, 8)))


def test_sizes_that_have_no_common_factors_are_held():
    a, b = (*free(4), *free(3)), (*free(6), *free(2))
    tie(a, b)
    assert all(leaf.fixed for dim in (a, b) for leaf in leaves(dim))


def told():
    """Rows of a projection to three things of 8, viewed as (3, 2, 4), and the first two that are picked."""
    rows = free(24)
    views = split(rows, (3, 2, 4))
    seen = [(rows,), tuple(views)]
    return rows, views, [select(views, 0, index, seen) for index in (0, 1)]


def test_what_is_told_apart_by_an_index_has_neurons_of_its_own():
    rows, views, (q, k) = told()
    assert sizes(rows) == [2, 4] * 3
    tie(q[1], free(4))
    hold(q[1])
    assert [leaf.fixed for leaf in leaves(rows)] == [False, True, False, False, False, False]
    assert select(views, 0, -3, [])[1][0].root is q[1][0].root
    tie(q[0], k[0])
    assert split(rows, (3, 8))[0][0].root is views[0][0].root


def test_what_is_told_apart_is_one_again_where_the_whole_is_tied_to_something():
    rows, views, (q, k) = told()
    other = free(4)
    tie(views[2], other)
    assert q[1][0].root is k[1][0].root is other[0].root
    assert q[0][0].root is not k[0][0].root


def test_nothing_is_told_apart_that_was_seen_without_the_index():
    rows = free(6)
    views = split(rows, (2, 3))
    first = select(views, 0, 0, [(rows,), (views[1],)])
    assert first[0][0].root is views[1][0].root
    assert sizes(rows) == [2, 3]


@pytest.mark.parametrize("start", [0, 3])
def test_lengths_add_up(start):
    assert length(cut(free(7), start, 7)) == 7 - start
    assert length(joined([free(2), held(3), free(1)])) == 6
