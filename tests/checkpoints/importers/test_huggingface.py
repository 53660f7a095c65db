"""Hugging Face folders, written by transformers itself: whole, in shards, and by its Trainer."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import landscape as ls
from landscape.checkpoints.importers.formats import read_foreign
from tests.support.foreign import Evil, assert_same, language, natively, train

transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")


class Logits(nn.Module):
    """A model of the library as a problem holds it: tokens in, logits out."""

    def __init__(self) -> None:
        super().__init__()
        config = transformers.GPT2Config(
            n_layer=2, n_head=2, n_embd=8, vocab_size=7, n_positions=8, attn_pdrop=0, resid_pdrop=0, embd_pdrop=0,
            attn_implementation="eager",
        )  # fmt: skip
        self.model = transformers.GPT2LMHeadModel(config)

    def forward(self, tokens):
        return self.model(tokens, use_cache=False).logits.flatten(0, 1)


@pytest.fixture
def problem():
    return language(Logits)


@pytest.mark.parametrize("shards", [False, True])
def test_a_folder_of_save_pretrained_gives_what_our_own_gives(shards, problem, tmp_path):
    model, _ = train(problem)
    model.model.save_pretrained(tmp_path / "hf", **({"max_shard_size": "2KB"} if shards else {}))
    assert (tmp_path / "hf" / "model.safetensors.index.json").exists() == shards
    lines = []
    (path,) = ls.import_checkpoint(tmp_path / "hf", tmp_path / "out", problem=problem, step=3, say=lines.append)
    found = assert_same(path, natively(tmp_path / "native", problem, model), problem, adaptive=False)
    assert "prefix 'model.' put before all names" in lines[0]
    assert "tied again: model.transformer.wte.weight, model.lm_head.weight" in lines[0]
    assert found.config["model_type"] == "gpt2"
    assert ("shards" in found.config["imported"]["format"]) == shards


def trainer(folder, problem, model, **options):
    """The library's own training, with its two groups of parameters and its folders ``checkpoint-<step>``."""
    tokens, target = problem.train
    rows = [{"input_ids": x, "labels": y} for x, y in zip(tokens, target, strict=True)]
    arguments = transformers.TrainingArguments(
        folder, max_steps=4, save_steps=2, per_device_train_batch_size=3, weight_decay=0.1, report_to=[], use_cpu=True,
        disable_tqdm=True, logging_steps=2, seed=1, **options,
    )  # fmt: skip
    return transformers.Trainer(model=model.model, args=arguments, train_dataset=rows)


@pytest.mark.slow
def test_checkpoints_of_the_trainer_come_with_optimizer_schedule_step_and_log(problem, tmp_path):
    model = problem.make_model(0)
    with torch.random.fork_rng(devices=[]):
        run = trainer(str(tmp_path / "run"), problem, model)
        run.train()
    lines = []
    files = ls.import_checkpoint(tmp_path / "run", tmp_path / "out", problem=problem, say=lines.append)
    assert [file.name for file in files] == ["step_00000002.h5", "step_00000004.h5"]
    optimizer = getattr(run.optimizer, "optimizer", run.optimizer)
    native = natively(tmp_path / "native", problem, model, optimizer, step=4)
    found = assert_same(files[1], native, problem)
    assert found.scheduler_state()["last_epoch"] == 4
    assert found.metrics["loss"] > 0
    assert len(lines) == 2
    folders = sorted((tmp_path / "run").glob("checkpoint-*"))  # as a shell names them
    assert [file.name for file in ls.import_checkpoint(folders, tmp_path / "again", problem=problem)] == [
        file.name for file in files
    ]


@pytest.mark.slow
def test_what_a_trainer_saves_beside_the_model_is_never_loaded(problem, tmp_path):
    """training_args.bin and rng_state.pth hold pickles of all kinds; a hostile optimizer.pt is refused."""
    model = problem.make_model(0)
    with torch.random.fork_rng(devices=[]):
        trainer(str(tmp_path / "run"), problem, model).train()
    folder = tmp_path / "run" / "checkpoint-4"
    for name in ("training_args.bin", "rng_state.pth"):
        torch.save(Evil(tmp_path / "made"), folder / name)
    assert ls.import_checkpoint(folder, tmp_path / "out", problem=problem)
    torch.save({"state": {}, "param_groups": [], "x": Evil(tmp_path / "made")}, folder / "optimizer.pt")
    with pytest.raises(ls.CheckpointError, match=r"optimizer.pt would run posix.mkdir"):
        ls.import_checkpoint(folder, tmp_path / "out", problem=problem)
    assert not (tmp_path / "made").exists()


def test_old_weights_of_the_library_are_read_too(problem, tmp_path):
    model, _ = train(problem)
    model.model.config.save_pretrained(tmp_path / "hf")
    torch.save(model.model.state_dict(), tmp_path / "hf" / "pytorch_model.bin")
    (path,) = ls.import_checkpoint(tmp_path / "hf", tmp_path / "out", problem=problem, step=3)
    assert_same(path, natively(tmp_path / "native", problem, model), problem, adaptive=False)


def test_an_index_may_name_files_beside_it_alone(problem, tmp_path):
    train(problem)[0].model.save_pretrained(tmp_path / "hf", max_shard_size="2KB")
    index = tmp_path / "hf" / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    name = next(iter(content["weight_map"]))
    for shard, said in (("../elsewhere.safetensors", "is not a file beside it"), ("gone.safetensors", "is missing")):
        index.write_text(json.dumps({"weight_map": {**content["weight_map"], name: shard}}))
        with pytest.raises(ls.CheckpointError, match=said):
            read_foreign(tmp_path / "hf")
    index.write_text("{")
    with pytest.raises(ls.CheckpointError, match="is not JSON"):
        read_foreign(tmp_path / "hf")
