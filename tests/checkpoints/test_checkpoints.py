"""Checkpoint files: they give back what was saved, are whole or absent, and refuse what they are not."""

from __future__ import annotations

import errno
import os
import random
import re
import resource
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from landscape.checkpoints import (
    CheckpointDir,
    describe_checkpoint,
    find_runs,
    hashes_hold,
    load_checkpoint,
    remove_temporaries,
    save_checkpoint,
)
from landscape.checkpoints import files as checkpoint_files_module
from landscape.checkpoints.files import open_file, write_file
from landscape.checkpoints.format import read_tree, write_tree
from landscape.errors import CheckpointError, LandscapeError, UsageError
from landscape.problems import get_problem


class Tied(nn.Module):
    """Tied weights, two types, buffers of which one is not saved, a frozen layer."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.embed = nn.Linear(width, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.short = nn.Linear(width, 3, dtype=torch.bfloat16)
        self.head = nn.Linear(width, width)
        self.head.weight = self.embed.weight
        self.scale = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("scratch", torch.ones(2), persistent=False)
        self.short.bias.requires_grad_(False)


def make(seed: int = 0, kind=Tied, **kwargs) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(**kwargs)
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.normal_()
    return model


def linear(fan_in: int = 1, fan_out: int = 1) -> nn.Module:
    return make(kind=nn.Linear, in_features=fan_in, out_features=fan_out)


def stepped(name: str, model: nn.Module, steps: int = 3, **options) -> torch.optim.Optimizer:
    optimizer = getattr(torch.optim, name)([p for p in model.parameters() if p.requires_grad], **options)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype) if p.requires_grad else None
        optimizer.step()
    return optimizer


@pytest.fixture
def saved(tmp_path) -> Path:
    """A checkpoint with everything in it."""
    model = make()
    optimizer = stepped("Adam", model)
    return save_checkpoint(
        tmp_path,
        model,
        step=7,
        problem="mlp-digits",
        optimizer=optimizer,
        metrics={"train_loss": 0.25, "accuracy_per_class": [1.0, None]},
        config={"optimizer": "adam", "lr": 0.01, "seed": 4, "note": "θ"},
        resume={"rng": torch.arange(9, dtype=torch.uint8), "order": {"position": 3}},
    )


# --- what goes in comes out -------------------------------------------------------------------------------------------


def test_everything_saved_is_read_back_bit_for_bit(saved):
    model, ckpt = make(), load_checkpoint(saved)
    optimizer = stepped("Adam", model)
    for name, parameter in model.named_parameters():
        assert torch.equal(ckpt.params()[name], parameter)
        assert ckpt.params()[name].dtype == parameter.dtype
    assert list(ckpt.params()) == [name for name, _ in model.named_parameters()]
    assert ckpt.aliases == {"head.weight": "embed.weight"}
    assert set(ckpt.buffers()) == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "mask"}
    assert torch.equal(ckpt.buffers()["norm.running_var"], model.norm.running_var)
    assert ckpt.buffers()["mask"].dtype == torch.bool
    state = ckpt.optimizer_state()
    assert torch.equal(state["state"]["norm.weight"]["exp_avg"], optimizer.state[model.norm.weight]["exp_avg"])
    assert state["param_groups"][0]["params"] == [n for n, p in model.named_parameters() if p.requires_grad]
    assert (ckpt.step, ckpt.optimizer, ckpt.lr, ckpt.seed, ckpt.problem) == (7, "adam", 0.01, 4, "mlp-digits")
    assert ckpt.problem_config["hidden"] == [100, 100]
    assert ckpt.metrics == {"train_loss": 0.25, "accuracy_per_class": [1.0, None]}
    assert ckpt.config["note"] == "θ"
    assert ckpt.num_parameters == sum(p.numel() for p in model.parameters())
    assert torch.equal(ckpt.resume_state()["rng"], torch.arange(9, dtype=torch.uint8))
    assert ckpt.resume_state()["order"] == {"position": 3}


def test_loading_into_a_model_keeps_its_ties_and_restores_the_optimizer(saved):
    model, twin = make(), make(seed=5)
    original = stepped("Adam", model)
    fresh = torch.optim.Adam([p for p in twin.parameters() if p.requires_grad])
    load_checkpoint(saved).load_into(twin, optimizer=fresh)
    assert twin.head.weight is twin.embed.weight
    for optimizer, owner in ((fresh, twin), (original, model)):
        for p in owner.parameters():
            p.grad = torch.ones_like(p) if p.requires_grad else None
        optimizer.step()
    for name, parameter in model.named_parameters():
        assert torch.equal(dict(twin.named_parameters())[name], parameter)
    assert torch.equal(twin.norm.running_mean, make().norm.running_mean)
    assert torch.equal(twin.scratch, make(seed=5).scratch)
    assert fresh.param_groups[0]["betas"] == (0.9, 0.999)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        ("AdamW", {"amsgrad": True}),
        ("RMSprop", {"centered": True, "momentum": 0.5}),
        ("Adagrad", {}),
        ("Adadelta", {}),
        ("NAdam", {}),
        ("Rprop", {}),
    ],
)
def test_optimizer_states_of_all_kinds_survive(tmp_path, name, options):
    model = linear(3, 2)
    optimizer = stepped(name, model, **options)
    path = save_checkpoint(tmp_path, model, step=1, optimizer=optimizer)
    twin = make(1, kind=nn.Linear, in_features=3, out_features=2)
    restored = getattr(torch.optim, name)(twin.parameters(), **options)
    load_checkpoint(path).load_into(twin, optimizer=restored)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        b.grad = a.grad.clone()
    optimizer.step()
    restored.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert repr(optimizer.state_dict()["param_groups"]) == repr(restored.state_dict()["param_groups"])


def test_flat_parameters_are_those_of_the_objective(tmp_path):
    problem = get_problem("mlp-digits", {"hidden": [4], "num_train": 30})
    model = problem.make_model(2)
    model.fc1.bias.requires_grad_(False)
    path = save_checkpoint(tmp_path, model, step=0, problem=problem)
    ckpt = load_checkpoint(path)
    assert torch.equal(ckpt.theta(), problem.objective(model, check=False).theta)
    model.fc1.bias.requires_grad_(True)
    ckpt = load_checkpoint(save_checkpoint(tmp_path, model, step=1, problem=problem, config={"seed": 2}))
    objective = ckpt.objective(dtype=torch.float64)
    assert torch.equal(objective.theta.float(), ckpt.theta())
    assert objective.loss() == pytest.approx(problem.loss(model, *problem.train).item(), rel=1e-6)
    assert ckpt.objective(split="test", check=False).num_examples == 540
    assert ckpt.objective(problem, check=False).num_examples == 30


def test_half_precision_and_odd_layouts_survive(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            for i, dtype in enumerate((torch.bfloat16, torch.float16, torch.float64, torch.complex64)):
                self.register_parameter(f"p{i}", nn.Parameter(torch.randn(3, 4, generator=generator).to(dtype).T))
            self.register_buffer("f8", torch.linspace(-2, 2, 6).to(torch.float8_e4m3fn))
            self.register_buffer("empty", torch.empty(0, 3))
            self.register_buffer("number", torch.tensor(7, dtype=torch.int16))

    model = Odd()
    ckpt = load_checkpoint(save_checkpoint(tmp_path, model, step=0))

    def raw(tensor):
        return tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8)

    for name, tensor in model.state_dict().items():
        back = {**ckpt.params(), **ckpt.buffers()}[name]
        assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(raw(back), raw(tensor))
    assert ckpt.buffers()["number"] == 7


def test_wrappers_leave_no_mark_on_names(tmp_path):
    plain = linear(3, 2)
    compiled = torch.compile(nn.Sequential(torch.compile(plain)))
    ckpt = load_checkpoint(save_checkpoint(tmp_path, compiled, step=0))
    assert list(ckpt.params()) == ["0.weight", "0.bias"]
    parallel = load_checkpoint(save_checkpoint(tmp_path, nn.DataParallel(plain), step=1))
    assert list(parallel.params()) == ["weight", "bias"]
    other = nn.Sequential(make(3, kind=nn.Linear, in_features=3, out_features=2))
    ckpt.load_into(torch.compile(other))
    assert torch.equal(other[0].weight, plain.weight)
    named_module = nn.Module()
    named_module.module = plain
    kept = load_checkpoint(save_checkpoint(tmp_path, named_module, step=2))
    assert list(kept.params()) == ["module.weight", "module.bias"]  # a name of the model's own stays


def test_names_with_slashes_and_percent_signs_survive(tmp_path):
    model = nn.ModuleDict({name: linear() for name in ("a/b", "a", "50%", "%2F")})
    ckpt = load_checkpoint(save_checkpoint(tmp_path, model, step=0))
    assert list(ckpt.params()) == [name for name, _ in model.named_parameters()]


def test_a_config_beyond_an_attribute_s_64_kilobytes_survives(tmp_path):
    config = {"notes": "θ" * 100_000, "vocabulary": list(range(30_000))}
    path = save_checkpoint(tmp_path, linear(), step=0, config=config, metrics=config, resume=config)
    ckpt = load_checkpoint(path)
    assert ckpt.config == ckpt.metrics == ckpt.resume_state() == config


def test_numbers_of_numpy_and_torch_become_json(tmp_path):
    metrics = {"loss": np.float32(0.5), "hits": torch.tensor([1, 2]), "nan": float("nan"), "n": np.int64(3)}
    ckpt = load_checkpoint(save_checkpoint(tmp_path, linear(), step=0, metrics=metrics))
    assert repr(ckpt.metrics) == repr({"loss": 0.5, "hits": [1, 2], "nan": float("nan"), "n": 3})


def test_a_tree_gives_back_what_was_put_in(tmp_path):
    tree = {
        "a/b": {".": torch.tensor(True)},
        "array": np.ones((2, 2)),
        "counts": {10: 1, 20: (2, 3)},
        "empty": {},
        "nan": [float("nan")],
        "tensor": torch.arange(3),
        "text": "θ\0",
        "tuple": (1, [torch.zeros(1), None]),
    }
    write_file(tmp_path / "tree.h5", lambda file: write_tree(file, "tree", tree))
    with open_file(tmp_path / "tree.h5") as file:
        assert repr(read_tree(file.tree["tree"])) == repr(tree)
    with pytest.raises(CheckpointError, match="/tree2/inner is a function"):
        write_file(
            tmp_path / "2.h5", lambda file: write_tree(file, "tree2", {"inner": test_wrappers_leave_no_mark_on_names})
        )
    deep: dict = {"t": torch.zeros(1)}
    for _ in range(100):
        deep = {"d": deep}
    with pytest.raises(CheckpointError, match="levels deep"):
        write_file(tmp_path / "2.h5", lambda file: write_tree(file, "deep", deep))
    with pytest.raises(CheckpointError, match="no place for values of type float128"):
        write_file(tmp_path / "2.h5", lambda file: write_tree(file, "long", [np.longdouble(1)]))
    assert [path.name for path in tmp_path.iterdir()] == ["tree.h5"]


def test_what_only_pickle_could_hold_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(CheckpointError, match="object.*must be JSON"):
        save_checkpoint(tmp_path, linear(), step=0, config={"x": object()})
    with pytest.raises(CheckpointError, match=r"resume/x is a object"):
        save_checkpoint(tmp_path, linear(), step=0, resume={"x": object()})
    with pytest.raises(CheckpointError, match="lazy"):
        save_checkpoint(tmp_path, nn.LazyLinear(2), step=0)
    with pytest.raises(UsageError, match="step=-1"):
        save_checkpoint(tmp_path, linear(), step=-1)
    assert list(tmp_path.iterdir()) == []


def test_the_parameter_hash_depends_on_parameters_alone(tmp_path):
    def digest(model, **kwargs):
        return load_checkpoint(save_checkpoint(tmp_path, model, step=0, **kwargs)).params_sha256

    first = digest(make(), metrics={"x": 1})
    assert digest(make(), config={"y": 2}) == first
    moved = make()
    with torch.no_grad():
        moved.norm.bias[0] += 1e-7
    assert digest(moved) != first
    buffer_moved = make()
    buffer_moved.norm.running_mean += 1
    assert digest(buffer_moved) == first


# --- refused ----------------------------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_file_cut_anywhere_is_refused(saved):
    raw = saved.read_bytes()
    cut = saved.with_name("step_00000008.h5")
    rng = random.Random(0)
    for length in [0, 1, 7, 8, 100, len(raw) - 1, *(rng.randrange(len(raw)) for _ in range(40))]:
        cut.write_bytes(raw[:length])
        assert re.search("is empty|not an HDF5 file|is truncated|is damaged", refused(cut))
    cut.write_bytes(b"")
    assert "is empty" in refused(cut)
    cut.write_bytes(raw[:-1])
    assert "is truncated" in refused(cut)


def contents(path: Path) -> str:
    ckpt = load_checkpoint(path)
    fields = {key: value for key, value in vars(ckpt).items() if key not in ("path", "proof")}
    with np.printoptions(threshold=10**6):
        torch.set_printoptions(profile="full")
        try:
            return repr((fields, ckpt.params(), ckpt.buffers(), ckpt.optimizer_state(), ckpt.resume_state()))
        finally:
            torch.set_printoptions(profile="default")


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(saved):
    raw, want = saved.read_bytes(), contents(saved)
    flipped = saved.with_name("step_00000008.h5")
    rng = random.Random(0)
    refusals = 0
    for _ in range(150):
        damaged = bytearray(raw)
        bit = rng.randrange(8 * len(raw))
        damaged[bit // 8] ^= 1 << bit % 8
        flipped.write_bytes(damaged)
        try:
            seen = contents(flipped)
        except CheckpointError:
            refusals += 1
        else:
            assert seen == want  # a byte that HDF5 does not use
    assert refusals > 75


def test_what_hdf5_changes_in_a_file_is_noticed(saved):
    """Every attribute and dataset is under the seal, and so are the names."""
    with h5py.File(saved) as file:
        items: list[tuple[str, str | None]] = [("/", key) for key in file.attrs]
        file.visititems(lambda name, node: items.extend((name, key) for key in node.attrs))
        file.visititems(lambda name, node: items.append((name, None)) if isinstance(node, h5py.Dataset) else None)
    assert len(items) > 80
    raw = saved.read_bytes()
    for name, key in items[::3]:
        with h5py.File(saved, "r+") as file:
            if key is not None:
                file[name].attrs[key] = 99
            else:
                del file[name]
        assert re.search("is damaged|is truncated", refused(saved)), (name, key)
        saved.write_bytes(raw)
    with h5py.File(saved, "r+") as file:
        file.move("params/norm.bias", "params/norm.shift")
    assert "is damaged" in refused(saved)
    saved.write_bytes(raw)
    load_checkpoint(saved)


def test_foreign_and_newer_files_are_told_apart(tmp_path, saved, monkeypatch):
    text = tmp_path / "step_00000001.h5"
    text.write_text("not a checkpoint at all")
    assert "is not an HDF5 file" in refused(text)
    foreign = tmp_path / "step_00000002.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    assert "not a checkpoint of landscape (its format is None)" in refused(foreign)
    with monkeypatch.context() as future:
        future.setattr(checkpoint_files_module, "FORMAT_VERSION", 3)
        newer = save_checkpoint(tmp_path, linear(), step=3)
    assert re.search("format version 3, and this landscape reads up to 2. Upgrade", refused(newer))
    assert "does not exist" in refused(tmp_path / "step_00000009.h5")
    assert "is a folder" in refused(tmp_path)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: make(width=6), r"of another shape: embed.weight is 5 × 5 in the file and 6 × 6 in the model"),
        (
            lambda: nn.Sequential(linear(5, 5)),
            r"missing from the file: 0.weight, 0.bias; not in the model: scale, embed",
        ),
        (lambda: _untied(), r"missing from the file: head.weight; tied in one and not in the other: head.weight"),
    ],
)
def test_another_architecture_is_refused_and_left_as_it_was(saved, other, said):
    model = other()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=said):
        load_checkpoint(saved).load_into(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def _untied():
    model = make()
    model.head.weight = nn.Parameter(model.embed.weight.detach().clone())
    return model


def test_the_state_of_another_optimizer_is_refused(saved, tmp_path):
    ckpt, model = load_checkpoint(saved), make()
    trainable = [p for p in model.parameters() if p.requires_grad]
    with pytest.raises(CheckpointError, match="state of Adam, not of SGD"):
        ckpt.load_into(model, optimizer=torch.optim.SGD(trainable, lr=0.1))
    with pytest.raises(CheckpointError, match="other parameters or groups"):
        ckpt.load_into(model, optimizer=torch.optim.Adam(trainable[::-1]))
    with pytest.raises(CheckpointError, match="no learning rate schedule"):
        ckpt.load_into(model, scheduler=object())
    bare = load_checkpoint(save_checkpoint(tmp_path / "bare", model, step=0))
    with pytest.raises(CheckpointError, match="no optimizer state"):
        bare.load_into(model, optimizer=torch.optim.Adam(trainable))
    assert bare.optimizer_state() is bare.resume_state() is bare.scheduler_state() is None


def test_a_problem_the_file_names_is_looked_up_and_never_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap_for_test.py").write_text("raise SystemExit('imported')")
    path = save_checkpoint(tmp_path, linear(), step=0, problem="trap_for_test:factory")
    with pytest.raises(CheckpointError, match=r"not a registered problem .*--problem trap_for_test:factory"):
        load_checkpoint(path).objective()
    nameless = load_checkpoint(save_checkpoint(tmp_path, linear(), step=1))
    with pytest.raises(CheckpointError, match="does not say what it was trained on"):
        nameless.model()
    assert nameless.find_problem("quadratic").name == "quadratic"


# --- whole or absent --------------------------------------------------------------------------------------------------


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_write_that_fails_halfway_leaves_the_folder_as_it_was(saved):
    before, large = files_in(saved.parent), linear(100, 100)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the kernel refuses to let any file grow beyond this
    try:
        with pytest.raises(CheckpointError, match=r"cannot write step_00000007.h5 into .*untouched"):
            save_checkpoint(saved.parent, large, step=7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(saved.parent) == before


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "no space left on the disk"), (errno.EROFS, "the folder is read-only")]
)
def test_a_full_disk_and_a_read_only_folder_are_named(saved, monkeypatch, number, said):
    before = files_in(saved.parent)

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    for target in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, target, fail)
            with pytest.raises(CheckpointError, match=f"into {re.escape(str(saved.parent))}: {said}"):
                save_checkpoint(saved.parent, make(), step=7)
    assert files_in(saved.parent) == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write step_00000000.h5 into"):
        save_checkpoint(tmp_path / "file" / "run", linear(), step=0)


def test_a_file_of_the_same_step_is_replaced(saved):
    save_checkpoint(saved.parent, make(seed=9), step=7)
    assert torch.equal(load_checkpoint(saved).params()["norm.bias"], make(seed=9).norm.bias)
    assert len(list(saved.parent.iterdir())) == 1


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "runs" / "adam-s0"
    for step in (100, 20, 3):
        save_checkpoint(folder, linear(2, 1), step=step)
    (folder / ".step_00000101.h5.1-ab.tmp").write_bytes(b"half")
    (folder / "results.h5").write_bytes(b"other")
    return folder


def test_a_run_is_a_sequence_by_step_that_ignores_temporaries(run):
    checkpoints = CheckpointDir(run)
    assert checkpoints.steps == (3, 20, 100)
    assert [c.step for c in checkpoints] == [3, 20, 100]
    assert checkpoints[-1].step == 100
    assert [c.step for c in checkpoints[:2]] == [3, 20]
    remove_temporaries(run)
    assert sorted(p.name for p in run.iterdir())[0] == "results.h5"


def test_unusable_files_are_passed_over_with_their_reason(run):
    (run / "step_00000050.h5").write_bytes(b"\0" * 10)
    raw = bytearray((run / "step_00000100.h5").read_bytes())
    (run / "step_00000100.h5").write_bytes(raw[:-5])
    good, bad = CheckpointDir(run).usable()
    assert [c.step for c in good] == [3, 20]
    assert [s.file.name for s in bad] == ["step_00000050.h5", "step_00000100.h5"]
    assert "truncated" in bad[1].reason
    good, bad = CheckpointDir(run).usable(last=1)
    assert ([c.step for c in good], len(bad)) == ([20], 2)
    with pytest.raises(UsageError, match="last=0"):
        CheckpointDir(run).usable(last=0)


def test_runs_are_found_below_a_folder_at_any_depth(run):
    root = run.parent
    save_checkpoint(root / "deep" / "er" / "sgd-s0", linear(), step=1)
    save_checkpoint(run / "nested", linear(), step=1)  # part of a run, not a run
    save_checkpoint(root / ".hidden", linear(), step=1)
    (root / "back").symlink_to(root)
    assert find_runs(root) == [run, root / "deep" / "er" / "sgd-s0"]
    assert find_runs(run) == [run]


def test_a_folder_without_checkpoints_says_what_was_looked_for(tmp_path, saved):
    for path, said in ((tmp_path / "absent", "no such folder"), (saved, "It is a file"), (tmp_path / "empty", "")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(CheckpointError, match=rf"step_\*\.h5.*{said}"):
            find_runs(path)
        with pytest.raises(CheckpointError, match=rf"step_\*\.h5.*{said}"):
            CheckpointDir(path)


# --- inspect and the documented format --------------------------------------------------------------------------------


def stepped_bias(path: Path) -> bytes:
    return load_checkpoint(path).params()["norm.bias"].numpy().tobytes()


def test_describe_shows_fields_tensors_and_whether_the_hashes_hold(saved):
    lines = dict(describe_checkpoint(saved))
    assert lines["step"] == "7"
    assert lines["problem"].startswith("mlp-digits  hidden=[100, 100]")
    assert lines["  short.weight"] == "3 × 5, bfloat16"
    assert lines["  short.bias"] == "3, bfloat16, frozen"
    assert lines["  head.weight"] == "tied to embed.weight"
    assert lines["metrics.accuracy_per_class"] == "[1, None]"
    assert lines["optimizer state"].startswith("Adam: exp_avg, exp_avg_sq, step for 6 tensors")
    assert lines["resume"] == "order, rng"
    assert lines["sha256"].endswith(" holds")
    assert hashes_hold(list(lines.items()))
    value = make().norm.bias.detach()
    stored = stepped_bias(saved)
    raw = saved.read_bytes()
    assert raw.count(stored) == 1
    saved.write_bytes(raw.replace(stored, value.add(9).numpy().tobytes()))
    lines = dict(describe_checkpoint(saved))
    assert not hashes_hold(list(lines.items()))
    assert "DOES NOT HOLD" in lines["sha256"]
    assert "DOES NOT HOLD" in lines["params_sha256"]
    bare = dict(describe_checkpoint(save_checkpoint(saved.parent, linear(2, 1), step=8)))
    assert bare["problem"] == "not named"


def test_the_documented_way_to_read_a_file_works(tmp_path, monkeypatch, capsys):
    readme = Path(__file__).parents[2] / "checkpoints" / "README.md"
    example = re.search(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)[1]
    model = linear(3, 2)
    metrics, optimizer = {"test_accuracy": 0.975}, stepped("Adam", model)
    save_checkpoint(tmp_path, model, step=690, problem="two-well", optimizer=optimizer, metrics=metrics)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(readme), "exec"), {})
    out = capsys.readouterr().out
    assert out == "two-well adam 690\ntest accuracy 0.975\nweight (2, 3) float32\nbias (2,) float32\n"


def test_the_documented_hash_of_the_parameters_can_be_computed_from_the_readme(saved):
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(load_checkpoint(saved).params().items()):
        raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for part in (f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode(), f"|u1({len(raw)},)".encode(), raw):
            digest.update(len(part).to_bytes(8, "little") + part)
    assert digest.hexdigest() == load_checkpoint(saved).params_sha256


def test_every_error_of_a_checkpoint_is_a_landscape_error():
    assert issubclass(CheckpointError, LandscapeError)
