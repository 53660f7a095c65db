"""Files of torch.save: what is imported from them is what was trained, to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import landscape as ls
from tests.support.foreign import STEPS, assert_same, digits, natively, normed, train


def as_state_dict(model, optimizer):
    return model.state_dict(), False


def as_dictionary(names):
    model_key, optimizer_key, step_key = names

    def save(model, optimizer):
        state = optimizer.state_dict()
        return {model_key: model.state_dict(), optimizer_key: state, step_key: STEPS, "loss": 0.5}, True

    return save


LAYOUTS = {
    "state dict": as_state_dict,
    "model": as_dictionary(("model", "optimizer", "step")),
    "state_dict": as_dictionary(("state_dict", "optimizer", "global_step")),
    "model_state_dict": as_dictionary(("model_state_dict", "optimizer_state_dict", "iteration")),
    "net": as_dictionary(("net", "opt", "itr")),
}


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("problem", [digits, normed])
def test_a_file_of_torch_gives_what_our_own_gives(problem, layout, new_format, tmp_path):
    problem = problem()
    model, optimizer = train(problem)
    content, has_optimizer = LAYOUTS[layout](model, optimizer)
    source = tmp_path / f"model_step{STEPS}.pt"
    torch.save(content, source, _use_new_zipfile_serialization=new_format)
    native = natively(tmp_path / "native", problem, model, optimizer)
    (path,) = ls.import_checkpoint(source, tmp_path / "out", problem=problem)
    found = assert_same(path, native, problem, adaptive=has_optimizer)
    assert found.optimizer == ("adamw" if has_optimizer else None)
    assert found.metrics.get("loss") == (0.5 if has_optimizer else None)


WRAPPERS = {
    "data parallel": (nn.DataParallel, "prefix 'module.' taken off all names"),
    "compiled": (torch.compile, "'_orig_mod' taken out of 8 names"),
    "both": (lambda model: torch.compile(nn.DataParallel(model)), "prefix 'module.'"),
    "fabric": (lambda model: nn.ModuleDict({"_forward_module": model}), "prefix '_forward_module.'"),
    "a part": (lambda model: nn.ModuleDict({"encoder": nn.ModuleDict({"net": model})}), "prefix 'encoder.net.'"),
    "averaged": (AveragedModel, "it is an average of 0 models (n_averaged)"),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_wrappers_put_before_names_is_found_and_said(wrapper, tmp_path):
    problem, (wrap, said) = normed(), WRAPPERS[wrapper]
    model, optimizer = train(problem)
    torch.save({"model": wrap(model).state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c.pt")
    native, lines = natively(tmp_path / "native", problem, model, optimizer), []
    (path,) = ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "out", problem=problem, say=lines.append)
    assert_same(path, native, problem)
    assert said in lines[0]
    assert "tied again: first.weight, head.weight" in lines[0]


def test_of_an_averaged_model_the_average_is_taken_and_counted(tmp_path):
    problem = digits()
    model, _ = train(problem)
    averaged = AveragedModel(model)
    averaged.update_parameters(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    averaged.update_parameters(model)
    torch.save(averaged.state_dict(), tmp_path / "swa_7.pt")
    native, lines = natively(tmp_path / "native", problem, averaged.module, step=7), []
    (path,) = ls.import_checkpoint(tmp_path / "swa_7.pt", tmp_path / "out", problem=problem, say=lines.append)
    assert_same(path, native, problem, adaptive=False)
    assert "average of 2 models" in lines[0]


def test_of_a_model_and_its_average_the_model_is_taken_and_the_other_can_be_asked_for(tmp_path):
    problem = digits()
    model, optimizer = train(problem)
    average = {name: 0.5 * tensor for name, tensor in model.state_dict().items()}
    content = {"ema": average, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": STEPS}
    torch.save(content, tmp_path / "c.pt")
    lines = []
    (path,) = ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "a", problem=problem, say=lines.append)
    assert_same(path, natively(tmp_path / "native", problem, model, optimizer), problem)
    assert "there are also ema (--key ema)" in lines[0]
    (path,) = ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "b", problem=problem, key="ema")
    halved = torch.cat([tensor.reshape(-1) for tensor in average.values()])
    assert torch.equal(ls.load_checkpoint(path).theta(), halved)


def test_tensors_deep_in_a_dictionary_are_found_or_their_places_named(tmp_path):
    problem = digits()
    model, _ = train(problem)
    torch.save({"state": {"agent": model.state_dict()}, "step": 4}, tmp_path / "one.pt")
    (path,) = ls.import_checkpoint(tmp_path / "one.pt", tmp_path / "a", problem=problem)
    assert_same(path, natively(tmp_path / "native", problem, model, step=4), problem, adaptive=False)
    torch.save({"gen": model.state_dict(), "disc": model.state_dict(), "step": 4}, tmp_path / "two.pt")
    with pytest.raises(ls.CheckpointError, match="tensors under gen, disc; say which are the model's with --key gen"):
        ls.import_checkpoint(tmp_path / "two.pt", tmp_path / "b", problem=problem)
    (path,) = ls.import_checkpoint(tmp_path / "two.pt", tmp_path / "b", problem=problem, key="disc")
    with pytest.raises(ls.UsageError, match="no tensors under key='x'; there are gen, disc"):
        ls.import_checkpoint(tmp_path / "two.pt", tmp_path / "b", problem=problem, key="x")


def test_a_file_without_a_model_is_no_checkpoint(tmp_path):
    problem = digits()
    _, optimizer = train(problem)
    for content in ({"optimizer": optimizer.state_dict()}, torch.ones(3), [1, 2], {"a": 1}, {}):
        torch.save(content, tmp_path / "x_1.pt")
        with pytest.raises(ls.CheckpointError, match=r"tensors of a model") as refused:
            ls.import_checkpoint(tmp_path / "x_1.pt", tmp_path / "out", problem=problem)
        assert "\n" not in str(refused.value)


def test_schedules_and_settings_come_along(tmp_path):
    problem = digits()
    model, optimizer = train(problem)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    optimizer.step()
    schedule.step()
    content = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": schedule.state_dict(),
        "step": STEPS, "epoch": 1, "config": {"seed": 4, "batch_size": 8, "layers": [1, 2]},
        "test_loss": 0.25,
    }  # fmt: skip
    torch.save(content, tmp_path / "c.pt")
    (path,) = ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "out", problem=problem, config={"label": "mine"})
    found = ls.load_checkpoint(path)
    assert found.scheduler_state() == schedule.state_dict()
    assert (found.seed, found.lr, found.config["batch_size"], found.config["label"]) == (4, 0.01, 8, "mine")
    assert found.metrics == {"test_loss": 0.25, "epoch": 1}
    fresh = problem.make_model(0)
    again = torch.optim.AdamW(fresh.parameters(), lr=0.5)
    found.load_into(fresh, optimizer=again, scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(again, 10))
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_the_caller_s_random_state_and_the_source_are_untouched(tmp_path):
    problem = digits()
    model, _ = train(problem)
    torch.save(model.state_dict(), tmp_path / "m_1.pt")
    before, state = (tmp_path / "m_1.pt").read_bytes(), torch.get_rng_state()
    ls.import_checkpoint(tmp_path / "m_1.pt", tmp_path / "out", problem=problem)
    assert (tmp_path / "m_1.pt").read_bytes() == before
    assert torch.equal(torch.get_rng_state(), state)
