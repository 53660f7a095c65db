"""Real trainings of Lightning and of the Hugging Face Trainer, a few steps each."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from tests.support.loops import ByHand, small_data, small_model


@pytest.fixture(autouse=True)
def _own_generator():
    with torch.random.fork_rng(devices=[]):
        yield


def lightning_fit(folder, callbacks, *, steps=12, fail_at=None, clock=None):
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = small_model()

        def training_step(self, batch, index):
            if clock is not None:
                clock.now += 1.0
            if index == fail_at:
                raise ZeroDivisionError
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)

    torch.manual_seed(3)
    module = Module()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*small_data()), 8, shuffle=True)
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=callbacks, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(module, loader)
    return module


def of_module(module):
    return ls.Objective(module.net, F.cross_entropy, small_data())


@pytest.mark.slow
def test_lightning(tmp_path):
    """It measures, saves, and trains to the same bits as without."""
    from landscape.monitoring import LightningMonitor

    logged, clock = [], ByHand()
    callback = LightningMonitor(
        of_module, checkpoints={"dir": tmp_path / "run", "every": 5}, budget=0.9, measures=["trace"], subset=20,
        log=logged.append, clock=clock,
    )  # fmt: skip
    watched = lightning_fit(tmp_path, [callback], clock=clock)
    alone = lightning_fit(tmp_path, [])
    assert all(torch.equal(a, b) for a, b in zip(watched.parameters(), alone.parameters(), strict=True))
    assert ls.CheckpointDir(tmp_path / "run").steps == (5, 10, 12)
    assert [entry["step"] for entry in logged] == list(range(1, 13))


@pytest.mark.slow
def test_lightning_that_fails_leaves_its_last_state(tmp_path):
    from landscape.monitoring import LightningMonitor

    callback = LightningMonitor(of_module, checkpoints={"dir": tmp_path / "run", "every": 100})
    with pytest.raises(ZeroDivisionError):
        lightning_fit(tmp_path, [callback], fail_at=4)
    assert ls.CheckpointDir(tmp_path / "run").steps == (4,)


def huggingface_train(folder, callbacks, *, steps=8):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    generator = torch.Generator().manual_seed(4)
    examples = [{"input_ids": (t := torch.randint(20, (10,), generator=generator)), "labels": t} for _ in range(40)]
    torch.manual_seed(5)
    config = transformers.GPT2Config(vocab_size=20, n_positions=10, n_embd=8, n_layer=1, n_head=2)
    model = transformers.GPT2LMHeadModel(config)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=4, report_to=[], save_strategy="no",
        use_cpu=True, disable_tqdm=True, seed=6, gradient_accumulation_steps=2,
    )  # fmt: skip
    transformers.Trainer(model=model, args=arguments, train_dataset=examples, callbacks=callbacks).train()
    return model


def ticking(clock):
    from transformers import TrainerCallback

    class Ticking(TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            clock.now += 1.0

    return Ticking()


@pytest.mark.slow
def test_huggingface(tmp_path):
    """It measures the model's own loss on the trainer's data, saves, and trains to the same bits as without."""
    from landscape.monitoring import HuggingFaceMonitor

    clock = ByHand()
    callback = HuggingFaceMonitor(
        checkpoints={"dir": tmp_path / "run", "every": 3}, budget=0.9, measures=["lambda_max"], subset=12,
        out=tmp_path / "watched", clock=clock,
    )  # fmt: skip
    watched = huggingface_train(tmp_path, [ticking(clock), callback])
    alone = huggingface_train(tmp_path, [])
    assert all(torch.equal(a, b) for a, b in zip(watched.parameters(), alone.parameters(), strict=True))
    assert ls.CheckpointDir(tmp_path / "run").steps == (3, 6, 8)
    monitor = callback.monitor
    assert (monitor.objective.num_examples, monitor.objective.drawn_from) == (12, 40)
    (batch,) = monitor.objective.batches.batches
    watched.eval()
    with torch.no_grad():
        loss = watched(**batch).loss.item()
    assert monitor.objective.loss() == pytest.approx(loss, rel=1e-5)
    assert [c.step for c in ls.load_results(tmp_path / "watched").runs[0].checkpoints] == list(range(1, 9))


def test_neither_library_is_loaded_for_those_who_do_not_ask():
    code = "import landscape as ls, sys; ls.Monitor, ls.CheckpointWriter; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"lightning", "transformers", "wandb", "mlflow", "tensorboard"} & set(loaded)
