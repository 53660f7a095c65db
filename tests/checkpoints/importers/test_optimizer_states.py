"""torch numbers the parameters of an optimizer; they get their names back, or the file says that they cannot."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import landscape as ls
from landscape.checkpoints.importers.foreign import Foreign
from landscape.checkpoints.importers.optimizer_states import by_name
from landscape.checkpoints.importers.parameter_orders import in_order
from tests.support.checkpoints import make, stepped
from tests.support.foreign import STEPS, assert_same_state, digits, natively, train


def named_state(model, optimizer, *, order=None, **options):
    foreign = Foreign(None, "test", {}, optimizer=optimizer.state_dict(), order=order)
    return by_name(foreign, model, [name for name, _ in model.named_parameters()], **options)


def imported(tmp_path, problem, model, trained, **options):
    content = {"model": model.state_dict(), "optimizer": trained.state_dict(), "step": STEPS}
    torch.save(content, tmp_path / "c.pt")
    lines = []
    (path,) = ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "out", problem=problem, say=lines.append, **options)
    return ls.load_checkpoint(path), lines[0]


def takes_steps(kind) -> bool:
    return kind not in (torch.optim.SparseAdam, torch.optim.Optimizer, getattr(torch.optim, "Adafactor", None))


EVERY = [
    kind for kind in vars(torch.optim).values()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and takes_steps(kind)
]  # fmt: skip


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("steps", [1, 0])
def test_each_optimizer_of_torch_is_known_by_its_state_and_groups(kind, steps):
    model = make(kind=nn.Linear, in_features=3, out_features=2, bias=False)
    optimizer = kind(model.parameters(), lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (model.weight - 1).square().sum()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    found = named_state(model, optimizer)
    alike = {"AdamW": {"AdamW"}, "NAdam": {"NAdam"}}.get(kind.__name__, {kind.__name__})
    if steps == 0 and found.name is None:  # groups alone are those of several
        assert kind in (torch.optim.Adamax, torch.optim.Adadelta, torch.optim.Rprop, torch.optim.ASGD)
        return
    assert found.name in alike
    assert found.state is not None
    assert found.state["param_groups"][0]["params"] == ["weight"]


def test_adam_of_a_torch_that_did_not_say_whether_its_decay_is_decoupled_is_said_to_be_a_guess(tmp_path):
    problem = digits()
    model, optimizer = train(problem, weight_decay=0.1)
    for group in optimizer.param_groups:
        del group["decoupled_weight_decay"]
    found, said = imported(tmp_path, problem, model, optimizer)
    assert found.optimizer == "adam"
    assert "Adam or AdamW, which the file does not tell: taken for Adam (--optimizer AdamW)" in said
    found, said = imported(tmp_path, problem, model, optimizer, optimizer="adamw")
    assert found.optimizer_state()["class"] == "AdamW"
    assert "does not tell" not in said


def test_frozen_parameters_that_the_optimizer_skips_are_found_by_shape(tmp_path):
    """The problem does not freeze them: only the shapes of the state tell which were trained."""
    problem = digits()
    only = lambda model: torch.optim.Adam([*model.parameters()][1:3], lr=0.01)  # noqa: E731
    model, optimizer = train(problem, only)
    names = [name for name, _ in model.named_parameters()][1:3]
    found, said = imported(tmp_path, problem, model, optimizer)
    assert [*found.optimizer_state()["state"]] == names
    assert_same_state(found, natively(tmp_path / "native", problem, model, optimizer))
    assert "its optimizer skips 2 parameters, as shapes show" in said


def test_parameters_that_the_model_freezes_are_left_out_of_the_order():
    model = make()
    optimizer = stepped("Adam", model)  # given the trainable ones alone
    found = named_state(model, optimizer)
    assert found.state["param_groups"][0]["params"] == [n for n, p in model.named_parameters() if p.requires_grad]
    everything = torch.optim.Adam(model.parameters())
    everything.load_state_dict(everything.state_dict())
    assert named_state(model, everything).state["param_groups"][0]["params"] == [n for n, _ in model.named_parameters()]


class Twins(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        return self.a(x) + self.b(x)


def test_groups_that_equal_shapes_leave_open_are_not_guessed():
    """Given b before a, and equal shapes: the order of the model would fit and be wrong."""
    model = make(kind=Twins)
    groups = [{"params": model.b.parameters()}, {"params": model.a.parameters(), "lr": 0.5}]
    optimizer = torch.optim.Adam(groups, lr=0.1)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    found = named_state(model, optimizer)
    assert (found.name, found.state) == ("Adam", None)
    assert "if you know: --order model" in found.said[-1]
    asked = named_state(model, optimizer, convention="model").state
    assert [group["params"] for group in asked["param_groups"]] == [["a.weight", "a.bias"], ["b.weight", "b.bias"]]
    assert named_state(model, optimizer, convention="dimensions").state is None


def test_names_that_the_optimizer_kept_are_taken_whatever_their_order():
    model = make(kind=Twins)
    parts = [*model.named_parameters()]
    optimizer = torch.optim.Adam([{"params": parts[2:]}, {"params": parts[:2]}], lr=0.1)
    if "param_names" not in optimizer.state_dict()["param_groups"][0]:
        pytest.skip("torch before 2.6 keeps no names")
    for i, p in enumerate(model.parameters()):
        p.grad = torch.full_like(p, i + 1.0)
    optimizer.step()
    found = named_state(model, optimizer)
    assert [group["params"] for group in found.state["param_groups"]] == [
        ["b.weight", "b.bias"],
        ["a.weight", "a.bias"],
    ]
    for name, parameter in model.named_parameters():
        assert torch.equal(found.state["state"][name]["exp_avg"], optimizer.state[parameter]["exp_avg"])


def test_a_state_of_another_model_is_left_out_and_said(tmp_path):
    problem = digits()
    model, _ = train(problem)
    found, said = imported(tmp_path, problem, model, stepped("Adam", make()))
    assert found.optimizer_state() is None
    assert found.optimizer == "adam"
    assert "its optimizer's state is of other parameters than the model has, and is left out" in said


def brute_force(names, shapes, groups):
    """Every assignment of names to groups or to none, tried one by one."""
    found = 0
    for dealt in itertools.product(range(-1, len(groups)), repeat=len(names)):
        parts = [[n for n, g in zip(names, dealt, strict=True) if g == i] for i in range(len(groups))]
        found += all(
            len(part) == len(group) and all(s in (None, shapes[n]) for n, s in zip(part, group, strict=True))
            for part, group in zip(parts, groups, strict=True)
        )
    return found


@pytest.mark.parametrize("seed", range(20))
def test_ways_to_deal_out_parameters_are_counted_as_by_trying_all(seed):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda n: int(torch.randint(n, (), generator=generator))  # noqa: E731
    names = [f"p{i}" for i in range(6)]
    shapes = {name: (draw(2) + 1,) for name in names}
    dealt = [draw(3) - 1 for _ in names]
    groups = [[shapes[n] if draw(4) else None for n, g in zip(names, dealt, strict=True) if g == i] for i in range(2)]
    count, one = in_order(names, shapes, groups)
    truth = brute_force(names, shapes, groups)
    assert count == min(2, truth)
    if one is not None:
        assert all(s in (None, shapes[n]) for p, g in zip(one, groups, strict=True) for n, s in zip(p, g, strict=True))


class Scaled(nn.Module):
    """A vector that decays between vectors that do not: by shape alone the groups could be dealt out otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.norm = nn.LayerNorm(3)
        self.gain = nn.Parameter(torch.ones(3))
        self.fc = nn.Linear(3, 3)


