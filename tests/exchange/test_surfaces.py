"""Surfaces of the loss-landscape code, read from files written as it writes them, and ours as it reads them."""

from __future__ import annotations

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest

import landscape as ls
from landscape import cli
from landscape.errors import ResultsError, UsageError
from landscape.results import LineSlice
from tests.support import original_code
from tests.support.stores import identical
from tests.support.synthetic_results import line
from tests.support.synthetic_results import plane as our_plane

X, Y = np.linspace(-1, 1, 7), np.linspace(-0.5, 2, 4)


def function(x, y):
    """Loss and accuracy, which tell every point of the plane from every other."""
    return x**2 + 3 * y + 10, 50 + 10 * x - y


@pytest.fixture
def plane(tmp_path):
    return original_code.surface(tmp_path / "plane.h5", function, X, Y, skip=(0, 9))


def test_each_loss_stands_at_its_own_coordinates_though_the_array_is_of_another_shape(plane):
    with h5py.File(plane) as f:
        assert f["train_loss"].shape == (7, 4)
    read = ls.read_surface(plane)
    for j, y in enumerate(read.y):
        for i, x in enumerate(read.x):
            if j * 7 + i not in (0, 9):
                assert read.loss[j, i] == function(x, y)[0]
                assert read.metric("accuracy")[j, i] == pytest.approx(function(x, y)[1] / 100)


def test_what_was_not_computed_is_never_a_loss_and_is_counted(plane):
    read = ls.read_surface(plane)
    assert np.argwhere(np.isnan(read.loss)).tolist() == [[0, 0], [1, 2]]
    assert np.isnan(read.metric("accuracy")[0, 0])
    assert read.reason == "2 of 28 points were not computed"
    assert read.directions == ("xdirection of dir.h5", "ydirection of dir.h5")
    assert read.error == 0
    assert "DISAGREES" not in str(read)
    assert ls.persistence(read).count >= 1
    read.plot()


def test_a_line_is_read_as_a_line(tmp_path):
    path = original_code.surface(tmp_path / "line.h5", lambda x, y: (x**2 + 1, 90.0), X, skip=(3,))
    read = ls.read_surface(path)
    assert isinstance(read, LineSlice)
    np.testing.assert_array_equal(read.loss, np.where(np.arange(7) == 3, np.nan, X**2 + 1))
    assert "dᵀHd" not in str(read)


def test_test_data_and_eigenvalues_are_metrics_and_may_be_asked_for_as_the_loss(plane):
    grid = np.arange(28.0).reshape(7, 4)
    with h5py.File(plane, "r+") as f:
        f["test_loss"], f["test_acc"] = grid, grid + 1
        largest, smallest = grid.copy(), 1 - grid
        largest.ravel()[5], smallest.ravel()[5] = -1, 1
        f["max_eig"], f["min_eig"] = largest, smallest
    read = ls.read_surface(plane)
    assert set(read.metric_names) == {"accuracy", "test loss", "test accuracy", "max_eig", "min_eig"}
    assert read.metric_losses == ("test loss",)
    np.testing.assert_array_equal(read.metric("test loss").ravel(), np.arange(28.0))
    assert np.isnan([read.metric("max_eig")[0, 5], read.metric("min_eig")[0, 5]]).all()
    assert read.metric("min_eig")[0, 2] == -1, "a smallest eigenvalue may be -1, and be computed"
    other = ls.read_surface(plane, loss="test_loss")
    np.testing.assert_array_equal(other.loss.ravel(), np.arange(28.0))
    assert "train loss" in other.metric_losses
    np.testing.assert_allclose(other.metric("accuracy").ravel(), np.arange(1.0, 29) / 100)


def test_what_was_never_computed_at_all_is_no_metric(tmp_path):
    path = original_code.surface(tmp_path / "a.h5", lambda x, y: (1.0, -1.0), X)
    assert ls.read_surface(path).metric_names == ()


