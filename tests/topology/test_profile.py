"""The topological landscape profile is a line with the basins, and at each level the area, of the surface."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import landscape as ls
from landscape.results import LineSlice, PlaneSlice

NO = np.full((2, 2), np.nan)


def surface(seed: int, *, walls: float = 0.0, even: bool = True) -> PlaneSlice:
    rng = np.random.default_rng(seed)
    x, y = np.linspace(-1, 1, 30), np.linspace(-1, 1, 24)
    if not even:
        x, y = np.sinh(x), np.sort(rng.uniform(-1, 1, 24))
    loss = ndimage.gaussian_filter(rng.normal(size=(24, 30)), 1.5) + 0.1 * np.add.outer(y**2, x**2)
    loss[rng.random(loss.shape) < walls] = np.nan
    return PlaneSlice(x, y, loss, ("one", "two"), np.ones(2), NO, NO, NO)


def pairs(found, *, decided=False):
    chosen = found.decided | (not decided)
    return sorted(zip(found.births[chosen], found.deaths[chosen], strict=True))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("undecided", [True, False])
def test_as_a_line_it_has_the_pairs_of_the_surface(seed, undecided):
    found = ls.persistence(surface(seed), error=0.02)
    assert 1 < found.count < found.most
    _, heights, _ = found.profile(undecided=undecided)
    as_line = ls.persistence(LineSlice(np.arange(len(heights) + 0.0), heights, "profile", 1.0))
    expected = pairs(found, decided=not undecided)
    np.testing.assert_array_equal(pairs(as_line), expected)


@pytest.mark.parametrize(("walls", "even"), [(0.0, True), (0.0, False), (0.4, False)])
def test_below_each_level_it_is_as_wide_as_the_surface_has_area(walls, even):
    plane = surface(0, walls=walls, even=even)
    found = ls.persistence(plane, error=0.01)
    edges, heights, basins = found.profile()
    cells = np.outer(*(np.gradient(c) for c in (plane.y, plane.x)))
    cells[[0, -1]] /= 2  # a point at the rim has what lies inside
    cells[:, [0, -1]] /= 2
    widths = np.diff(edges)
    for level in np.nanquantile(plane.loss, [0.01, 0.2, 0.5, 0.9, 1.0]):
        assert widths[heights <= level].sum() == pytest.approx(cells[plane.loss <= level].sum())
    whole = np.ptp(plane.x) * np.ptp(plane.y)
    assert edges[-1] == pytest.approx(whole if walls else cells.sum())
    assert (np.isnan(heights) == (basins < 0)).all()


def test_a_valley_is_as_deep_and_wide_as_its_basin():
    found = ls.persistence(LineSlice(np.arange(7.0), np.array([5.0, 1, 3, 0, 4, 2, 6]), "W", 1.0))
    edges, heights, basins = found.profile()
    for k in (1, 2):
        inside = basins == k
        assert heights[inside].min() == found.births[k]
        assert np.diff(edges)[inside].sum() == pytest.approx(found.areas[k])
        borders = [heights[i] for i in (np.flatnonzero(inside)[0] - 1, np.flatnonzero(inside)[-1] + 1) if 0 <= i < 99]
        assert min(borders) == found.deaths[k]


def test_parts_that_walls_hold_apart_stand_apart():
    found = ls.persistence(LineSlice(np.arange(5.0), np.array([1.0, 2, np.nan, 0, 3]), "cut", 1.0))
    _, heights, basins = found.profile()
    assert np.isnan(heights).sum() == 1
    (gap,) = np.flatnonzero(np.isnan(heights))
    assert set(basins[:gap]) == {0}
    assert set(basins[gap + 1 :]) == {1}


def test_the_figure_shows_the_profile_and_a_number_at_each_certain_minimum():
    found = ls.persistence(surface(0), error=0.02)
    ax = found.plot(kind="profile")
    assert [text.get_text() for text in ax.texts] == [str(k) for k in np.flatnonzero(found.decided)]
    assert f"{found.count} basins (up to {found.most})" in ax.get_title(loc="left")
    diagram = found.plot()
    shown = {line.get_label(): line.get_xdata() for line in diagram.lines}
    assert len(shown["basin"]) == found.count - 1
    assert len(shown["left open by the error"]) == found.most - found.count
    assert len(shown["joins no other"]) == 1
