"""A surface that was broken off goes on from what is on disk, and ends as if nothing had been."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.files import ledger
from landscape.geometry import evaluate_line, evaluate_paths, evaluate_plane, gradient_norm, interpolate, random_plane
from landscape.objective import Objective
from tests.support.landscapes import built, draw

_FEW = 12  # examples on which metrics are tried, each time anew


class Breaking(nn.Module):
    """A network that counts its calls, and is interrupted at one of them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner, self.calls, self.last = model, 0, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > _FEW:
            if self.calls == self.last:
                raise KeyboardInterrupt
            self.calls += 1
        return self.inner(x)

    def interrupted_at(self, last: int | None) -> None:
        self.calls, self.last = 0, last


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Everything is on disk as it comes; curvature has tests of its own."""
    monkeypatch.setattr(ledger, "EVERY", 0.0)
    blank = lambda objective, theta, d, hessian: [np.zeros((d.shape[1], d.shape[1]))] * 3  # noqa: E731
    monkeypatch.setattr("landscape.geometry.walk.centre_curvature", blank)


def objective_of(examples: int, *, seed: int = 0, normalised: bool = False, chunk: int | None = None) -> Objective:
    middle = [nn.BatchNorm1d(8)] if normalised else []
    model = built(lambda: nn.Sequential(nn.Linear(5, 8), *middle, nn.Tanh(), nn.Linear(8, 3)), seed=seed)
    x = draw(examples, 5, seed=1).float()
    y = (x @ draw(5, 3, seed=2).float()).argmax(1)
    if normalised:
        model.train()(x)
    return Objective(Breaking(model.eval()), nn.functional.cross_entropy, (x, y), check=False, chunk=chunk or examples)


def share_of_first(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (targets == 0).float().mean()


CASES = {
    "line in full": lambda o, **how: evaluate_line(o, random_plane(o)[:, 0], points=9, metrics=("accuracy",), **how),
    "line": lambda o, **how: evaluate_line(o, random_plane(o)[:, 0], points=51, tol=0.001, radius="auto", **how),
    "plane in full": lambda o, **how: evaluate_plane(
        o, random_plane(o), points=5, radius="auto", metrics={"norm": gradient_norm, "first": share_of_first}, **how
    ),
    "plane": lambda o, **how: evaluate_plane(
        o, random_plane(o), points=15, tol=0.02, metrics=("accuracy",), test=o.subset(np.arange(90)),
        marks={"a": o.theta * 1.1}, **how,
    ),
    "interpolation": lambda o, **how: interpolate(o, o.theta, -o.theta, points=31, tol=0.01, **how),
    "paths": lambda o, **how: evaluate_paths(
        o, {"a": np.outer([0.5, 0.8, 1.0, 1.1, 1.2], o.theta) + draw(5, len(o.theta), seed=3).numpy() / 9},
        points=9, tol=0.05, **how,
    ),
}  # fmt: skip


def equal(one, two) -> None:
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name), err_msg=field.name)


def broken_and_resumed(objective: Objective, evaluate, folder, shares=(0.1, 0.5, 0.95)) -> None:
    """Interrupted several times, at other calls each: the same record, and no call more than without."""
    network = objective.module.model
    network.interrupted_at(None)
    whole = evaluate(objective)
    calls, done = network.calls, 0
    assert calls > 4
    for share in shares:
        network.interrupted_at(max(1, int(share * calls)) - done)
        with pytest.raises(KeyboardInterrupt):
            evaluate(objective, resume=folder)
        done += network.calls
    network.interrupted_at(None)
    found = evaluate(objective, resume=folder)
    assert network.calls == calls - done
    equal(found, whole)
    network.interrupted_at(0)
    equal(evaluate(objective, resume=folder), whole)


@pytest.mark.parametrize("case", CASES)
def test_what_was_broken_off_ends_identical_and_evaluates_nothing_twice(case, tmp_path):
    broken_and_resumed(objective_of(400), CASES[case], tmp_path)


def test_so_do_several_chunks_of_the_data(tmp_path):
    broken_and_resumed(objective_of(400, chunk=150), CASES["plane"], tmp_path)


def test_so_does_a_plane_with_recomputed_statistics(tmp_path):
    """Each point takes a pass that gathers and one that is the loss; that which was interrupted gathers again."""
    objective, network = (o := objective_of(100, normalised=True)), o.module.model
    plane = random_plane(objective)
    network.interrupted_at(None)
    whole = evaluate_plane(objective, plane, points=5, batch_statistics="recompute")
    assert network.calls == 50
    network.interrupted_at(21)
    with pytest.raises(KeyboardInterrupt):
        evaluate_plane(objective, plane, points=5, batch_statistics="recompute", resume=tmp_path)
    network.interrupted_at(None)
    equal(evaluate_plane(objective, plane, points=5, batch_statistics="recompute", resume=tmp_path), whole)
    assert network.calls == 50 - 20


def test_so_does_a_line_between_two_models_whose_buffers_move(tmp_path):
    a, b = objective_of(100, normalised=True), objective_of(100, seed=1, normalised=True)
    broken_and_resumed(a, lambda o, **how: interpolate(o, b, points=21, metrics=("accuracy",), **how), tmp_path)


def test_so_does_a_line_of_drawn_examples(tmp_path):
    objective = objective_of(9_000)
    line = lambda o, **how: evaluate_line(o, random_plane(o)[:, 0], points=21, tol=0.1, metrics=("accuracy",), **how)  # noqa: E731
    assert line(objective).num_drawn > 0
    broken_and_resumed(objective, line, tmp_path)


def test_outputs_come_back_with_their_bits_types_and_strides():
    from landscape.geometry.surfaces.packing import packed, unpacked

    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        for given in (draw(6, 4).to(dtype), draw(6, 4).to(dtype).T, draw(2, 3, 4).to(dtype).permute(2, 0, 1)):
            found = unpacked(packed(given))
            assert (found.dtype, found.shape, found.stride()) == (dtype, given.shape, given.stride())
            assert torch.equal(found, given)
    assert unpacked(packed(torch.empty(0, 3))).shape == (0, 3)
    np.testing.assert_array_equal(unpacked(packed(np.array([np.nan, -0.0, np.inf]))), [np.nan, -0.0, np.inf])


def other_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs, targets)


def test_points_of_another_question_are_not_taken(tmp_path):
    objective, network = (o := objective_of(60)), o.module.model
    plane, how = random_plane(objective), {"points": 3, "resume": tmp_path}
    evaluate_plane(objective, plane, **how)

    def calls(objective: Objective, along, **more) -> int:
        network.interrupted_at(None)
        evaluate_plane(objective, along, **how | more)
        return network.calls

    assert calls(objective, plane) == 0
    with torch.no_grad():
        network.inner[0].bias[0] += 1e-6
    assert calls(objective, plane) == 9
    x, y = objective.batches.joined
    moved = x.clone()
    moved[3, 2] += 1e-6
    of = lambda loss, x, **more: Objective(network, loss, (x, y), check=False, chunk=60, **more)  # noqa: E731
    assert calls(of(nn.functional.cross_entropy, moved), plane) == 9
    assert calls(of(other_loss, x), plane) == 9
    assert calls(of(lambda z, t: 2 * nn.functional.cross_entropy(z, t), x), plane) == 9
    assert calls(of(lambda z, t: 3 * nn.functional.cross_entropy(z, t), x), plane) == 9
    assert calls(of(nn.functional.cross_entropy, x, dtype=torch.float64), plane) == 9
    assert calls(objective, plane[:, [1, 0]]) == 9
    assert calls(objective, plane, radius=0.5) == 8  # the centre is the same point
    assert calls(objective, plane, metrics=("accuracy",)) == 9
    assert calls(objective, plane, metrics={"accuracy": lambda z, t: (z.argmax(1) == t).float().mean()}) == 9
    assert calls(objective, plane, metrics={"accuracy": lambda z, t: (z.argmax(1) != t).float().mean()}) == 9
    network.inner[1] = nn.ReLU()
    assert calls(objective, plane) == 9


def test_a_metric_that_cannot_be_told_from_others_is_evaluated_anew(tmp_path):
    import threading

    objective, network = (o := objective_of(60)), o.module.model
    lock = threading.Lock()
    held = lambda z, t: z[:, 0].mean() if lock else z[:, 1].mean()  # noqa: E731
    for metric, calls in ((held, 9), (held, 9), ("accuracy", 9), ("accuracy", 0)):
        network.interrupted_at(None)
        evaluate_plane(objective, random_plane(objective), points=3, metrics={"m": metric}, resume=tmp_path)
        assert network.calls == calls


def test_two_processes_do_not_write_one_surface(tmp_path):
    objective = objective_of(60)
    inside = lambda done, most: evaluate_line(objective, random_plane(objective)[:, 0], points=3, resume=tmp_path)  # noqa: E731
    with pytest.raises(ls.LandscapeError, match="evaluates this very surface"):
        evaluate_line(objective, random_plane(objective)[:, 0], points=3, resume=tmp_path, progress=inside)


def test_a_folder_that_cannot_be_one_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    objective = objective_of(60)
    with pytest.raises(ls.errors.UsageError, match=r"resume='.*file' cannot be written"):
        evaluate_line(objective, random_plane(objective)[:, 0], points=3, resume=tmp_path / "file")