def test_ours_is_read_by_plain_h5py_as_that_code_reads_it(tmp_path):
    x, y = np.linspace(-1, 1, 5), np.linspace(0, 1, 3)
    loss = np.add.outer(10 * y, x + 2)
    surface = replace(our_plane(3.0, ("a", "b")), x=x, y=y, loss=loss, metric_names=("accuracy",),
                      metric_values=np.full((1, 3, 5), 0.25))  # fmt: skip
    path = ls.write_surface(surface, tmp_path / "ours.h5", dir_file="d.h5")
    with h5py.File(path, "r") as f:
        grid, xs = np.meshgrid(f["xcoordinates"][:], f["ycoordinates"][:]), f["train_loss"]
        assert xs.shape == (5, 3)
        for number in range(15):
            at = [mesh.ravel()[number] for mesh in grid]
            assert xs[:].ravel()[number] == pytest.approx(at[0] + 2 + 10 * at[1])
        assert (f["train_acc"][:] == 25).all()
        assert f["dir_file"][()].decode() == "d.h5"


def test_that_code_can_go_on_with_ours(tmp_path):
    """It opens the file again for writing, fills what is missing and adds arrays of its own."""
    loss = np.array([1.0, np.nan, 2.0])
    path = ls.write_surface(LineSlice(np.arange(3.0), loss, "d", 1.0), tmp_path / "ours.h5")
    with h5py.File(path, "r+") as f:
        assert (f["train_acc"][:] == -1).all(), "not computed"
        values = f["train_loss"][:]
        values.ravel()[1] = 7.0
        f["train_loss"][:] = values
        f["test_loss"], f["test_acc"] = values, values
    read = ls.read_surface(path)
    assert read.loss.tolist() == [1, 7, 2]
    assert read.metric("test loss").tolist() == [1, 7, 2]


@pytest.mark.parametrize(
    "record",
    [
        our_plane(3.0, ("random 0, filter", "b/c")),
        replace(our_plane(3.0, ("a", "b")), error=0.25, error_log10=0.5, num_evaluations=49, num_drawn=5,
                num_examples=60, reason="not reached", batch_statistics="fixed", metric_names=("test loss", "own"),
                metric_values=np.random.default_rng(0).random((2, 21, 25)), metric_losses=("own", "test loss")),
        line(np.random.default_rng(0), 3.0, "u₁"),
        replace(line(np.random.default_rng(0), 3.0, "u₁"), kind="interpolation", error=0.1),
    ],
    ids=["plane", "interpolated", "line", "between"],
)  # fmt: skip
def test_all_that_a_slice_of_ours_knows_comes_back(tmp_path, record):
    read = ls.read_surface(ls.write_surface(record, tmp_path / "a.h5"))
    assert identical(read, replace(record, metric_losses=read.metric_losses))
    assert set(read.metric_losses) == set(record.metric_losses)


def test_chunked_compressed_and_big_endian_arrays_are_read(tmp_path):
    """As other programs write them."""
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f.create_dataset("xcoordinates", data=X.astype(">f4"), chunks=(2,), compression="gzip")
        f.create_dataset("train_loss", data=np.arange(7, dtype="i2"), chunks=(3,), shuffle=True, compression="lzf")
        f.create_dataset("names", data=np.array([b"a", b"b"]))
        f["softly"] = h5py.SoftLink("/train_loss")
    assert ls.read_surface(tmp_path / "a.h5").loss.tolist() == list(range(7))


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_another_kind_of_file_says_what_it_is(tmp_path, plane):
    directions = original_code.directions(tmp_path / "d.h5", [np.ones(3)])
    with pytest.raises(ResultsError, match=r"no surface file.*it is a direction file: ls\.read_direction\(path, model"):
        ls.read_surface(directions)
    with pytest.raises(ResultsError, match="no projection file.*it is a surface file"):
        ls.read_projection(plane)
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["weights"] = 1.0
    with pytest.raises(ResultsError, match=r"it has no 'xcoordinates'; it has 'weights'"):
        ls.read_surface(tmp_path / "other.h5")


