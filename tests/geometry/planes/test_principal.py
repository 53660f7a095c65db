"""The plane of principal components: known curves, a second route, and how far positions are from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.errors import UsageError
from landscape.geometry.planes import principal


def turned(columns: np.ndarray, dim: int, seed: int = 0) -> np.ndarray:
    """A curve (T, d), turned into ``dim`` dimensions and moved away from zero."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.standard_normal((dim, columns.shape[1])))[0]
    return columns @ axes.T + rng.standard_normal(dim)


def ellipse(count: int = 24) -> np.ndarray:
    turn = 2 * np.pi * np.arange(count) / count
    return np.stack([5 * np.cos(turn), 2 * np.sin(turn)], axis=1)


@pytest.mark.parametrize(("dtype", "off"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_an_ellipse_has_the_squares_of_its_axes_as_shares_and_lies_in_its_plane(dtype, off):
    curve = ellipse()
    plane, coordinates, explained = ls.pca_plane(turned(curve, 30).astype(dtype))
    assert explained == pytest.approx([25 / 29, 4 / 29], abs=off)
    assert plane.outside.max() < 10 * off
    apart = np.linalg.norm(coordinates[:, None] - coordinates[None], axis=-1)
    assert apart == pytest.approx(np.linalg.norm(curve[:, None] - curve[None], axis=-1), abs=50 * off)
    assert plane.vectors.T @ plane.vectors == pytest.approx(np.eye(2), abs=1e-12)


def test_a_straight_path_has_one_component_and_any_second_direction():
    path = turned(np.linspace(-3, 7, 11)[:, None], 8)
    plane = ls.pca_plane(path)
    assert plane.explained == pytest.approx([1, 0], abs=1e-12)
    assert plane.coordinates == pytest.approx(np.stack([np.linspace(-5, 5, 11), np.zeros(11)], axis=1), abs=1e-12)
    assert plane.vectors.T @ plane.vectors == pytest.approx(np.eye(2), abs=1e-12)
    assert np.array_equal(ls.pca_plane(path).vectors, plane.vectors)


@pytest.mark.parametrize("shift", [0.0, 1e5])
def test_a_helix_has_the_components_that_a_singular_value_decomposition_finds(shift):
    turn = np.linspace(0, 6 * np.pi, 40)
    path = turned(np.stack([3 * np.cos(turn), 3 * np.sin(turn), 0.5 * turn], axis=1), 20, seed=3) + shift
    plane = ls.pca_plane(path)
    centred = path - path.mean(0)
    _, values, right = np.linalg.svd(centred, full_matrices=False)
    rounding = 1e-11 * (1 + shift)
    assert plane.explained == pytest.approx(values[:2] ** 2 / (values**2).sum(), abs=rounding)
    assert np.abs(right[:2] @ plane.vectors) == pytest.approx(np.eye(2), abs=rounding)
    rest = centred - centred @ right[:2].T @ right[:2]
    assert plane.outside == pytest.approx(np.linalg.norm(rest, axis=1), abs=rounding)


def test_distance_and_coordinates_are_the_sides_of_a_right_triangle_from_any_origin():
    rng = np.random.default_rng(1)
    path, other = rng.standard_normal((9, 15)), rng.standard_normal(15)
    for origin, place in (("mean", path.mean(0)), ("first", path[0]), ("last", path[-1]), (other, other)):
        plane = ls.pca_plane(path, origin=origin)
        assert np.array_equal(plane.origin, place)
        hypotenuse = ((path - place) ** 2).sum(1)
        assert (plane.coordinates**2).sum(1) + plane.outside**2 == pytest.approx(hypotenuse, rel=1e-12)
    shares = [ls.pca_plane(path, origin=origin).explained for origin in ("mean", other)]
    assert np.array_equal(*shares)


def test_how_many_parameters_are_held_at_a_time_changes_nothing(monkeypatch):
    path = turned(np.random.default_rng(2).standard_normal((7, 5)), 50)
    whole = ls.pca_plane(path)
    monkeypatch.setattr(principal, "_AT_ONCE", 7 * 9)
    cut = ls.pca_plane(path)
    for name in ("vectors", "coordinates", "outside", "explained", "walks", "origin"):
        assert getattr(cut, name) == pytest.approx(getattr(whole, name), abs=1e-12)


def test_the_first_component_points_from_the_beginning_to_the_end():
    path = turned(np.stack([np.linspace(0, 5, 8), np.sin(np.linspace(0, 3, 8))], axis=1), 6)
    for one in (path, path[::-1]):
        coordinates = ls.pca_plane(one).coordinates
        assert coordinates[-1, 0] > coordinates[0, 0]


def test_runs_come_as_arrays_tensors_objectives_checkpoints_or_several_of_them(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        models = [torch.nn.Linear(3, 2) for _ in range(4)]
    for step, model in enumerate(models):
        ls.save_checkpoint(tmp_path / "run", model, step=step)
    vectors = [torch.nn.utils.parameters_to_vector(model.parameters()).detach() for model in models]
    data = torch.ones(2, 3), torch.zeros(2, 2)
    objectives = [ls.Objective(model, torch.nn.functional.mse_loss, data) for model in models]
    array = torch.stack(vectors).numpy()
    wanted = ls.pca_plane(array)
    for given in (torch.stack(vectors), vectors, objectives, ls.CheckpointDir(tmp_path / "run"), {"run": array}):
        found = ls.pca_plane(given)
        assert np.array_equal(found.coordinates, wanted.coordinates)
        assert found.names == ("run",)
    several = ls.pca_plane([array, array[:3] + 1])
    assert several.names == ("run 1", "run 2")
    assert several.lengths.tolist() == [4, 3]
    assert np.array_equal(several.path("run 2"), several.coordinates[4:])


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (np.ones((3, 1)), "one parameter makes a line"),
        (np.ones((1, 4)), "one position spans no plane"),
        (np.ones((3, 4)), "never move"),
        ({}, "no run was given"),
        ({"a": np.eye(3), "b": np.eye(4)}, "different lengths"),
        (np.array([[1.0, np.nan], [0, 1]]), "NaN or infinity at 1 positions"),
        ([np.ones(3), np.ones(4)], "positions of different shapes"),
        (7, "a run is a sequence"),
    ],
)
def test_positions_that_span_no_plane_are_refused(runs, said):
    with pytest.raises(UsageError, match=said):
        ls.pca_plane(runs)


def test_an_origin_that_does_not_fit_is_refused():
    path = np.random.default_rng(0).standard_normal((3, 4))
    with pytest.raises(UsageError, match="origin='median' is not one of 'mean', 'first', 'last'"):
        ls.pca_plane(path, origin="median")
    with pytest.raises(UsageError, match=r"origin has shape \(3,\); these positions are \(4,\)"):
        ls.pca_plane(path, origin=np.ones(3))
