"""The loss of a LightningModule's own step is that of the same network and loss by themselves; nothing of it moves."""

from __future__ import annotations

import copy
import types

import pytest
import torch
from torch.nn import functional as F

import landscape as ls
from tests.support.networks import dense_hessian

pytestmark = pytest.mark.slow  # the library takes seconds to load
pytest.importorskip("lightning")
pytest.importorskip("pytorch_lightning")


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


X, Y = drawn(13, 4), torch.arange(13) % 3
BATCHES = [(X[:8], Y[:8]), (X[8:], Y[8:])]


@pytest.fixture(params=["lightning", "pytorch_lightning"])
def library(request):
    if request.param == "lightning":
        import lightning.pytorch as found
    else:
        import pytorch_lightning as found
    return found


@pytest.fixture
def classifier(library):
    """A module that logs, keeps its outputs, counts its calls and updates a metric: what people write."""
    import torchmetrics

    class Classifier(library.LightningModule):
        def __init__(self, smoothing=0.0):
            super().__init__()
            self.save_hyperparameters()
            self.net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
            self.criterion = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
            self.seen, self.calls, self.total = [], 0, torch.zeros(())
            self.accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=3)
            self.validation_step_outputs = {"loss": []}

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, batch_idx):
            x, y = batch
            logits = self(x)
            loss = self.criterion(logits, y)
            self.seen.append(loss)
            self.calls += 1
            self.total += loss.detach().float()
            self.accuracy(logits, y)
            self.log("loss", loss, prog_bar=True)
            self.log_dict({"accuracy": self.accuracy, "lr": 0.1})
            self.logger.experiment.add_scalar("loss", loss, self.global_step)
            self.trainer.callback_metrics["loss"] = loss
            self.print("at", self.current_epoch)
            return {"loss": loss, "logits": logits}

        def validation_step(self, batch, batch_idx, dataloader_idx):
            loss = 2 * self.training_step(batch, batch_idx)["loss"]
            self.validation_step_outputs["loss"].append(loss)
            return loss

    def make(**options):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return Classifier(**options).double()

    return make


def state(module):
    """Everything that a call could leave behind."""
    return {
        "tensors": {n: t.clone() for n, t in module.state_dict().items()},
        "attributes": {n: sorted(vars(part)) for n, part in module.named_modules()},
        "own": (list(module.seen), module.calls, module.total.clone(), module.validation_step_outputs["loss"][:]),
        "metric": {n: getattr(module.accuracy, n).clone() for n in module.accuracy._defaults},
        "updates": module.accuracy._update_count,
        "modes": [part.training for part in module.modules()],
        "trainer": module._trainer,
    }


def test_loss_gradient_and_hessian_are_those_of_the_network_alone(classifier, capsys):
    """Batches of 8 and 5: a mean of batch means would be another loss."""
    module = classifier()
    objective = ls.Objective.from_lightning(module, BATCHES)
    assert objective.loss() == pytest.approx(float(F.cross_entropy(module.net(X), Y).detach()), rel=1e-14)
    exact = dense_hessian(copy.deepcopy(module.net), F.cross_entropy, BATCHES)
    assert objective.layout.size == len(exact)
    for route in ("fresh", "retained", "linearized"):
        found = ls.HessianOperator(objective, route=route).dense()
        assert (found - exact).norm() <= 1e-12 * exact.norm(), route
    assert capsys.readouterr().out == ""


def test_the_step_of_validation_is_another_question(classifier):
    module = classifier()
    training, validation = (ls.Objective.from_lightning(module, BATCHES, step=s) for s in ("training", "validation"))
    assert validation.loss() == pytest.approx(2 * training.loss(), rel=1e-14)
    assert validation.digest() != training.digest()


def test_settings_of_its_loss_are_part_of_the_question(classifier):
    plain, smoothed, again = (ls.Objective.from_lightning(classifier(smoothing=s), BATCHES) for s in (0, 0.1, 0))
    assert plain.digest() == again.digest() != smoothed.digest()


def test_nothing_of_the_module_is_changed_also_where_it_raises(classifier):
    module = classifier()
    module.net[0].eval()
    before = state(module)
    objective = ls.Objective.from_lightning(module, BATCHES)
    ls.HessianOperator(objective) @ objective.theta
    with pytest.raises(RuntimeError):
        ls.Objective.from_lightning(module, [(X[:, :2], Y)])
    after = state(module)
    assert before.keys() == after.keys()
    assert all(torch.equal(t, after["tensors"][n]) for n, t in before["tensors"].items())
    assert all(torch.equal(t, after["metric"][n]) for n, t in before["metric"].items())
    for what in ("attributes", "updates", "modes", "trainer"):
        assert before[what] == after[what], what
    assert after["own"] == ([], 0, torch.zeros(()), [])
    assert torch.is_grad_enabled()