def test_arrays_that_do_not_go_with_the_coordinates_are_refused(plane):
    with h5py.File(plane, "r+") as f:
        del f["train_loss"]
        f["train_loss"] = np.ones((7, 3))
    with pytest.raises(ResultsError, match="'train_loss' has 21 values for 7 × 4 coordinates"):
        ls.read_surface(plane)
    with h5py.File(plane, "r+") as f:
        del f["train_loss"]
    with pytest.raises(ResultsError, match="has no 'train_loss'; 'train_acc'"):
        ls.read_surface(plane)


@pytest.mark.parametrize("bad", [np.ones((2, 2)), np.array([1.0, np.nan]), np.empty(0), b"text"])
def test_coordinates_must_be_a_row_of_numbers(tmp_path, bad):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["xcoordinates"], f["train_loss"] = bad, np.ones(2)
    with pytest.raises(ResultsError, match="'xcoordinates' (is no row|has values that are not finite)"):
        ls.read_surface(tmp_path / "a.h5")


@pytest.mark.parametrize(
    "noted", ["[1]", "{", '{"kind": 3, "error": "x"}', '{"error": null}', '{"loss": [1], "nothing": 1}', ""]
)
def test_a_note_of_ours_that_was_made_up_is_one_error(tmp_path, noted):
    path = original_code.surface(tmp_path / "a.h5", lambda x, y: (1.0, 1.0), X)
    with h5py.File(path, "r+") as f:
        f["landscape"] = noted.encode()
    with pytest.raises(ResultsError):
        ls.read_surface(path)


def test_a_missing_file_a_folder_and_what_is_no_hdf5_are_refused(tmp_path):
    (tmp_path / "text.h5").write_text("no surface")
    (tmp_path / "empty.h5").touch()
    for name, said in (("gone.h5", "does not exist"), (".", "is a folder"), ("text.h5", "is no HDF5 file"),
                       ("empty.h5", "is no HDF5 file")):  # fmt: skip
        with pytest.raises(ResultsError, match=said):
            ls.read_surface(tmp_path / name)
    with pytest.raises(UsageError, match="loss='val_loss' is not one of 'train_loss', 'test_loss'"):
        ls.read_surface(tmp_path / "text.h5", loss="val_loss")


def test_what_such_a_file_has_no_place_for_is_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "a.h5"
    good = LineSlice(np.arange(2.0), np.ones(2), "d", 1.0, metric_names=("a/b",), metric_values=np.ones((1, 2)))
    for bad, said in (
        (good, "metric 'a/b' cannot stand"),
        (replace(good, metric_names=("train_loss",)), "metric 'train_loss' cannot stand"),
        (LineSlice(np.arange(2.0), np.array([-1.0, 1]), "d", 1.0), "'train_loss' is exactly -1"),
        ([1.0], "not a list"),
    ):
        with pytest.raises(UsageError, match=re.escape(said)):
            ls.write_surface(bad, path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot write"):
        ls.write_surface(replace(good, metric_names=("ab",)), tmp_path / "file" / "a.h5")


def test_inspect_says_what_is_in_such_a_file(plane, capsys, monkeypatch, tmp_path):
    tensors, shares = [np.ones((2, 3)), np.ones(())], [0.9, 0.1]
    directions = original_code.directions(tmp_path / "d.h5", tensors, explained_variance_ratio_=shares)
    for path, said in (
        (plane, ("surface of the loss-landscape code", "2 of 28 not computed", "7 points, -1 … 1")),
        (directions, ("2 tensors, 7 numbers", "90 %, 10 %", "(2, 3)")),
        (ls.write_projection(np.ones((3, 2)), tmp_path / "p.h5"), ("projection of", "3 points")),
    ):
        monkeypatch.setattr("sys.argv", ["landscape", "inspect", str(path)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        out = capsys.readouterr().out
        assert all(words in out for words in said), out
