"""Whole files with a seal: HDF5 reads what we write, we read nothing else, and damage of any kind is one error."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from landscape import cli
from landscape.checkpoints import describe_checkpoint, load_checkpoint, save_checkpoint
from landscape.errors import CheckpointError, LandscapeError, ResultsError
from landscape.files import Held, WriterLock, reading, seal, writing
from landscape.files.checksum import lookup3
from landscape.problems import get_problem
from landscape.results import Estimate, LineSlice
from landscape.store import ResultStore, describe_results, load_results
from landscape.training.run import LOCK, sole_training, train
from tests.support import crafting, format_one, fuzzing

DTYPES = ["?", "i1", "u1", "<i2", ">i4", "<i8", "<u2", ">u8", "<f2", ">f4", "<f8", "<c8", ">c16"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    with torch.random.fork_rng(devices=[]):
        return format_one.save(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    format_one.store(folder)
    return folder / "results.h5"


# --- what we write is HDF5 --------------------------------------------------------------------------------------------


def test_the_checksum_is_that_of_its_author():
    """The values in Bob Jenkins's lookup3.c, and one of HDF5's own tests."""
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


@pytest.mark.parametrize("in_memory", [True, False])
def test_hdf5_and_we_read_the_same_from_what_we_write(tmp_path, monkeypatch, in_memory):
    """The library is the second, independent reader: of all types, shapes, attributes and names."""
    if not in_memory:
        monkeypatch.setattr(seal, "IN_MEMORY", 0)
    rng, path = np.random.default_rng(0), tmp_path / "a.h5"
    arrays = {d: (100 * rng.random((2, 3)) > 40).astype(d) * np.ones(3).astype(d) for d in DTYPES}
    arrays |= {"scalar": np.array(2.5), "empty": np.zeros((0, 4)), "n" * 300: np.arange(4), "θ ": np.arange(5)}
    with writing(path, tmp_path / "t", "test 1") as root:
        for name, array in arrays.items():
            root.create_dataset(f"deep/er/{name}", data=array).attrs["of"] = name
        root.create_dataset("text", data="θ" * 100_000)
        root.create_dataset("nothing", data="")
        for i in range(500):
            root.create_group(f"many/{i}")
        root.attrs |= {"n": -3, "x": 0.5, "yes": True, "t": "θ", "row": np.arange(3)}
    with h5py.File(path) as theirs, reading(path, "test", 1) as file:
        ours = file.tree()
        assert set(theirs["deep/er"]) == set(ours.group("deep/er")) == set(arrays)
        for name, array in arrays.items():
            for seen in (theirs["deep/er"][name], ours.dataset(f"deep/er/{name}")):
                assert seen[()].dtype == array.dtype
                assert np.array_equal(seen[()], array)
            assert theirs["deep/er"][name].attrs["of"].decode() == ours.dataset(f"deep/er/{name}").attrs["of"] == name
        assert theirs["text"][()].decode() == ours.dataset("text").text() == "θ" * 100_000
        assert ours.dataset("nothing").text() == ""
        assert len(theirs["many"]) == len(ours.group("many")) == 500
        assert {k: v for k, v in ours.attrs.items() if k != "row"} == {"n": -3, "x": 0.5, "yes": True, "t": "θ"}
        assert theirs.attrs["n"] == -3
        assert theirs.attrs["yes"] == np.True_
        assert np.array_equal(theirs.attrs["row"], ours.attrs["row"])


# --- files of the first format ----------------------------------------------------------------------------------------


def test_a_checkpoint_of_the_first_format_is_read_bit_for_bit(checkpoint):
    """Its values follow from formulas, which the model of today is made by again."""
    old, new = (load_checkpoint(path) for path in (format_one.DATA / "step_00000007.h5", checkpoint))
    assert (old.metrics, old.config, old.aliases) == (format_one.METRICS, format_one.CONFIG, new.aliases)
    assert (old.step, old.optimizer, old.lr, old.seed) == (7, "adam", 0.01, 4)
    with torch.random.fork_rng(devices=[]):
        model, twin = format_one.Model(), format_one.Model()
    optimizer = format_one.optimizer_of(model)
    mine = torch.optim.Adam([p for p in twin.parameters() if p.requires_grad])
    old.load_into(twin, optimizer=mine)
    for name, tensor in model.state_dict().items():
        assert twin.state_dict()[name].dtype == tensor.dtype
        assert torch.equal(twin.state_dict()[name], tensor)
    for p, q in zip(optimizer.param_groups[0]["params"], mine.param_groups[0]["params"], strict=True):
        assert all(torch.equal(optimizer.state[p][name], mine.state[q][name]) for name in optimizer.state[p])
    assert old.params_sha256 == new.params_sha256
    assert repr(old.resume_state()) == repr(new.resume_state())
    assert old.history()["loss"].tolist() == [0.5, 0.25]
    assert dict(describe_checkpoint(old.path))["sha256"].endswith(" holds")


def test_results_of_the_first_format_are_read_and_merged_into_those_of_today(tmp_path):
    (tmp_path / "results.h5").write_bytes((format_one.DATA / "results.h5").read_bytes())
    with ResultStore(tmp_path) as store:
        assert store.find("adam/s0", 7, "trace", {"seed": 0}).samples.tolist() == (np.arange(5.0) / 3).tolist()
        store.consolidate()
    for path in (format_one.DATA, tmp_path):
        read = load_results(path, everything=True)
        assert read.run("adam/s0").last.records["gap"].ratio.bound == 0.5
        assert np.isnan(read.pairs[0].record.loss[1])
        assert read.run("adam/s0").last.metrics == format_one.METRICS
    assert (tmp_path / "results.h5").read_bytes().startswith(b"landscape-results 2 ")


def test_an_old_checkpoint_in_which_hdf5_finds_no_end_is_refused(tmp_path):
    """Two bytes of the heap of texts: its library goes round for ever."""
    path, whole = tmp_path / "step_00000007.h5", (format_one.DATA / "step_00000007.h5").read_bytes()
    heap = whole.index(b"GCOL")
    for at in (heap + 16, heap + 24, heap + 30):
        path.write_bytes(whole[:at] + b"\xff\xff" + whole[at + 2 :])
        with pytest.raises(CheckpointError, match="is damaged"):
            load_checkpoint(path)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", crafting.TRICKS)
def test_what_hdf5_can_do_and_our_files_do_not_is_refused(tmp_path, name):
    for title, read in (("landscape-checkpoint 2", load_checkpoint), ("landscape-results 2", load_results)):
        path = tmp_path / "step_00000001.h5"
        path.write_bytes(crafting.by_hdf5(tmp_path, title, name))
        with pytest.raises(LandscapeError) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_crafted_results_file_cannot_bring_bytes_of_another_file(tmp_path, results):
    """Its seal holds and its one array is an external one: bytes of a file beside it."""
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(5.0).tobytes())
    path = tmp_path / "results.h5"
    path.write_bytes((format_one.DATA / "results.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        group = file["runs/adam%2Fs0/steps/00000007/records/trace"]
        del group["samples"]
        group.create_dataset("samples", shape=(5,), dtype="f8", external=[(str(secret), 0, 40)])
    path.write_bytes(fuzzing.resealed(path.read_bytes()))
    for read in (load_results, describe_results, ResultStore):
        with pytest.raises(ResultsError, match="is damaged"):
            read(path)


def test_what_is_no_file_is_refused_at_once(tmp_path, monkeypatch):
    fifo, sock = tmp_path / "step_00000001.h5", tmp_path / "s"
    os.mkfifo(fifo)
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the names of sockets must be short
        server.bind("s")
        for path, what in (
            (fifo, "a FIFO"),
            (sock, "a socket"),
            (tmp_path, "a folder"),
            (Path("/dev/null"), "a device"),
        ):
            with pytest.raises(CheckpointError, match=f"is {what}, not a file"):
                load_checkpoint(path)
        os.mkfifo(tmp_path / "results.h5")
        for read in (load_results, ResultStore):
            with pytest.raises(ResultsError, match="FIFO"):
                read(tmp_path)


def test_tensors_are_never_those_of_another_file_that_took_the_name(tmp_path):
    with torch.random.fork_rng(devices=[]):
        first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    opened = load_checkpoint(save_checkpoint(tmp_path, first, step=1))
    other = load_checkpoint(save_checkpoint(tmp_path, second, step=1))
    with pytest.raises(CheckpointError, match="was replaced by another checkpoint since it was opened"):
        opened.params()
    raw = bytearray(other.path.read_bytes())
    raw[-200] ^= 1
    other.path.write_bytes(raw)
    for read in (other.params, other.buffers, other.theta, other.resume_state, other.history):
        with pytest.raises(CheckpointError, match="is damaged"):
            read()


@pytest.mark.parametrize(
    ("saved", "into"),
    [(torch.complex64, torch.float32), (torch.int64, torch.float32), (torch.bool, torch.float64),
     (torch.float32, torch.int32), (torch.float16, torch.complex64)],
)  # fmt: skip
def test_another_kind_of_number_is_not_copied_unseen(tmp_path, saved, into):
    def with_buffer(dtype):
        model = nn.Module()
        model.register_buffer("b", torch.ones(2, dtype=dtype))
        return model

    ckpt, model = load_checkpoint(save_checkpoint(tmp_path, with_buffer(saved), step=0)), with_buffer(into)
    with pytest.raises(CheckpointError, match=rf"b is {str(saved)[6:]} in the file and {str(into)[6:]}.*view_as_real"):
        ckpt.load_into(model)
    wider = with_buffer({torch.bool: torch.bool, torch.int64: torch.int32}.get(saved, saved))
    ckpt.load_into(wider)


# --- JSON of another shape --------------------------------------------------------------------------------------------


def test_a_metric_that_is_no_number_counts_as_missing_and_stops_nothing(tmp_path):
    odd = {"train_loss": "text", "test_accuracy": [1], "accuracy_per_class": {}, "grad_norm": True, "mine": "text"}
    config = {"optimizer": "adam", "seed": 0, "label": ["a", "list"], "lr": 0.1}
    ckpt = load_checkpoint(save_checkpoint(tmp_path, nn.ReLU(), step=1, metrics=odd, config=config))
    assert ckpt.metrics == {"mine": "text"}
    assert ckpt.config == {"optimizer": "adam", "seed": 0, "lr": 0.1}
    with ResultStore(tmp_path) as store:
        store.describe({"versions": [1], "skipped": "text", "seconds": "long"})
        store.describe_run("a", {"config": ["text"], "seed": "zero", "optimizer": {}, "num_parameters": "many"})
        store.describe_checkpoint("a", 1, odd)
        store.write("a", 1, "trace", Estimate(1.0), {"seconds": "long", "matvecs": [1], "converged": "no"})
    described = str(describe_results(tmp_path))
    assert "trace" in described
    read = load_results(tmp_path).run("a")
    assert (read.config, read.seed, read.optimizer, read.last.metrics) == ({}, None, None, {"mine": "text"})


@pytest.mark.parametrize(
    "change",
    [
        {"value": "text"}, {"sem": True}, {"num_matvecs": 0.5}, {"unknown": 1}, {"converged": "no"}, {"method": [1]},
        {"samples": [1.0, 2.0]}, {"value": None},
    ],
)  # fmt: skip
def test_a_record_whose_fields_are_of_another_type_is_refused(tmp_path, results, change):
    import json

    tree = crafting.tree_of(results, "landscape-results")
    record = tree["below"]["runs"]["below"]["adam%2Fs0"]["below"]["steps"]["below"]["00000007"]["below"]["records"]
    said = json.loads(record["below"]["trace"]["below"]["record"]["value"])
    said["fields"] |= change
    record["below"]["trace"]["below"]["record"]["value"] = json.dumps(said)
    path = tmp_path / "results.h5"
    crafting.written(path, "landscape-results 2", tree)
    with pytest.raises(ResultsError, match="Estimate"):
        load_results(path)


def test_arrays_that_do_not_go_together_are_refused(tmp_path):
    with ResultStore(tmp_path) as store:
        store.describe({})
        store.write("a", 1, "line_x", LineSlice(np.arange(3.0), np.arange(2.0), "d", 1.0), {})
        store.write("a", 1, "eigenpairs", Estimate(1.0), {})
        assert load_results(tmp_path).runs == ()  # of the journal: passed over
        with pytest.raises(ResultsError, match=re.escape("which does not go with the other arrays")):
            store.find("a", 1, "line_x", {}) or store.consolidate()


# --- locks and links --------------------------------------------------------------------------------------------------


def test_locks_and_journals_that_are_links_are_not_followed(tmp_path):
    treasure = tmp_path / "treasure"
    treasure.write_text("keep me")
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "results.h5.lock").symlink_to(treasure)
    with pytest.raises(ResultsError, match="cannot write"):
        ResultStore(folder)
    (folder / "results.h5.lock").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.tmp").write_text("keep me")
    (folder / "results.h5.parts").symlink_to(elsewhere)
    (folder / "results.h5.tmp").symlink_to(treasure)
    with ResultStore(folder) as store, pytest.raises(ResultsError, match="is a link, which is not followed"):
        store.write("a", 1, "t", Estimate(1.0), {})
    assert treasure.read_text() == "keep me"
    assert [p.name for p in elsewhere.iterdir()] == ["x.tmp"]


def test_a_lock_is_held_by_one_and_freed_by_death(tmp_path):
    lock = WriterLock(tmp_path / "lock")
    lock.acquire()
    with pytest.raises(Held) as held:
        WriterLock(tmp_path / "lock").acquire()
    assert held.value.holder == str(os.getpid())
    lock.release()
    code = "import sys, os; from pathlib import Path; from landscape.files import WriterLock\n" \
        "WriterLock(Path(sys.argv[1])).acquire(); os._exit(9)"  # fmt: skip
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False, cwd=Path(__file__).parents[2])
    assert (tmp_path / "lock").exists()
    lock.acquire()
    lock.release()


def test_a_second_training_into_a_folder_is_refused_and_a_dead_one_does_not_bind(tmp_path):
    (tmp_path / LOCK).write_text("999999\n")
    with sole_training(tmp_path):
        with pytest.raises(CheckpointError, match=f"process {os.getpid()} is training into"), sole_training(tmp_path):
            pass
        with pytest.raises(CheckpointError, match="is training into"):
            train(get_problem("quadratic"), tmp_path, epochs=1)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="cannot write into"), sole_training(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_inspect_ends_with_one_where_a_hash_fails_and_shows_no_control_characters(tmp_path, monkeypatch, capsys):
    path = save_checkpoint(tmp_path, nn.ReLU(), step=1, config={"note": "\x1b[2Jgone\x07"})
    for raw, status in ((path.read_bytes(), 0), (path.read_bytes()[:-1], 1), (path.read_bytes() + b"more", 1)):
        path.write_bytes(raw)
        monkeypatch.setattr(sys, "argv", ["landscape", "inspect", str(path)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == status
        said = capsys.readouterr()
        assert "\x1b" not in said.out
        assert status or "\\x1b[2Jgone\\x07" in said.out


# --- a little of the campaign -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_few_hundred_damaged_and_crafted_files_do_no_harm(tmp_path, checkpoint, results):
    """The rest is in tests/campaigns/test_fuzz_files.py."""
    for kind, path, title in (
        ("checkpoint", checkpoint, "landscape-checkpoint 2"), ("results", results, "landscape-results 2"),
    ):  # fmt: skip
        whole = path.read_bytes()
        found = fuzzing.outcomes(kind, path, fuzzing.damaged(whole, 100, 1), tmp_path / "bad")
        assert set(found) <= {"same", "refused"}, found
        nonsense = list(crafting.nonsense(crafting.tree_of(path, title.split()[0])))[::40]
        crafted = [*crafting.rewired(whole)][::30]
        crafted += [crafting.written(tmp_path / "scratch.h5", title, tree) for tree in nonsense]
        found = fuzzing.outcomes(kind, path, map(fuzzing.resealed, crafted), tmp_path / "bad", anew=True)
        assert set(found) <= fuzzing.GOOD, found
        assert found["refused"] > 10
