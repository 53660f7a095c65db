"""What was saved in a checkpoint is what is loaded from it, bit for bit, whatever the model and the optimizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from landscape.checkpoints import (
    load_checkpoint,
    save_checkpoint,
)
from landscape.checkpoints.files import open_file, write_file
from landscape.checkpoints.format import read_tree, write_tree
from landscape.errors import CheckpointError, UsageError
from landscape.problems import get_problem
from tests.support.checkpoints import linear, make, stepped


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
    assert objective.loss() == pytest.approx(problem.mean_loss(model, problem.train).item(), rel=1e-6)
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
