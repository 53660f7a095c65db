"""Every kind of record comes back from disk bit for bit, and what the format has no place for is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import landscape as ls
from landscape import results, topology
from landscape.errors import ResultsError, UsageError
from landscape.results import Estimate, LineSlice, Record, SpectralGap
from landscape.store import ResultStore, files, load_results
from tests.support.record_examples import examples, learning_coefficient
from tests.support.stores import KEY, identical
from tests.support.synthetic_results import P, eigenpairs, final_records, interpolation, tail_records, wells

OF_STABILITY = ("OptimizerUpdate", "DirectionalSharpness", "GeneralizedSharpness", "Stability")


def written(folder: Path, record: Record) -> Record:
    with ResultStore(folder) as store:
        store.write("run", 1, "it", record, {"key": KEY})
        store.consolidate()
    return load_results(folder).runs[0].last.records["it"]


def rarer_records() -> dict[str, Record]:
    """Records that no analysis of a folder writes, from a small matrix."""
    A = ls.MatrixOperator(np.diag([5.0, 3.0, 1.0, 0.5, 0.1, -0.2]))
    spectrum = ls.spectrum(A, k=2, num_probes=2, num_steps=4)
    vectors = spectrum.eigs.vectors
    return {
        "spectrum": spectrum, "diagonal": ls.diagonal(A, num_probes=3), "moments": ls.spectral_moments(A, num_probes=3),
        "blocks": ls.block_table({"a": A, "b": 2 * A}, num_probes=3), "angles": ls.principal_angles(vectors, vectors),
        "outliers": spectrum.density.num_outliers(), "missed": ls.search_missed(A, eigs=spectrum.eigs),
        "attribution": ls.class_attribution(vectors, np.eye(6)[:2]),
        "paths": results.PathSlice(
            np.arange(3.0), np.arange(2.0), np.eye(2, 3), ("w", "b"), ("sgd",), np.array([2]), np.eye(2), np.zeros(2),
            0.9,
        ),
        "principal": results.PcaPlane(
            np.zeros(5), np.eye(5, 2), np.eye(3, 2), np.ones(3), np.full(2, 0.4), ("run",), np.array([3]), np.eye(2),
        ),
        "models": results.ModelPlane(np.zeros(5), np.eye(5, 2), np.eye(3, 2), np.eye(3, 5), ("a", "b", "c")),
        **{name.lower(): examples()[name] for name in ("Connection", "Merged", "MinimaMatrix")},
        "persistence": topology.persistence(wells(), error=0.1),
        "basins": results.Basins(
            np.eye(2), np.array([0.1, 1.9]), np.array([1.0, 19.2]), np.array([0.9, 18.0]), np.array([0, 1, -1]), 1e-3
        ),
        "distances": examples()["Distances"], "history": examples()["StepHistory"],
        "step": results.StepReport(1.0, 0.9, 1e-7, 0.5, 0.2, -0.1, 2.0, 1.9, 2.1),
        "alignment": examples()["Alignment"], "repaired": examples()["Repaired"],
        "test": results.Evaluation(0.5, 9, 0.75, np.array([1.0, np.nan, 0.5])),
        "crosscheck": results.Crosscheck(
            ("λ1", "—"), ("A", "B"), *(np.array([x, np.nan]) for x in (1.0, 0.1, 1.05, 0.01, 0.05, 0.11)),
            ("agrees", "not run"), ("", "not installed"), ("a 1.0",), 3, 5, 7, 0,
        ),
        "chains": learning_coefficient(np.random.default_rng(0)),
        "spread": results.SamplingSpread(np.arange(3.0), np.ones(3), 5, 15, 1.0, 0.1, True, 0),
        **{name.lower(): examples()[name] for name in OF_STABILITY},
    }  # fmt: skip


def test_every_kind_of_record_comes_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    records = {
        **tail_records(rng, 40.0),
        **final_records(rng, 40.0),
        "between": interpolation(rng, 1.0),
        **rarer_records(),
    }
    assert {type(r).__name__ for r in records.values()} == set(results.__all__) - {"Record"}
    with ResultStore(tmp_path) as store:
        for name, record in records.items():
            store.write("run", 1, name, record, {"key": KEY})
        from_journal = load_results(tmp_path)
        store.consolidate()
    for source in (from_journal, load_results(tmp_path)):
        read = source.runs[0].last.records
        assert set(read) == set(records)
        for name, record in records.items():
            assert identical(record, read[name]), name


@settings(max_examples=30, deadline=None)
@given(
    value=st.floats(),
    sem=st.none() | st.floats(),
    matvecs=st.integers(-(2**70), 2**70),
    method=st.text(),
    samples=st.lists(st.floats(width=32), max_size=5),
    dtype=st.sampled_from(["<f4", ">f8", "f2", "c16", "?", "i1", "u8"]),
)
def test_floats_integers_text_and_arrays_of_any_kind_come_back_exactly(
    tmp_path_factory, value, sem, matvecs, method, samples, dtype
):
    array = np.array([x if np.isfinite(x) else 0.0 for x in samples], np.float64)
    array = (np.abs(array) % 100).astype(dtype)
    record = Estimate(value, sem=sem, samples=array, num_matvecs=matvecs, method=method)
    assert identical(record, written(tmp_path_factory.mktemp("any"), record))


@pytest.mark.parametrize("shape", [(), (0,), (5, 0), (2, 3, 4)])
def test_arrays_keep_their_shape_also_when_empty(tmp_path, shape):
    record = Estimate(1.0, samples=np.full(shape, np.nan))
    assert identical(record, written(tmp_path, record))


def test_numpy_scalars_in_fields_become_python_numbers(tmp_path):
    read = written(tmp_path, Estimate(np.float64(0.1), num_matvecs=np.int64(3)))  # type: ignore[arg-type]
    assert (type(read.value), read.value, type(read.num_matvecs)) == (float, 0.1, int)


def test_what_the_format_has_no_place_for_is_refused_and_leaves_no_file(tmp_path):
    class Foreign(Record):
        def _lines(self):
            return [("foreign", "")]

    with ResultStore(tmp_path) as store:
        for bad in (Estimate(1.0, method=[1]), Estimate(1.0, samples=np.array(["a"])), Foreign(), "text"):
            with pytest.raises(UsageError):
                store.write("run", 1, "it", bad, {})  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="step=-1"):
            store.write("run", -1, "it", Estimate(1.0), {})
        assert list((tmp_path / "results.h5.parts").iterdir()) == []


def test_a_file_cannot_name_a_class_outside_the_records(tmp_path):
    """The seal is made right for it, so only the look-up by name stands between the file and the class."""
    path = tmp_path / "results.h5"
    with files.writing(path) as file:
        group = file.create_group("runs/a/steps/00000001/records/it")
        group.create_dataset("record", data='{"class": "os.system", "fields": {}, "arrays": [], "records": []}')
        group.create_dataset("provenance", data="{}")
    with pytest.raises(ResultsError, match=r"names a record class 'os\.system'"):
        load_results(path)


def test_vectors_stay_on_disk_when_not_asked_for(tmp_path):
    with ResultStore(tmp_path) as store:
        eigs = eigenpairs(np.random.default_rng(0), 1.0, which="both", k=2, vectors=True)
        store.write("a", 1, "eigenpairs", eigs, {})
    read = load_results(tmp_path, vectors=False).runs[0].last.records["eigenpairs"]
    assert read.vectors.shape == (P, 0)
    assert identical(read.values, eigs.values)


def test_nested_records_keep_their_own_errors(tmp_path):
    gap = SpectralGap(Estimate(1.5, bound=0.25), Estimate(1.2, bound=float("inf")))
    read = written(tmp_path, gap)
    assert (str(read.difference), str(read.ratio)) == (str(gap.difference), str(gap.ratio))
    assert isinstance(written(tmp_path, interpolation(np.random.default_rng(1), 0.0)), LineSlice)
