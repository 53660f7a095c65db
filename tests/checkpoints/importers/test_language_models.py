"""nanoGPT and llm-baselines: dictionaries and groups laid out as their sources lay them out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import landscape as ls
from landscape.checkpoints.importers.formats import read_foreign
from tests.support.foreign import STEPS, TinyGPT, assert_same, language, natively, train


def in_two_groups(first, second, **options):
    return torch.optim.AdamW(
        [{"params": first, "weight_decay": 0.1}, {"params": second, "weight_decay": 0.0}], lr=0.01, **options
    )


def of_nanogpt(model):
    """Matrices decay, vectors do not, each in the order of ``named_parameters()``."""
    parameters = list(model.parameters())
    return in_two_groups([p for p in parameters if p.dim() > 1], [p for p in parameters if p.dim() < 2])


def of_llm_baselines(model):
    """Weights of linear layers decay, but not the tied head; both groups are sorted by name: h.10 before h.2."""
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    named = dict(model.named_parameters())
    first = sorted(n for n in named if n.rpartition(".")[0] in linear and n.endswith(".weight"))
    return in_two_groups([named[n] for n in first], [named[n] for n in sorted(named.keys() - set(first))])


def nanogpt(path, model, optimizer):
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in model.state_dict().items()}
    content = {
        "model": compiled, "optimizer": optimizer.state_dict(), "iter_num": STEPS,
        "model_args": {"n_layer": 11, "bias": True}, "best_val_loss": torch.tensor(1.5), "config": {"dataset": "text"},
    }  # fmt: skip
    path.mkdir()
    torch.save(content, path / "ckpt.pt")
    return path / "ckpt.pt"


def llm_baselines(path, model, optimizer):
    folder = path / "ckpts" / str(STEPS)
    folder.mkdir(parents=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=10)
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": schedule.state_dict()}
    torch.save({**content, "itr": STEPS}, folder / "main.pt")
    torch.save({"rng_torch_cpu": torch.get_rng_state()}, folder / "worker_0.pt")
    return folder / "main.pt"


FORMATS = {
    "nanoGPT checkpoint": (nanogpt, of_nanogpt),
    "llm-baselines checkpoint": (llm_baselines, of_llm_baselines),
}


@pytest.mark.parametrize("name", FORMATS)
def test_weights_and_the_state_of_both_groups_are_those_of_our_own_file(name, tmp_path):
    """Eleven equal layers: a state under a wrong layer would fit by shape, and only its numbers tell."""
    save, optimizer = FORMATS[name]
    problem = language()
    model, optimizer = train(problem, optimizer)
    source = save(tmp_path / "run", model, optimizer)
    native = natively(tmp_path / "native", problem, model, optimizer)
    assert read_foreign(source).format == name
    (path,) = ls.import_checkpoint(tmp_path / "run", tmp_path / "out", problem=problem)
    assert path.parent == tmp_path / "out"
    found = assert_same(path, native, problem)
    if name == "nanoGPT checkpoint":
        assert (found.metrics["best_val_loss"], found.config["dataset"], found.config["n_layer"]) == (
            1.5,
            "text",
            11,
        )


def test_the_same_state_without_the_format_s_keys_is_named_by_the_only_order_that_fits(tmp_path):
    problem = language()
    model, optimizer = train(problem, of_llm_baselines)
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": STEPS}
    torch.save(content, tmp_path / "c.pt")
    lines = []
    (path,) = ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "a", problem=problem, say=lines.append)
    assert_same(path, natively(tmp_path / "native", problem, model, optimizer), problem)
    assert "its optimizer's parameters stand in the order 'sorted', as shapes show" in lines[0]


def test_the_folder_of_an_iteration_must_agree_with_what_is_inside(tmp_path):
    problem = language()
    model, optimizer = train(problem, of_llm_baselines)
    llm_baselines(tmp_path / "run", model, optimizer)
    (tmp_path / "run" / "ckpts" / str(STEPS)).rename(tmp_path / "run" / "ckpts" / "50")
    with pytest.raises(ls.CheckpointError, match=r"says two steps: 3 by 'itr' inside, 50 by its folder ckpts/50"):
        ls.import_checkpoint(tmp_path / "run", tmp_path / "out", problem=problem)


def test_the_latest_checkpoint_is_not_imported_twice(tmp_path):
    problem = language()
    model, optimizer = train(problem, of_llm_baselines)
    (tmp_path / "run" / "ckpts").mkdir(parents=True)
    source = llm_baselines(tmp_path / "run2", model, optimizer)
    for name in (str(STEPS), "latest"):
        folder = tmp_path / "run" / "ckpts" / name
        folder.mkdir()
        (folder / "main.pt").write_bytes(source.read_bytes())
    lines = []
    files = ls.import_checkpoint(tmp_path / "run", tmp_path / "out", problem=problem, say=lines.append)
    assert [file.name for file in files] == [f"step_{STEPS:08d}.h5"]
    assert sum("the same parameters are in" in line for line in lines) == 1
    assert isinstance(model, TinyGPT)
