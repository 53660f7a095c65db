"""A pickle is a program: in no format is it run, whatever it is named and wherever it stands."""

from __future__ import annotations

import argparse
import io
import pickle
import pickletools

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.checkpoints import describe_foreign
from landscape.checkpoints.importers.pickles import foreign_globals, kind_of, named_in
from tests.support.checkpoints import linear
from tests.support.foreign import STEPS, Evil, digits, train


def places(evil, model, optimizer):
    """Where a hostile object may stand in a file of each format."""
    state, tensors = optimizer.state_dict(), model.state_dict()
    with_evil = {**state, "param_groups": [{**state["param_groups"][0], "x": evil}]}
    return {
        "plain_1.pt": {"model": tensors, "config": evil},
        "among_tensors_1.pth": {**tensors, "x": evil},
        "whole_1.pt": evil,
        "in_optimizer_1.pt": {"model": tensors, "optimizer": with_evil},
        "lightning.ckpt": {
            "pytorch-lightning_version": "2.6",
            "state_dict": tensors,
            "global_step": 1,
            "callbacks": evil,
        },
        "model_1.t7": {"state_dict": tensors, "epoch": 1, "acc": evil},
        "ckpt.pt": {"model": tensors, "model_args": {}, "iter_num": 1, "best_val_loss": evil},
        "main.pt": {"model": tensors, "optimizer": state, "scheduler": evil, "itr": 1},
        "pytorch_model_1.bin": {**tensors, "x": evil},
        "checkpoint_1.pth.tar": {"state_dict": tensors, "best_acc": evil},
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_pickle_is_named_and_not_run_in_any_format(zipped, protocol, tmp_path):
    problem, made = digits(), tmp_path / "made"
    for name, content in places(Evil(made), *train(problem)).items():
        how = {"_use_new_zipfile_serialization": zipped, "pickle_protocol": protocol}
        torch.save(content, tmp_path / name, **how)
        for act in (
            lambda path: ls.import_checkpoint(path, tmp_path / "out", problem=problem),
            lambda path: ls.import_checkpoint(path, tmp_path / "out", problem=problem, allow=["argparse.Namespace"]),
            describe_foreign,
        ):
            with pytest.raises(ls.CheckpointError, match=r"would run posix.mkdir when it is loaded") as refused:
                act(tmp_path / name)
            assert "--allow" not in str(refused.value), name
            assert "\n" not in str(refused.value)
    assert not made.exists()
    assert not (tmp_path / "out").exists()
    torch.load(tmp_path / "plain_1.pt", weights_only=False)
    assert made.exists(), "the pickle of this test is not hostile at all"


def test_a_hostile_state_beside_a_t7_file_is_not_run_either(tmp_path):
    problem = digits()
    model, _ = train(problem)
    torch.save({"state_dict": model.state_dict(), "epoch": 1}, tmp_path / "model_1.t7")
    torch.save({"optimizer": Evil(tmp_path / "made")}, tmp_path / "opt_state_1.t7")
    with pytest.raises(ls.CheckpointError, match="opt_state_1.t7 would run posix.mkdir"):
        ls.import_checkpoint(tmp_path / "model_1.t7", tmp_path / "out", problem=problem)
    assert not (tmp_path / "made").exists()


def test_an_attack_cannot_be_allowed(tmp_path):
    problem = digits()
    torch.save({"x": Evil(tmp_path / "made")}, tmp_path / "a_1.pt")
    for name in ("posix.mkdir", "os.mkdir", "builtins.eval", "subprocess.Popen", "argparse.Namespace=os.mkdir"):
        with pytest.raises(ls.UsageError, match="it is never allowed"):
            ls.import_checkpoint(tmp_path / "a_1.pt", tmp_path / "out", problem=problem, allow=[name])
    with pytest.raises(ls.UsageError, match="only classes can be allowed"):
        ls.import_checkpoint(tmp_path / "a_1.pt", tmp_path / "out", problem=problem, allow=["torch.hub.load"])
    assert not (tmp_path / "made").exists()


class Settings:
    def __init__(self) -> None:
        self.lr = 0.25


def test_classes_that_a_person_knows_are_listed_and_can_be_allowed_by_name(tmp_path):
    problem = digits()
    model, _ = train(problem)
    content = {
        "model": model.state_dict(), "step": STEPS, "args": argparse.Namespace(seed=6, batch_size=7), "s": Settings(),
        "best": np.float64(0.5),
    }  # fmt: skip
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(ls.CheckpointError) as refused:
        ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "out", problem=problem)
    names = [part.split()[0] for part in str(refused.value).split("--allow ")[1:]]
    assert {"argparse.Namespace", f"{__name__}.Settings"} <= set(names)
    (path,) = ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "out", problem=problem, allow=names)
    found = ls.load_checkpoint(path)
    assert (found.seed, found.config["batch_size"]) == (6, 7)