def two_groups(model, first, *, steps):
    parts = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [parts[n] for n in names]} for names in (first, [n for n in parts if n not in first])], lr=0.1
    )
    for i, p in enumerate(model.parameters()):
        p.grad = torch.full_like(p, i + 1.0)
    if steps:
        optimizer.step()
    return optimizer


def test_groups_of_the_trainer_are_named_as_its_own_code_parts_them():
    transformers = pytest.importorskip("transformers")
    model = make(kind=Scaled)
    decaying = transformers.Trainer.get_decay_parameter_names(None, model)
    first = [name for name, _ in model.named_parameters() if name in decaying]
    assert first == ["scale", "gain", "fc.weight"]
    optimizer = two_groups(model, first, steps=1)
    assert named_state(model, optimizer).state is None  # shapes leave it open
    found = named_state(model, optimizer, order="trainer").state
    assert found["param_groups"][0]["params"] == first
    for name, parameter in model.named_parameters():
        assert torch.equal(found["state"][name]["exp_avg"], optimizer.state[parameter]["exp_avg"])


def test_before_the_first_step_the_format_s_own_order_names_the_groups():
    """Without a state there are no shapes to go by."""
    model = make(kind=Scaled)
    optimizer = two_groups(model, ["fc.weight"], steps=0)
    found = named_state(model, optimizer, order="dimensions")
    assert found.state["param_groups"][0]["params"] == ["fc.weight"]
    assert found.state["state"] == {}
