"""Lightning: checkpoints that its own Trainer writes."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import landscape as ls
from tests.support.foreign import assert_same, digits, natively

pytestmark = pytest.mark.slow
lightning = pytest.importorskip("lightning.pytorch")


def trained(folder, problem, callbacks=()):
    class Module(lightning.LightningModule):
        def __init__(self, width: int = 6, seed: int = 2) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = problem.make_model(0)

        def training_step(self, batch, index):
            return problem.mean_loss(self.net, tuple(batch))

        def configure_optimizers(self):
            optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    with torch.random.fork_rng(devices=[]):
        module = Module()
        trainer = lightning.Trainer(
            max_epochs=2, accelerator="cpu", logger=False, default_root_dir=folder, callbacks=list(callbacks),
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=bool(callbacks),
        )  # fmt: skip
        trainer.fit(module, DataLoader(TensorDataset(*problem.train), batch_size=25))
    return module, trainer


def test_a_checkpoint_of_the_trainer_gives_what_our_own_gives(tmp_path):
    problem = digits()
    module, trainer = trained(tmp_path, problem)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    native, lines = natively(tmp_path / "n", problem, module.net, trainer.optimizers[0], step=4), []
    (path,) = ls.import_checkpoint(tmp_path / "last.ckpt", tmp_path / "out", problem=problem, say=lines.append)
    found = assert_same(path, native, problem)
    assert "prefix 'net.' taken off all names" in lines[0]
    assert (found.seed, found.config["width"], found.metrics["epoch"]) == (2, 6, 2)
    assert found.scheduler_state()["last_epoch"] == 2


def test_a_folder_of_its_checkpoints_is_one_run_and_its_link_to_the_last_is_no_other(tmp_path):
    problem = digits()
    save = lightning.callbacks.ModelCheckpoint(tmp_path / "run" / "checkpoints", save_top_k=-1, save_last="link")
    trained(tmp_path, problem, [save])
    files = ls.import_checkpoint(tmp_path / "run", tmp_path / "out", problem=problem)
    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == ["step_00000002.h5", "step_00000004.h5"]


def test_of_averaged_weights_those_in_training_can_be_asked_for(tmp_path):
    callback = getattr(lightning.callbacks, "WeightAveraging", None)
    if callback is None:
        pytest.skip("Lightning before 2.6 has no WeightAveraging")
    problem = digits()
    module, trainer = trained(tmp_path, problem, [callback()])
    trainer.save_checkpoint(tmp_path / "c.ckpt")
    content = torch.load(tmp_path / "c.ckpt", weights_only=True)
    for key, where in (("state_dict", None), ("current_model_state", "current_model_state")):
        lines = []
        into = tmp_path / key
        (path,) = ls.import_checkpoint(tmp_path / "c.ckpt", into, problem=problem, key=where, say=lines.append)
        theta = torch.cat([tensor.reshape(-1) for tensor in content[key].values()])
        assert torch.equal(ls.load_checkpoint(path).theta(), theta)
        assert ("those of training are --key current_model_state" in lines[0]) == (where is None)
    assert module is not None