def test_a_trainer_that_is_attached_is_read_and_not_written_to(classifier, library):
    """Its epoch enters the loss; its metrics and its flag to stop stay as they were."""

    class Annealed(type(classifier())):
        def training_step(self, batch, batch_idx):
            self.trainer.should_stop = True
            weight = self.trainer.current_epoch / self.trainer.max_epochs
            return (1 + weight) * super().training_step(batch, batch_idx)["loss"]

    module = classifier()
    module.__class__ = Annealed
    with pytest.raises(ls.ObjectiveError, match=r"reads trainer\.max_epochs, and the module has no trainer"):
        ls.Objective.from_lightning(module, BATCHES)
    trainer = library.Trainer(max_epochs=8, logger=False, enable_checkpointing=False, accelerator="cpu", barebones=True)
    trainer.fit_loop.epoch_progress.current.completed = trainer.fit_loop.epoch_progress.current.processed = 2
    module.trainer = trainer
    objective = ls.Objective.from_lightning(module, BATCHES)
    plain = ls.Objective.from_lightning(classifier(), BATCHES)
    assert trainer.current_epoch == 2
    assert objective.loss() == pytest.approx(1.25 * plain.loss(), rel=1e-14)
    assert not trainer.should_stop
    assert not trainer.callback_metrics
    assert module.trainer is trainer


def test_after_a_fit_it_is_the_loss_of_what_was_trained(classifier, library):
    """Logging, which Lightning refuses outside its own loops, is silent here."""

    class Trained(type(classifier())):
        def training_step(self, batch, batch_idx):
            self.log("loss", 0.0)
            return F.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = classifier()
    module.__class__ = Trained
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = library.Trainer(max_epochs=2, enable_model_summary=False, **quiet)
    with torch.random.fork_rng(devices=[]):
        trainer.fit(module, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=5))
    objective = ls.Objective.from_lightning(module, BATCHES)
    assert objective.loss() == pytest.approx(float(F.cross_entropy(module.eval().net(X), Y).detach()), rel=1e-14)
    assert objective.loss() < ls.Objective.from_lightning(classifier(), BATCHES).loss()


def test_batches_pass_the_hooks_that_they_pass_in_training(classifier):
    module = classifier()
    module.on_after_batch_transfer = types.MethodType(lambda self, batch, index: (batch[0] / 2, batch[1]), module)
    objective = ls.Objective.from_lightning(module, BATCHES)
    assert objective.loss() == pytest.approx(float(F.cross_entropy(module.net(X / 2), Y).detach()), rel=1e-14)


def test_what_the_mean_runs_over_passes_through(classifier):
    module, pad = classifier(), torch.where((torch.arange(13) - 2).abs() < 2, -100, Y)
    batches = [(X[:8], pad[:8]), (X[8:], pad[8:])]
    objective = ls.Objective.from_lightning(module, batches, weight=lambda batch: float((batch[1] >= 0).sum()))
    assert objective.loss() == pytest.approx(float(F.cross_entropy(module.net(X), pad).detach()), rel=1e-14)
    with pytest.raises(ls.ObjectiveError, match="not a mean over examples"):
        ls.Objective.from_lightning(module, [(X, pad)])


def test_what_is_no_loss_is_refused_with_a_way_out(classifier):
    module = classifier()
    with pytest.raises(ls.UsageError, match="step='test' is not one of 'training', 'validation'"):
        ls.Objective.from_lightning(module, BATCHES, step="test")
    with pytest.raises(ls.UsageError, match="must be a LightningModule, not a Sequential"):
        ls.Objective.from_lightning(module.net, BATCHES)
    module.validation_step = types.MethodType(lambda self, batch: None, module)
    with pytest.raises(ls.ObjectiveError, match=r"must return the loss.*returned None.*step='training'"):
        ls.Objective.from_lightning(module, BATCHES, step="validation")
    module.training_step = types.MethodType(lambda self, batch: {"error": batch[0].sum()}, module)
    with pytest.raises(ls.ObjectiveError, match="returned a dict of error"):
        ls.Objective.from_lightning(module, BATCHES)
    module.automatic_optimization = False
    with pytest.raises(ls.ObjectiveError, match=r"optimizes by itself.*from_loss"):
        ls.Objective.from_lightning(module, BATCHES)
