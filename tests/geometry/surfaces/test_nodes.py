"""Nodes of slices are nested and graded, and what is carried from them is right for what they can hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from landscape.geometry.surfaces.lattice import Lattice
from landscape.geometry.surfaces.nodes import LEVELS, barycentric, graded_nodes, place, unplaced


def test_each_level_holds_the_one_before_to_the_bit():
    for coarse, fine in itertools.pairwise(LEVELS):
        assert np.array_equal(graded_nodes(fine)[::2], graded_nodes(coarse))
        axes = np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)
        assert set(Lattice(coarse, axes).keys) < set(Lattice(fine, axes).keys)


@pytest.mark.parametrize("count", LEVELS)
def test_nodes_are_symmetric_end_at_one_and_have_an_exact_zero(count):
    x = place(graded_nodes(count))
    assert np.array_equal(x, -x[::-1])
    assert x[count // 2] == 0
    assert x[-1] == 1


@pytest.mark.parametrize("count", LEVELS)
def test_nodes_are_denser_around_the_centre_than_those_of_clenshaw_and_curtis(count):
    """By sinh(a)/a = 1.42 there, with a = 1.5; steps in t and in x are those of the derivative dx/dt."""
    x, plain = place(graded_nodes(count)), -np.cos(np.pi * np.arange(count) / (count - 1))
    middle = count // 2
    assert 1.25 < plain[middle + 1] / x[middle + 1] < np.sinh(1.5) / 1.5


def test_places_are_found_again():
    x = np.linspace(-1, 1, 101)
    np.testing.assert_allclose(place(unplaced(x)), x, atol=1e-15)


@pytest.mark.parametrize("count", [4, *LEVELS])
def test_polynomials_of_a_degree_below_the_number_of_nodes_are_reproduced(count):
    rng = np.random.default_rng(count)
    polynomial = np.polynomial.Chebyshev(rng.normal(size=count))
    t = rng.uniform(-1, 1, 200)
    found = barycentric(count, t) @ polynomial(graded_nodes(count))
    np.testing.assert_allclose(found, polynomial(t), atol=1e-12)


def test_one_degree_more_is_not_reproduced():
    polynomial = np.polynomial.Chebyshev([0] * 7 + [1])
    t = np.linspace(-1, 1, 33)
    assert np.abs(barycentric(7, t) @ polynomial(graded_nodes(7)) - polynomial(t)).max() > 0.1


def test_a_node_keeps_its_value_to_the_bit():
    values = np.random.default_rng(0).normal(size=13)
    assert np.array_equal(barycentric(13, graded_nodes(13)) @ values, values)
    assert np.array_equal(barycentric(13, unplaced(np.array([-1.0, 0.0, 1.0]))) @ values, values[[0, 6, 12]])


@pytest.mark.parametrize(("count", "degree"), [(7, 5), (13, 10), (25, 20)])
def test_a_checkerboard_predicts_polynomials_of_its_total_degree_and_no_others(count, degree):
    axes = np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)
    matrix = Lattice(count, axes).checkerboard
    y, x = (a.ravel() for a in np.meshgrid(graded_nodes(count), graded_nodes(count), indexing="ij"))
    assert matrix is not None
    for power in (0, degree // 2, degree):
        values = y**power * x ** (degree - power)
        np.testing.assert_allclose(matrix @ values, values, atol=1e-10)
    higher = np.cos((count - 1) * np.arccos(x))  # ±1 at the nodes
    assert np.abs(matrix @ higher - higher).max() > 0.1
    dark = np.add.outer(np.arange(count), np.arange(count)).ravel() % 2 == 0
    assert not matrix[np.ix_(dark, dark)].any()
    assert not matrix[np.ix_(~dark, ~dark)].any()
