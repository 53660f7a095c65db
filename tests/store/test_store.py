"""Results on disk: what was written is what is read, and nothing that was written is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import landscape as ls
from landscape import results
from landscape.errors import ResultsError, UsageError
from landscape.results import Estimate, LineSlice, PointValue, Record, SpectralGap
from landscape.store import ResultStore, describe_results, files, load_results
from tests.support.stores import identical
from tests.support.synthetic_results import P, eigenpairs, final_records, interpolation, make_results, tail_records

KEY = {"tol": 1e-3, "seed": 0, "nested": {"p": [1, 2.5, None]}}
FOREVER = 30  # seconds until a subprocess counts as stuck


def written(folder: Path, record: Record) -> Record:
    with ResultStore(folder) as store:
        store.write("run", 1, "it", record, {"key": KEY})
        store.consolidate()
    return load_results(folder).runs[0].last.records["it"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_results(tmp_path_factory.mktemp("results"), seeds=(0,), steps=(10, 20)).parent


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
        "basins": results.Basins(
            np.eye(2), np.array([0.1, 1.9]), np.array([1.0, 19.2]), np.array([0.9, 18.0]), np.array([0, 1, -1]), 1e-3
        ),
        "step": results.StepReport(1.0, 0.9, 1e-7, 0.5, 0.2, -0.1, 2.0, 1.9, 2.1),
        "test": results.Evaluation(0.5, 9, 0.75, np.array([1.0, np.nan, 0.5])),
        "spread": results.SamplingSpread(np.arange(3.0), np.ones(3), 5, 15, 1.0, 0.1, True, 0),
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


def test_a_record_is_found_only_under_exactly_its_key(tmp_path):
    with ResultStore(tmp_path) as store:
        store.write("run", 5, "trace", Estimate(2.0), {"key": KEY, "seconds": 1.0})
        store.write("run", 5, "no key", Estimate(2.0), {"seconds": 1.0})
        for _ in ("in the journal", "in results.h5"):
            assert store.find("run", 5, "trace", KEY).value == 2.0
            assert store.find("run", 5, "trace", dict(reversed(KEY.items()))) is not None
            assert store.find("run", 5, "trace", {**KEY, "tol": 1.0000000000000002e-3}) is None
            assert store.find("run", 5, "trace", {**KEY, "more": 1}) is None
            assert store.find("run", 5, "trace", {k: KEY[k] for k in ("tol", "seed")}) is None
            for other in (("run", 6, "trace"), ("ru", 5, "trace"), ("run", 5, "trac"), ("run", 5, "no key")):
                assert store.find(*other, KEY) is None
            store.consolidate()


def test_the_newest_write_wins_and_a_superseded_key_is_not_found(tmp_path):
    with ResultStore(tmp_path) as store:
        store.write("run", 5, "trace", Estimate(1.0), {"key": {"v": 1}})
        store.consolidate()
        store.write("run", 5, "trace", Estimate(2.0), {"key": {"v": 2}})
        assert store.find("run", 5, "trace", {"v": 1}) is None
        store.write("run", 5, "trace", Estimate(3.0), {"key": {"v": 3}})
        assert load_results(tmp_path).runs[0].last.records["trace"].value == 3.0
        store.consolidate()
        assert store.find("run", 5, "trace", {"v": 3}).value == 3.0
    assert load_results(tmp_path).runs[0].last.records["trace"].value == 3.0


ODD_NAMES = ["lenet/adam-s0", ".", "..", "", "a b", "ä/ö%2F", "info", "steps", "x" * 300, "\udcff"]


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_any_name_of_a_run_or_record_is_safe(tmp_path, name):
    with ResultStore(tmp_path) as store:
        store.describe_run(name, {"optimizer": "adam"})
        store.describe_run("other", {"optimizer": "sgd"})
        store.write(name, 3, name, Estimate(7.0), {"key": KEY})
        store.write_pair(name, "other", interpolation(np.random.default_rng(0), 1.0), {"key": KEY})
        store.consolidate()
        assert store.find(name, 3, name, KEY).value == 7.0
        assert store.find_pair(name, "other", KEY) is not None
        assert store.find_pair("other", name, KEY) is None
    read = load_results(tmp_path)
    assert {run.name for run in read.runs} == {name, "other"}
    assert read.run(name).optimizer == "adam"
    assert dict(read.run(name).last.records).keys() == {name}
    assert (read.pairs[0].run_a, read.pairs[0].run_b) == (name, "other")


def test_descriptions_and_metrics_come_back_with_nan_and_infinity(tmp_path):
    info = {"loss": float("nan"), "top": float("inf"), "list": [1, 2.5, None, True], "P": np.int64(3), "per": np.eye(2)}
    with ResultStore(tmp_path) as store:
        store.describe(info)
        store.describe_run("a", {"config": {"optimizer": "adam", "seed": 3}})
        store.describe_checkpoint("a", 2, {"train_loss": 0.5})
        store.describe_checkpoint("a", 10, {"train_loss": 0.25})
        store.consolidate()
    read = load_results(tmp_path)
    assert np.isnan(read.info["loss"])
    assert read.info["top"] == float("inf")
    assert (read.info["list"], read.info["P"], read.info["per"]) == ([1, 2.5, None, True], 3, [[1.0, 0.0], [0.0, 1.0]])
    run = read.run("a")
    assert (run.optimizer, run.seed) == ("adam", 3)
    assert [(c.step, c.metrics) for c in run.checkpoints] == [(2, {"train_loss": 0.5}), (10, {"train_loss": 0.25})]


def test_runs_come_in_the_order_people_count(tmp_path):
    with ResultStore(tmp_path) as store:
        for run in ("sgd-s10", "sgd-s2", "adam-s1"):
            store.describe_run(run, {})
    assert [run.name for run in load_results(tmp_path).runs] == ["adam-s1", "sgd-s2", "sgd-s10"]


def test_vectors_stay_on_disk_when_not_asked_for(tmp_path):
    with ResultStore(tmp_path) as store:
        eigs = eigenpairs(np.random.default_rng(0), 1.0, which="both", k=2, vectors=True)
        store.write("a", 1, "eigenpairs", eigs, {})
    read = load_results(tmp_path, vectors=False).runs[0].last.records["eigenpairs"]
    assert read.vectors.shape == (P, 0)
    assert identical(read.values, eigs.values)


def test_what_did_not_converge_is_listed_by_record_and_by_provenance(folder, tmp_path):
    assert load_results(folder).runs[-1].last.not_converged == ("eigenpairs", "sharpness_worst")
    assert load_results(folder).runs[0].last.not_converged == ()
    with ResultStore(tmp_path) as store:
        store.write("a", 1, "trace", Estimate(1.0), {"converged": False})
    assert load_results(tmp_path).runs[0].last.not_converged == ("trace",)


def test_consolidating_leaves_nothing_out(tmp_path):
    with ResultStore(tmp_path) as store:
        for run in ("a", "b", "c"):
            store.describe_run(run, {})
            for step in (1, 2, 3):
                store.describe_checkpoint(run, step, {})
                store.write(run, step, "trace", Estimate(1.0), {})
        for pair in (("a", "b"), ("a", "c")):
            store.write_pair(*pair, interpolation(np.random.default_rng(0), 0.0), {})
        store.consolidate()
        store.describe({})
        store.write("a", 2, "trace", Estimate(2.0), {})
        store.consolidate()
        assert store.steps() == {run: [1, 2, 3] for run in ("a", "b", "c")}
    read = load_results(tmp_path)
    assert [(r.name, [c.step for c in r.checkpoints]) for r in read.runs] == [(r, [1, 2, 3]) for r in "abc"]
    assert [c.records["trace"].value for c in read.run("a").checkpoints] == [1.0, 2.0, 1.0]
    assert [(p.run_a, p.run_b) for p in read.pairs] == [("a", "b"), ("a", "c")]


def test_what_is_set_aside_is_kept_and_not_shown_until_it_is_measured_again(tmp_path):
    with ResultStore(tmp_path) as store:
        for run in ("a", "b"):
            for step in (1, 2):
                store.write(run, step, "trace", Estimate(float(step)), {})
        store.write_pair("a", "b", interpolation(np.random.default_rng(0), 0.0), {})
        store.describe({"set_aside": {"a": [1], "b": [1, 2]}})
        store.consolidate()
        shown, everything = load_results(tmp_path), load_results(tmp_path, everything=True)
        assert [(r.name, [c.step for c in r.checkpoints]) for r in shown.runs] == [("a", [2])]
        assert shown.pairs == ()
        assert [(r.name, [c.step for c in r.checkpoints]) for r in everything.runs] == [("a", [1, 2]), ("b", [1, 2])]
        assert [pair.record.loss.size > 0 for pair in everything.pairs] == [True]
        assert ("also kept", "3 checkpoints of a, b: gone, or outside the last plan, and so not shown") in dict(
            describe_results(tmp_path)
        )["results"]
        store.write("b", 1, "trace", Estimate(5.0), {})
        assert [(r.name, [c.step for c in r.checkpoints]) for r in load_results(tmp_path).runs] == [
            ("a", [2]),
            ("b", [1]),
        ]


@pytest.mark.parametrize("odd", ["text", ["a"], {"a": 1}, {"a": ["x", None]}, {"a": {"1": 2}}, None])
def test_an_odd_list_of_what_is_set_aside_hides_nothing(tmp_path, odd):
    with ResultStore(tmp_path) as store:
        store.write("a", 1, "trace", Estimate(1.0), {})
        store.describe({"set_aside": odd})
        store.consolidate()
    assert [c.step for c in load_results(tmp_path).run("a").checkpoints] == [1]


def test_records_that_an_earlier_question_left_do_not_stand_beside_answers_to_the_last(tmp_path):
    def key(objective: str, fields: dict) -> dict:
        return {"key": {"objective": objective, "params": "p", "version": 2, "fields": fields}}

    def of(name: str, value: float) -> Record:
        return PointValue(value, 1.0, 1.0) if name == "point" else Estimate(value)

    with ResultStore(tmp_path) as store:
        for name in ("point", "trace", "average_0", "average_1"):
            store.write("a", 1, name, of(name, 1.0), key("all examples", {}))
        for name in ("point", "trace", "average_0"):
            store.write("a", 1, name, of(name, 2.0), key("64 examples", {"points": 5}))
        store.consolidate()
    shown = load_results(tmp_path).run("a").last
    assert shown.records["point"].loss == 2.0
    assert {name: record.value for name, record in shown.records.items() if name != "point"} == {
        "trace": 2.0, "average_0": 2.0,
    }  # fmt: skip
    assert set(shown.provenance) == set(shown.records)
    kept = load_results(tmp_path, everything=True).run("a").last.records
    assert kept["average_1"].value == 1.0


def test_a_line_between_other_minima_than_those_shown_is_not_shown(tmp_path):
    def at(params: str) -> dict:
        return {"key": {"objective": "o", "params": params}}

    with ResultStore(tmp_path) as store:
        for run in ("a", "b"):
            store.write(run, 1, "point", PointValue(1.0, 1.0, 1.0), at(f"{run}1"))
        line = interpolation(np.random.default_rng(0), 0.0)
        store.write_pair("a", "b", line, {"key": {"params": ["a1", "b1"]}})
        assert len(load_results(tmp_path).pairs) == 1
        store.write_pair("a", "b", line, {"key": {"params": ["a0", "b1"]}})
        assert load_results(tmp_path).pairs == ()
        assert len(load_results(tmp_path, everything=True).pairs) == 1


# --- damage ------------------------------------------------------------------------------------------------------


def small_results(folder: Path, *, consolidate: bool) -> Path:
    folder.mkdir(exist_ok=True)
    with ResultStore(folder) as store:
        store.describe_run("a", {"optimizer": "adam"})
        store.write("a", 1, "trace", Estimate(1.0, samples=np.arange(300.0)), {"key": KEY})
        if consolidate:
            return store.consolidate()
    return max(files.journal_parts(folder / "results.h5"), key=lambda p: p.stat().st_size)


def damaged_copies(data: bytes) -> list[bytes]:
    """The file cut at many places, and with one bit turned at many places."""
    cuts = [data[:n] for n in {0, 1, 7, 18, 19, 511, 512, 600, len(data) // 2, len(data) - 1}]
    flips = []
    for at in [*range(0, 100, 9), *range(512, len(data), len(data) // 60)]:
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 8)
        flips.append(bytes(flipped))
    return cuts + flips


def test_a_results_file_with_one_bit_turned_or_cut_short_is_refused_in_one_line(tmp_path):
    path = small_results(tmp_path, consolidate=True)
    for damaged in damaged_copies(path.read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(ResultsError) as caught:
            load_results(path)
        message = str(caught.value)
        assert message.count("\n") == 0
        assert str(path) in message
        assert "move" in message
        with pytest.raises(ResultsError):
            ResultStore(path)
    assert not (tmp_path / "results.h5.lock").exists()


def test_a_damaged_file_of_the_journal_is_passed_over_and_its_record_not_found(tmp_path):
    part = small_results(tmp_path, consolidate=False)
    data = part.read_bytes()
    for damaged in damaged_copies(data)[::5]:
        part.write_bytes(damaged)
        assert [(r.name, r.optimizer, r.checkpoints) for r in load_results(tmp_path).runs] == [("a", "adam", ())]
        with ResultStore(tmp_path) as store:
            assert store.find("a", 1, "trace", KEY) is None
    part.write_bytes(data)
    with ResultStore(tmp_path) as store:
        assert store.find("a", 1, "trace", KEY).value == 1.0
        part.write_bytes(damaged)
        store.consolidate()
        store.write("a", 1, "trace", Estimate(2.0), {"key": KEY})
    assert load_results(tmp_path).runs[0].last.records["trace"].value == 2.0


def test_a_foreign_hdf5_file_is_refused(tmp_path):
    path = tmp_path / "results.h5"
    with h5py.File(path, "w") as file:
        file["runs"] = 1
    with pytest.raises(ResultsError, match="not a file of landscape results"):
        load_results(path)


def test_a_newer_format_is_refused_and_says_to_upgrade(tmp_path, monkeypatch):
    with monkeypatch.context() as future:
        future.setattr(files, "FORMAT_VERSION", 3)
        path = small_results(tmp_path, consolidate=True)
        part = small_results(tmp_path / "journal", consolidate=False)
    for newer in (path, part.parent.parent):
        with pytest.raises(ResultsError, match="version 3.*upgrade"):
            load_results(newer)


def test_no_results_are_reported_with_the_command_that_makes_them(tmp_path):
    for path in (tmp_path, tmp_path / "results.h5", tmp_path / "nowhere" / "results.h5"):
        with pytest.raises(ResultsError, match="landscape analyze"):
            load_results(path)


# --- interruption ------------------------------------------------------------------------------------------------


class PowerCut(BaseException):
    """Ends everything where it is raised, as a kill would."""


@pytest.mark.parametrize("where", range(7))
def test_consolidation_cut_at_any_step_leaves_old_and_new_readable(tmp_path, monkeypatch, where):
    with ResultStore(tmp_path) as store:
        store.write("a", 1, "old", Estimate(1.0), {"key": KEY})
        store.write("a", 1, "both", Estimate(1.0), {"key": KEY})
        store.consolidate()
        store.write("a", 1, "both", Estimate(2.0), {"key": KEY})
        store.write("a", 1, "new", Estimate(2.0), {"key": KEY})
        calls = {"count": 0}

        def cut(real):
            def wrapped(*args, **kwargs):
                calls["count"] += 1
                if calls["count"] == where + 1:
                    raise PowerCut
                return real(*args, **kwargs)

            return wrapped

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", cut(os.fsync))
            patch.setattr(os, "replace", cut(os.replace))
            patch.setattr(Path, "unlink", cut(Path.unlink))
            with pytest.raises(PowerCut):
                store.consolidate()
    read = load_results(tmp_path).runs[0].last.records
    assert {n: r.value for n, r in read.items()} == {"old": 1.0, "both": 2.0, "new": 2.0}
    with ResultStore(tmp_path) as store:
        store.consolidate()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["results.h5", "results.h5.lock"]
    read = load_results(tmp_path).runs[0].last.records
    assert {n: r.value for n, r in read.items()} == {"old": 1.0, "both": 2.0, "new": 2.0}


def test_half_written_files_are_ignored_and_cleared_away(tmp_path):
    small_results(tmp_path, consolidate=False)
    leftovers = [tmp_path / "results.h5.tmp", tmp_path / "results.h5.parts" / "0123.h5.tmp"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    assert load_results(tmp_path).runs[0].last.records["trace"].value == 1.0
    with ResultStore(tmp_path):
        assert not any(leftover.exists() for leftover in leftovers)


def run_python(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=FOREVER,
        cwd=Path(__file__).parents[2],
    )


def test_a_second_writer_is_told_which_process_is_writing(tmp_path):
    code = """
        import sys
        from landscape.store import ResultStore
        from landscape.errors import ResultsError
        try:
            ResultStore(sys.argv[1])
        except ResultsError as error:
            print(error)
    """
    with ResultStore(tmp_path) as store:
        assert f"process {os.getpid()} is writing" in run_python(code, tmp_path).stdout
        with pytest.raises(ResultsError, match=f"process {os.getpid()} is writing"):
            ResultStore(tmp_path)
    assert not (tmp_path / "results.h5.lock").exists()
    assert run_python(code, tmp_path).stdout == ""
    with pytest.raises(ResultsError, match="closed"):
        store.write("a", 1, "trace", Estimate(1.0), {})


def test_the_lock_of_a_dead_writer_does_not_bind(tmp_path):
    (tmp_path / "results.h5.lock").write_text("999999\n")
    with ResultStore(tmp_path) as store:
        store.write("a", 1, "trace", Estimate(1.0), {})


def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path):
    """A limit on file size stands in for the full disk. HDF5 left to itself crashes at some of these."""
    pytest.importorskip("resource")
    code = """
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        from landscape.errors import ResultsError
        from landscape.results import Estimate
        from landscape.store import ResultStore, load_results

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        large = Estimate(2.0, samples=np.ones(100_000))

        def with_room(room, act):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            try:
                act()
            except ResultsError as error:
                return str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        for room in (100, 700, 3_000, 9_000, 20_000, 300_000, 800_000):
            folder = Path(sys.argv[1]) / str(room)
            folder.mkdir()
            with ResultStore(folder) as store:
                store.write("a", 1, "small", Estimate(1.0), {})
                first = with_room(room, lambda: store.write("a", 1, "large", large, {}))
                assert set(load_results(folder).runs[0].last.records) == {"small"}
                store.write("a", 1, "large", large, {})
                second = with_room(room, store.consolidate)
                assert set(load_results(folder).runs[0].last.records) == {"small", "large"}
            for said in (first, second):
                assert "cannot write" in said and "free some space" in said and "File too large" in said, said
            assert not list(folder.rglob("*.tmp"))
        print("all as it should be")
    """
    done = run_python(code, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "all as it should be"), done.stderr


def test_a_folder_that_cannot_be_written_is_reported_before_anything_is_measured(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ResultsError, match="cannot write"):
        ResultStore(blocked / "results.h5")
    with pytest.raises(ResultsError, match="cannot write"):
        ResultStore(tmp_path / "nowhere" / "results.h5")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_read_only_folder_can_be_read_and_not_written(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    small_results(folder, consolidate=True)
    code = """
        import os, sys
        from landscape.errors import ResultsError
        from landscape.store import ResultStore, load_results
        if os.geteuid() == 0:
            os.setuid(65534)
        print(load_results(sys.argv[1]).runs[0].name)
        try:
            ResultStore(sys.argv[1])
        except ResultsError as error:
            print(error)
    """
    # The folders above belong to this test run alone; the other user must get through them.
    above = [p for p in folder.parents if len(p.parts) > 2 and p.stat().st_uid == os.getuid()]
    modes = {p: p.stat().st_mode for p in above}
    try:
        for p in above:
            p.chmod(p.stat().st_mode | 0o055)
        folder.chmod(0o555)
        done = run_python(code, folder)
    finally:
        for p, mode in modes.items():
            p.chmod(mode)
        folder.chmod(0o755)
    assert done.stdout.splitlines()[0] == "a", done.stderr
    assert "cannot write" in done.stdout


def test_reading_and_writing_results_loads_no_torch():
    code = """
        import sys
        import landscape.store, landscape.tables, landscape.comparison
        print(sorted(m for m in sys.modules if m.split(".")[0] in ("torch", "matplotlib")))
    """
    assert run_python(code).stdout.strip() == "[]"


def test_inspecting_names_runs_steps_what_failed_and_what_was_skipped(folder):
    sections = dict(describe_results(folder))
    assert list(sections) == ["results", "run adam-s0", "run momentum-s0", "run sgd-s0", "lines between minima"]
    text = "\n".join(f"{label} {what}" for lines in sections.values() for label, what in lines)
    for expected in ("standard", "step_00001312.h5: truncated", "NOT CONVERGED: eigenpairs", "step 20", "61706"):
        assert expected in text


def test_results_print_a_line_per_run_and_name_the_runs_there_are(folder):
    read = load_results(folder)
    assert [line.split(":")[0] for line in str(read).splitlines()[1:]] == ["adam-s0", "momentum-s0", "sgd-s0"]
    assert "adam-s0" in read._repr_html_()
    with pytest.raises(ResultsError, match="there are adam-s0, momentum-s0, sgd-s0"):
        read.run("adam")


def test_a_reader_during_a_merge_sees_every_record(tmp_path, monkeypatch):
    """The journal is read first: what vanishes from it meanwhile is in the file opened after."""
    with ResultStore(tmp_path) as store:
        for i in range(4):
            store.write("a", 1, f"r{i}", Estimate(float(i)), {})
            if i == 0:
                store.consolidate()
        real, calls = files.reading, {"count": 0}

        def merging(path, **kwargs):
            calls["count"] += 1
            if calls["count"] == 2:
                monkeypatch.setattr(files, "reading", real)
                store.consolidate()
            return real(path, **kwargs)

        monkeypatch.setattr(files, "reading", merging)
        read = load_results(tmp_path)
    assert {n: r.value for n, r in read.runs[0].last.records.items()} == {f"r{i}": float(i) for i in range(4)}


def test_nested_records_keep_their_own_errors(tmp_path):
    gap = SpectralGap(Estimate(1.5, bound=0.25), Estimate(1.2, bound=float("inf")))
    read = written(tmp_path, gap)
    assert (str(read.difference), str(read.ratio)) == (str(gap.difference), str(gap.ratio))
    assert isinstance(written(tmp_path, interpolation(np.random.default_rng(1), 0.0)), LineSlice)
