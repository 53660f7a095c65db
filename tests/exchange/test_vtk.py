"""Planes for ParaView: read again by the rules of the format, and by VTK itself where it is installed."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import landscape as ls
from landscape.errors import ResultsError, UsageError
from landscape.results import PathSlice
from tests.support.synthetic_results import plane as our_plane

pytest.importorskip("pyevtk")
TYPES = {"Float64": "<f8", "UInt8": "u1"}


@pytest.fixture
def surface():
    found = our_plane(20.0, ("a", "b"))
    values = np.random.default_rng(0).random((2, *found.loss.shape))
    values[1, 3, 4] = np.nan
    return replace(found, metric_names=("accuracy", 'test "<&> loss'), metric_values=values)


def parsed(path: Path) -> tuple[tuple[int, ...], np.ndarray, dict[str, np.ndarray]]:
    """Extent, points (n, 3) and arrays of a StructuredGrid with appended raw data, each behind its size of 8 bytes."""
    raw = path.read_bytes()
    at = raw.index(b'<AppendedData encoding="raw">')
    head, begin = raw[:at] + b"</VTKFile>", raw.index(b"_", at) + 1
    root = ElementTree.fromstring(head)
    assert root.attrib["header_type"] == "UInt64"
    assert root.attrib["byte_order"] == "LittleEndian"
    arrays = {}
    for node in root.iter("DataArray"):
        offset = begin + int(node.attrib["offset"])
        (size,) = struct.unpack("<Q", raw[offset : offset + 8])
        values = np.frombuffer(raw[offset + 8 : offset + 8 + size], TYPES[node.attrib["type"]])
        arrays[node.attrib["Name"]] = values.reshape(-1, int(node.attrib["NumberOfComponents"])).squeeze()
    (piece,) = root.iter("Piece")
    return tuple(map(int, piece.attrib["Extent"].split())), arrays.pop("points"), arrays


def test_points_and_values_are_those_of_the_plane_x_fastest(tmp_path, surface):
    extent, points, arrays = parsed(ls.write_vtk(surface, tmp_path / "a.vts"))
    assert extent == (0, 24, 0, 20, 0, 0)
    x, y = np.meshgrid(surface.x, surface.y)
    np.testing.assert_array_equal(points[:, 0], x.ravel())
    np.testing.assert_array_equal(points[:, 1], y.ravel())
    finite = np.isfinite(surface.loss.ravel())
    np.testing.assert_array_equal(points[finite, 2], surface.loss.ravel()[finite])
    np.testing.assert_array_equal(arrays["loss"], surface.loss.ravel())
    np.testing.assert_array_equal(arrays["log10 loss"], np.log10(surface.loss).ravel())
    for name in surface.metric_names:
        np.testing.assert_array_equal(arrays[name], surface.metric(name).ravel())
    assert np.isnan(arrays['test "<&> loss']).sum() == 1


def test_a_gap_is_nan_hidden_and_in_reach(tmp_path, surface):
    """VTK draws nothing at a point marked 2; a place that is not a number would spoil the extent of the scene."""
    _, points, arrays = parsed(ls.write_vtk(surface, tmp_path / "a.vts"))
    assert np.isnan(arrays["loss"]).tolist() == (arrays["vtkGhostType"] == 2).tolist()
    assert np.flatnonzero(arrays["vtkGhostType"]).tolist() == [0]
    assert points[0, 2] == np.nanmin(surface.loss)


@pytest.mark.parametrize("height", ["log10", "flat"])
def test_the_height_is_what_was_asked_for(tmp_path, surface, height):
    _, points, arrays = parsed(ls.write_vtk(surface, tmp_path / "a.vts", height=height))
    expected = arrays["log10 loss"] if height == "log10" else np.zeros(len(points))
    np.testing.assert_array_equal(points[1:, 2], expected[1:])


def test_vtk_itself_reads_the_same(tmp_path, surface):
    pytest.importorskip("vtkmodules")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLStructuredGridReader

    path = ls.write_vtk(surface, tmp_path / "a.vts")
    reader = vtkXMLStructuredGridReader()
    reader.SetFileName(str(path))
    reader.Update()
    grid, (_, points, arrays) = reader.GetOutput(), parsed(path)
    assert grid.GetExtent() == (0, 24, 0, 20, 0, 0)
    np.testing.assert_array_equal(vtk_to_numpy(grid.GetPoints().GetData()), points)
    for name, values in arrays.items():
        np.testing.assert_array_equal(vtk_to_numpy(grid.GetPointData().GetArray(name)), values)
    assert not grid.IsPointVisible(0)
    assert grid.IsPointVisible(1)


def test_the_plane_of_paths_is_written_too(tmp_path):
    paths = PathSlice(np.arange(3.0), np.arange(2.0), np.eye(2, 3) - 0.5, ("w", "b"), ("sgd",), np.array([2]),
                      np.eye(2), np.zeros(2), 0.9)  # fmt: skip
    _, _, arrays = parsed(ls.write_vtk(paths, tmp_path / "a.vts"))
    assert np.isnan(arrays["log10 loss"]).sum() == 4, "where the loss is negative"


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, surface):
    nowhere = replace(surface, loss=np.full_like(surface.loss, np.nan))
    odd = replace(surface, metric_names=("loss", "b"))
    for bad, name, said in (
        (surface, "a.vtk", "must end in .vts"),
        (ls.LineSlice(np.arange(2.0), np.ones(2), "d", 1.0), "a.vts", "takes a plane, not a LineSlice"),
        (nowhere, "a.vts", "this plane has it nowhere"),
        (odd, "a.vts", "metric 'loss' cannot be called so"),
    ):
        with pytest.raises(UsageError, match=said):
            ls.write_vtk(bad, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot write"):
        ls.write_vtk(surface, tmp_path / "file" / "a.vts")
