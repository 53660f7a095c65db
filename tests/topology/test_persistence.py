"""Basins against closed forms, two other routes to the same pairs, and noise that must not make any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage, optimize

import landscape as ls
from landscape.errors import UsageError
from landscape.results import LineSlice, PathSlice, PlaneSlice
from landscape.topology.merge_tree import merge_tree

gudhi = pytest.importorskip("gudhi")
NO = np.full((2, 2), np.nan)


def plane(x, y, loss, **more) -> PlaneSlice:
    return PlaneSlice(np.asarray(x), np.asarray(y), loss, ("one", "two"), np.ones(2), NO, NO, NO, **more)


def evaluated(function, x, y, **more) -> PlaneSlice:
    return plane(x, y, function(*np.meshgrid(x, y)), **more)


def line(t, loss, **more) -> LineSlice:
    return LineSlice(np.asarray(t), np.asarray(loss, dtype=float), "by hand", 1.0, **more)


def double_well(x, y):
    return (x**2 - 1) ** 2 + y**2


def himmelblau(x, y):
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


# --- closed forms -----------------------------------------------------------------------------------------------------


def test_a_double_well_has_two_basins_that_join_over_a_saddle_of_height_one():
    found = ls.persistence(evaluated(double_well, np.linspace(-1.5, 1.5, 31), np.linspace(-1, 1, 21)))
    assert (found.count, found.most, len(found)) == (2, 2, 2)
    assert found.births == pytest.approx([0, 0], abs=1e-12)
    assert found.deaths.tolist() == [np.inf, pytest.approx(1)]
    assert sorted(found.minimum_xy[:, 0].tolist()) == pytest.approx([-1, 1])
    assert found.minimum_xy[:, 1] == pytest.approx([0, 0], abs=1e-12)
    assert found.saddle_xy[1] == pytest.approx([0, 0], abs=1e-12)
    assert np.isnan(found.saddle_xy[0]).all()
    assert found.parent.tolist() == [-1, 0]
    assert found.areas[0] == pytest.approx(6)  # all of [−1.5, 1.5] × [−1, 1]


def test_the_area_of_a_well_is_that_below_its_saddle_on_its_side():
    """{(x² − 1)² + y² < 1, x > 0} has the area ∫ 2x√(2 − x²) dx over 0 … √2, 4√2/3."""
    found = ls.persistence(evaluated(double_well, np.linspace(-1.6, 1.6, 161), np.linspace(-1.2, 1.2, 121)))
    assert found.areas[1] == pytest.approx(4 * 2**0.5 / 3, rel=0.01)
    assert found.region(1).sum() * 0.02**2 == pytest.approx(found.areas[1])


def test_himmelblaus_four_minima_join_over_three_of_its_four_saddles_and_the_last_closes_a_ring():
    def gradient(at):
        x, y = at
        first, second = x**2 + y - 11, x + y**2 - 7
        return [4 * x * first + 2 * second, 2 * first + 4 * y * second]

    near = [(3.4, 0.1), (0.1, 2.9), (-3.1, -0.1), (-0.1, -2.0), (-0.3, -0.9)]
    heights = sorted(himmelblau(*optimize.fsolve(gradient, start)) for start in near)
    found = ls.persistence(
        evaluated(himmelblau, np.linspace(-5, 5, 251), np.linspace(-5, 5, 251)), error=0.4, rings=True
    )
    assert found.count == found.most == 4
    assert np.all((found.births >= 0) & (found.births < 0.05))
    assert sorted(found.deaths)[:3] == pytest.approx(heights[:3], rel=0.01)
    assert all(death >= height - 1e-9 for death, height in zip(sorted(found.deaths), heights[:3], strict=False))
    (ring,) = found.rings.tolist()
    assert ring == pytest.approx(heights[3:], rel=0.005)
    top = [found.x[found.ring_at[0, 1, 1]], found.y[found.ring_at[0, 1, 0]]]
    assert top == pytest.approx([-0.27, -0.92], abs=0.05)


def test_a_w_on_a_line_joins_the_shallow_well_to_the_deep_one_beside_it():
    found = ls.persistence(line(range(7), [5, 1, 3, 0, 4, 2, 6]))
    assert found.births.tolist() == [0, 1, 2]
    assert found.deaths.tolist() == [np.inf, 3, 4]
    assert found.parent.tolist() == [-1, 0, 0]
    assert found.minimum_xy[:, 0].tolist() == [3, 1, 5]
    assert found.areas.tolist() == [6, 1, 1]
    assert found.branch.tolist() == [[0, 1, 0, 0, 0, 2, 0]]


def test_a_well_within_a_well_ends_in_the_well_around_it():
    found = ls.persistence(line(range(9), [9, 0, 8, 2, 4, 1, 8.5, 0.5, 9]))
    assert found.births.tolist() == [0, 0.5, 1, 2]
    assert found.parent.tolist() == [-1, 0, 0, 2]
    assert found.region(2).tolist() == [[False, False, False, True, True, True, False, False, False]]
    assert found.areas[2] == 3


def test_equal_heights_make_one_basin_and_none_without_depth():
    flat = ls.persistence(plane(range(4), range(3), np.ones((3, 4))))
    assert (len(flat), flat.areas.tolist()) == (1, [6])
    ledge = ls.persistence(line(range(6), [2, 1, 1, 1, 0, 3]))
    assert ledge.births.tolist() == [0]


# --- other routes -----------------------------------------------------------------------------------------------------


def fields():
    """Smooth, rough, with ties, with walls, thin."""
    rng = np.random.default_rng(0)
    yield rng.normal(size=(17, 23))
    yield ndimage.gaussian_filter(rng.normal(size=(30, 20)), 2)
    for share in (0.0, 0.2, 0.5):
        tied = rng.integers(0, 6, (14, 15)).astype(float)
        tied[rng.random(tied.shape) < share] = np.nan
        yield tied
    yield rng.normal(size=(1, 40))
    yield np.where(rng.random((9, 9)) < 0.3, np.inf, rng.normal(size=(9, 9)))


FIELDS = dict(enumerate(fields()))


@pytest.mark.parametrize("number", FIELDS)
def test_pairs_are_those_of_gudhi(number):
    values = FIELDS[number]
    complex_ = gudhi.CubicalComplex(vertices=np.where(np.isfinite(values), values, np.inf))
    theirs = [pair for dimension, pair in complex_.persistence() if dimension == 0 and np.isfinite(pair[0])]
    tree = merge_tree(values)
    np.testing.assert_array_equal(sorted(zip(tree.births, tree.deaths, strict=True)), sorted(theirs))


@pytest.mark.parametrize("number", FIELDS)
def test_components_of_every_level_are_those_that_labelling_finds(number):
    values = FIELDS[number]
    tree = merge_tree(values)
    for level in np.unique(values[np.isfinite(values)]):
        labels, count = ndimage.label(np.isfinite(values) & (values <= level))
        alive = (tree.births <= level) & (level < tree.deaths)
        assert alive.sum() == count
        assert len(set(labels.ravel()[tree.minima[alive]])) == count


@pytest.mark.parametrize("number", [k for k in FIELDS if min(FIELDS[k].shape) > 1])
def test_a_region_is_what_labelling_finds_below_the_saddle_around_the_minimum(number):
    values = FIELDS[number]
    found = ls.persistence(plane(range(values.shape[1]), range(values.shape[0]), values))
    assert len(found) > 1
    for k in range(len(found)):
        below = np.isfinite(values) & (values < found.deaths[k])
        labels, _ = ndimage.label(below)
        expected = labels == labels[tuple(found.minimum_at[k])]
        ties = np.isfinite(found.deaths[k]) and np.unique(values).size < 20
        if not ties:
            np.testing.assert_array_equal(found.region(k), expected)
        if found.parent[k] >= 0:
            joined, _ = ndimage.label(np.isfinite(values) & (values <= found.deaths[k]))
            parent = found.parent[k]
            assert joined[tuple(found.minimum_at[k])] == joined[tuple(found.minimum_at[parent])]
            assert found.births[parent] <= found.births[k]


# --- the error --------------------------------------------------------------------------------------------------------


def test_noise_of_the_stated_size_never_makes_a_basin_that_counts_and_never_takes_one_that_must():
    x, y = np.linspace(-1.5, 1.5, 31), np.linspace(-1, 1, 21)
    rng, seen = np.random.default_rng(0), []
    for function, truth in ((double_well, 2), (lambda x, y: x**2 + y**2, 1)):
        exact = evaluated(function, x, y)
        for _ in range(100):
            noisy = replace(exact, loss=exact.loss + rng.uniform(-0.2, 0.2, exact.loss.shape), error=0.2)
            found = ls.persistence(noisy)
            assert found.count <= truth <= found.most
            seen.append((truth, found.count, ls.persistence(noisy, error=0.0).count))
    assert all(count == 2 for truth, count, _ in seen if truth == 2), "a saddle of 1 is above four times the error"
    assert min(alone - truth for truth, _, alone in seen) > 5, "without the error noise counts"


def test_a_basin_counts_where_it_is_deeper_than_twice_the_error():
    surface = evaluated(double_well, np.linspace(-1.5, 1.5, 31), np.linspace(-1, 1, 21), error=0.499)
    assert ls.persistence(surface).count == 2
    found = ls.persistence(surface, error=0.5)
    assert (found.count, found.most) == (1, 2)
    assert str(found).startswith("basins              1 (up to 2) of the loss on 21 × 31 points")


def test_what_float32_rounds_is_left_open_where_no_error_is_stated():
    rng = np.random.default_rng(0)
    flat = plane(range(40), range(40), (3 + 1e-7 * rng.normal(size=(40, 40))).astype(np.float32).astype(float))
    found = ls.persistence(flat)
    assert found.most > 10
    assert found.count == 1


def test_an_error_that_nobody_knows_decides_nothing():
    found = ls.persistence(line(range(5), [2, 0, 2, 1, 2], error=float("nan"), num_evaluations=3))
    assert (found.count, found.most) == (1, 2)
    assert "unknown" in str(found)


def test_logarithms_judge_by_the_error_of_the_logarithm_and_leave_the_tree_as_it_is():
    loss = np.array([9.0, 1e-4, 0.1, 1e-3, 9.0, 1.0, 9.0])
    surface = line(range(7), loss, error=0.5, error_log10=0.1, num_evaluations=5)
    plain, logarithm = ls.persistence(surface), ls.persistence(surface, scale="log10")
    assert plain.count == 2  # the wells of 1e-4 and 1e-3 are one within ± 0.5
    assert logarithm.count == 3
    by_place = {tuple(at): p for at, p in zip(logarithm.minimum_at.tolist(), logarithm.parent.tolist(), strict=True)}
    assert len(by_place) == 3
    assert sorted(logarithm.deaths)[:2] == pytest.approx([-1, np.log10(9)])
    with pytest.raises(UsageError, match="scale='log10', but the lowest value is -1"):
        ls.persistence(line(range(3), [1, -1, 1]), scale="log10")


def test_of_drawn_examples_the_error_is_said_to_hold_at_95_percent():
    surface = line(range(5), [2, 0, 2, 1, 2], error=0.1, num_evaluations=3, num_drawn=10, num_examples=100)
    assert ls.persistence(surface).error_from == "as the surface states it at 95 %"
    assert ls.persistence(surface, error=0.3).error_from == "as given"


def test_a_well_that_every_second_point_misses_makes_the_count_hang_on_the_grid():
    x = np.linspace(-2, 2, 41)
    loss = np.add.outer(x**2, x**2) + 1
    loss[10, 31] = 0.5
    found = ls.persistence(plane(x, x, loss))
    assert (found.count, found.count_on_half) == (2, 1)
    assert "has 1, so the count hangs on the grid" in str(found)
    assert ls.persistence(line(range(4), [2, 0, 2, 1])).count_on_half == -1


# --- walls, metrics, refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wall", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_a_wall_and_holds_parts_apart(wall):
    loss = np.add.outer(np.arange(5.0), np.abs(np.arange(-3.0, 4.0)))
    loss[:, 3] = wall
    found = ls.persistence(plane(range(7), range(5), loss))
    assert found.count == 2
    assert np.isinf(found.deaths).all()
    assert (found.branch[:, 3] == -1).all()
    assert "5 points without a finite value, which hold 2 parts apart" in str(found)


def test_a_metric_that_is_a_loss_has_basins_too_and_one_that_is_interpolated_needs_an_error():
    values = np.array([[3.0, 0, 3, 1, 3], [0.1, 0.9, 0.1, 0.9, 0.1]])
    surface = line(range(5), [1, 2, 3, 4, 5], metric_names=("test loss", "accuracy"), metric_values=values,
                   metric_losses=("test loss",))  # fmt: skip
    assert ls.persistence(surface).count == 1
    assert ls.persistence(surface, metric="test loss").births.tolist() == [0, 1]
    with pytest.raises(UsageError, match="metric='accuracy' is no loss"):
        ls.persistence(surface, metric="accuracy")
    with pytest.raises(UsageError, match="not of metric='test loss'.*give error="):
        ls.persistence(replace(surface, num_evaluations=3, error=0.1), metric="test loss")
    assert ls.persistence(replace(surface, num_evaluations=3), metric="test loss", error=0.1).count == 2


def test_a_plane_with_paths_is_taken_too():
    paths = PathSlice(np.arange(3.0), np.arange(2.0), np.eye(2, 3), ("w", "b"), ("sgd",), np.array([2]), np.eye(2),
                      np.zeros(2), 0.9)  # fmt: skip
    assert ls.persistence(paths).minimum_xy.tolist() == [[1, 0], [0, 1]]


def test_what_has_no_basins_is_refused():
    with pytest.raises(UsageError, match="not a list"):
        ls.persistence([1.0, 2.0])
    with pytest.raises(UsageError, match="no point of this surface has a finite loss"):
        ls.persistence(line(range(3), [np.nan] * 3))
    with pytest.raises(UsageError, match="no basin 7; there are 1"):
        ls.persistence(line(range(3), [1, 0, 1])).region(7)