def test_a_class_of_a_script_can_be_allowed_where_it_is_now(tmp_path, monkeypatch):
    problem = digits()
    model, _ = train(problem)
    monkeypatch.setattr(Settings, "__module__", "__main__")
    import __main__

    monkeypatch.setattr(__main__, "Settings", Settings, raising=False)
    torch.save({"model": model.state_dict(), "step": 1, "args": Settings()}, tmp_path / "c.pt")
    monkeypatch.delattr(__main__, "Settings")
    monkeypatch.undo()
    with pytest.raises(ls.CheckpointError, match=r"--allow __main__.Settings"):
        ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "out", problem=problem)
    with pytest.raises(ls.UsageError, match=r"where it is now: __main__.Settings=module.Settings"):
        ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "out", problem=problem, allow=["__main__.Settings"])
    here = f"__main__.Settings={__name__}.Settings"
    (path,) = ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "out", problem=problem, allow=[here])
    assert ls.load_checkpoint(path).lr == 0.25


def test_names_are_those_that_torch_and_python_would_look_up(tmp_path):
    """Against torch's own list for its present format, and against an unpickler that notes what it is asked for."""
    content = {"a": argparse.Namespace(b=Settings()), "c": np.float32(1), "m": linear()}
    torch.save(content, tmp_path / "c.pt")
    listing = getattr(torch.serialization, "get_unsafe_globals_in_checkpoint", None)
    if listing is not None:
        assert foreign_globals(tmp_path / "c.pt", "zip") == set(listing(tmp_path / "c.pt"))

    class Noting(pickle.Unpickler):
        def find_class(self, module, name):
            found = super().find_class(module, name)
            asked.add(f"{found.__module__}.{found.__qualname__}")
            return found

    for protocol in range(6):
        asked, raw = set(), pickle.dumps({k: v for k, v in content.items() if k != "m"}, protocol=protocol)
        Noting(io.BytesIO(raw)).load()
        assert set(named_in(io.BytesIO(raw))) == asked, protocol
        assert set(named_in(io.BytesIO(pickletools.optimize(raw)))) == asked, protocol


def test_what_is_no_file_of_tensors_is_refused_by_what_it_is(tmp_path):
    problem = digits()
    scripted = tmp_path / "script_1.pt"
    torch.jit.save(torch.jit.trace(linear(), torch.ones(1, 1)), scripted)
    (tmp_path / "pickle_1.pt").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "text_1.pt").write_text("no checkpoint at all")
    (tmp_path / "empty_1.pt").touch()
    ls.save_checkpoint(tmp_path, problem.make_model(0), step=1)
    (tmp_path / "step_00000001.h5").rename(tmp_path / "ours_1.pt")
    said = {"script": "TorchScript", "pickle": "a pickle of Python's", "text": "none of the known formats",
            "empty": "none of the known formats", "ours": "of landscape already"}  # fmt: skip
    for name, text in said.items():
        with pytest.raises(ls.CheckpointError, match=text):
            ls.import_checkpoint(tmp_path / f"{name}_1.pt", tmp_path / "out", problem=problem)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_cut_or_damaged_is_one_line_or_is_what_was_written(zipped, tmp_path):
    problem = digits()
    model, _ = train(problem)
    source = tmp_path / "m_1.pt"
    torch.save({"model": model.state_dict(), "step": 1}, source, _use_new_zipfile_serialization=zipped)
    whole, generator = source.read_bytes(), np.random.default_rng(0)
    assert kind_of(source) == ("zip" if zipped else "legacy")
    for trial in range(40):
        raw = bytearray(whole[: generator.integers(len(whole))] if trial % 2 else whole)
        for at in generator.integers(len(raw), size=3) if len(raw) else []:
            raw[at] = generator.integers(256)
        source.write_bytes(raw)
        try:
            (path,) = ls.import_checkpoint(source, tmp_path / str(trial), problem=problem)
        except ls.LandscapeError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert ls.load_checkpoint(path).num_parameters == sum(p.numel() for p in model.parameters())
