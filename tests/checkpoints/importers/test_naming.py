"""Names and shapes fit exactly or are listed, both ways, with the one rename that would make them fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import landscape as ls
from landscape.checkpoints.importers.renames import one_rename
from tests.support.foreign import assert_same, digits, natively, normed, train


@pytest.fixture
def bring(tmp_path):
    """Import tensors into a problem: ``(checkpoint, lines said)``."""

    def bring(tensors, problem, **options):
        torch.save(tensors, tmp_path / "m_3.pt")
        lines = []
        (path,) = ls.import_checkpoint(
            tmp_path / "m_3.pt", tmp_path / "out", problem=problem, say=lines.append, **options
        )
        return path, lines

    return bring


def test_what_is_left_over_is_listed_on_both_sides(bring):
    problem = digits()
    tensors = dict(train(problem)[0].state_dict())
    tensors["gate"] = torch.ones(2)
    tensors["fc1.bias"] = torch.ones(5)
    del tensors["fc2.weight"]
    with pytest.raises(ls.CheckpointError) as refused:
        bring(tensors, problem)
    said = str(refused.value)
    assert "the model has and the file lacks: fc2.weight" in said
    assert "the file has and the model lacks: gate" in said
    assert "of another shape: fc1.bias is 5 in the file and 6 in the model" in said
    assert "\n" not in said


def test_the_one_rename_that_would_fit_is_said_and_does_fit(bring, tmp_path):
    problem = digits()
    model, _ = train(problem)
    for to in ("classifier", "head.fc2", "net.0"):
        tensors = {name.replace("fc2", to): tensor for name, tensor in model.state_dict().items()}
        with pytest.raises(ls.CheckpointError, match="All that is missing would fit with --rename") as refused:
            bring(tensors, problem)
        old, _, new = str(refused.value).rpartition("--rename ")[2].partition("=")
        path, lines = bring(tensors, problem, rename={old: new})
        assert_same(path, natively(tmp_path / "native", problem, model), problem, adaptive=False)
        assert "renamed to" in lines[0]


def test_no_rename_is_said_where_no_one_change_does():
    shape = (2, 2)
    assert one_rename({"a.w": shape, "b.v": shape}, {"c.w": shape, "d.v": shape}) is None
    assert one_rename({"a.w": shape}, {"c.w": (3,)}) is None
    assert one_rename({"x.a.w": shape, "x.b.w": shape}, {"y.a.w": shape, "y.b.w": shape}) == ("x", "y")
    assert one_rename({"m.x.1.w": shape, "m.x.2.w": shape}, {"m.y.1.w": shape, "m.y.2.w": shape}) == ("x", "y")
    assert one_rename({"a.w": shape}, {"a.b.w": shape}) is not None


def test_what_the_model_needs_not_is_left_out_only_if_asked(bring, tmp_path):
    problem = digits()
    model, _ = train(problem)
    tensors = {f"net.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {"criterion.weight": torch.ones(3), "metric.a": torch.ones(1), "metric.b": torch.ones(1)}
    with pytest.raises(ls.CheckpointError) as refused:
        bring(tensors, problem)
    assert "--ignore 'criterion.*' --ignore 'metric.*'" in str(refused.value)
    path, lines = bring(tensors, problem, ignore=["criterion.*", "metric.*"])
    assert_same(path, natively(tmp_path / "native", problem, model), problem, adaptive=False)
    assert "left out as asked: criterion.weight, metric.a, metric.b" in lines[0]


def test_two_models_in_one_file_are_not_chosen_between(bring):
    problem = digits()
    model, _ = train(problem)
    state = model.state_dict()
    tensors = {f"online.{n}": t for n, t in state.items()} | {f"target.{n}": 2 * t for n, t in state.items()}
    with pytest.raises(ls.CheckpointError, match="more than once, under online., target.; say which"):
        bring(tensors, problem)
    path, _ = bring(tensors, problem, prefix="target.", ignore=["online.*"])
    assert torch.equal(ls.load_checkpoint(path).theta(), torch.cat([2 * t.reshape(-1) for t in state.values()]))
    with pytest.raises(ls.UsageError, match="prefix='else.': no name in"):
        bring(tensors, problem, prefix="else.")


def test_tensors_that_the_model_ties_must_be_equal_in_the_file(bring):
    problem = normed()
    tensors = dict(train(problem)[0].state_dict())
    tensors["head.weight"] = tensors["head.weight"].clone()
    bring(tensors, problem)
    tensors["head.weight"][0, 0] += 1e-7
    with pytest.raises(ls.CheckpointError, match="first.weight and head.weight are one tensor in this model"):
        bring(tensors, problem)


def test_another_type_is_taken_where_no_value_changes_and_refused_where_one_does(bring, tmp_path):
    problem = digits()
    model, _ = train(problem)
    wide = {name: tensor.double() for name, tensor in model.state_dict().items()}
    path, lines = bring(wide, problem)
    assert_same(path, natively(tmp_path / "native", problem, model), problem, adaptive=False)
    assert "4 tensors are float64 in the file, float32 in the model: no value changes" in lines[0]
    wide["fc1.bias"][0] = 1 / 3
    with pytest.raises(ls.CheckpointError, match="fc1.bias is float64 in the file and float32 in the model"):
        bring(wide, problem)
    with pytest.raises(ls.CheckpointError, match="another kind of number"):
        bring({name: tensor.to(torch.complex64) for name, tensor in model.state_dict().items()}, problem)


def test_order_of_modules_in_the_file_does_not_matter_for_the_weights(bring, tmp_path):
    problem = digits()
    model, _ = train(problem)
    path, _ = bring(dict(reversed(model.state_dict().items())), problem)
    assert_same(path, natively(tmp_path / "native", problem, model), problem, adaptive=False)


def test_a_sparse_tensor_is_refused_by_name(bring):
    with pytest.raises(ls.CheckpointError, match="w is sparse or quantised"):
        bring({"w": torch.eye(2).to_sparse()}, digits())


def test_a_problem_may_hold_the_model_in_a_wrapper(bring, tmp_path):
    problem = digits()
    model, _ = train(problem)

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = problem.build()

        def forward(self, x):
            return self.inner(x)

    wrapped = replace(problem, build=Wrapped, name="")
    path, lines = bring(model.state_dict(), wrapped)
    assert "'inner.' put before all names" in lines[0]
    assert torch.equal(ls.load_checkpoint(path).theta(), torch.cat([p.reshape(-1) for p in model.parameters()]))
