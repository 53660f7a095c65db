"""What a run leaves: checkpoints with metrics and settings, the history of its steps, and a model that has learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.checkpoints import CheckpointDir, load_checkpoint
from landscape.errors import UsageError
from landscape.optimizers import FULL_BATCH, OPTIMIZERS
from landscape.problems import get_problem
from landscape.training import train, training_settings
from tests.support.trainings import run, small


def test_a_checkpoint_holds_metrics_settings_and_what_analysis_needs(tmp_path):
    run(tmp_path, "--epochs", "2", "--optimizer", "adam", "--schedule", "exponential", "--lr", "0.02")
    first, last = CheckpointDir(tmp_path)[0], CheckpointDir(tmp_path)[-1]
    assert first.metrics["distance"] == first.metrics["epoch"] == 0
    metrics = last.metrics
    names = {"train_loss", "test_loss", "train_accuracy", "test_accuracy", "grad_norm", "param_norm", "distance"}
    assert {*names, "accuracy_per_class", "epoch", "lr"} == metrics.keys()
    assert metrics["epoch"] == 2
    assert metrics["lr"] == pytest.approx(0.02 * 0.01)
    assert metrics["distance"] == pytest.approx(float((last.theta() - first.theta()).norm()), rel=1e-5)
    objective = last.objective(dtype=torch.float64)
    assert objective.loss() == pytest.approx(metrics["train_loss"], rel=1e-6)
    assert float(objective.gradient().norm()) == pytest.approx(metrics["grad_norm"], rel=1e-5)
    assert last.config == training_settings(
        small(),
        {"optimizer": "adam", "schedule": "exponential", "lr": 0.02, "epochs": 2, "batch_size": 16, "threads": 1},
    )


def test_checkpoints_come_once_per_epoch_or_as_asked_and_densely_at_the_end(tmp_path):
    run(tmp_path / "epochs", "--epochs", "3")
    assert CheckpointDir(tmp_path / "epochs").steps == (0, 4, 8, 12)
    run(tmp_path / "steps", "--epochs", "3", "--save-every", "5", "--save-last", "3")
    assert CheckpointDir(tmp_path / "steps").steps == (0, 5, 10, 11, 12)


def test_the_weights_begin_as_the_problem_makes_them(tmp_path):
    run(tmp_path, "--epochs", "1", "--seed", "5")
    start = load_checkpoint(tmp_path / "step_00000000.h5")
    expected = torch.cat([p.detach().flatten() for p in small().make_model(5).parameters()])
    assert torch.equal(start.theta(), expected)


def test_weights_and_order_have_seeds_of_their_own_where_asked_for(tmp_path):
    """The first checkpoint is the initial weights; the loss of the first step tells the first batch."""

    def first(name, *seeds):
        assert run(tmp_path / name, "--epochs", "1", *seeds) == 0
        checkpoints = CheckpointDir(tmp_path / name)
        return checkpoints[0].params_sha256, checkpoints.history()["loss"][0], checkpoints[-1].params_sha256

    plain, other = first("plain", "--seed", "1"), first("other", "--seed", "2")
    weights = first("weights", "--seed", "2", "--order-seed", "1")
    order = first("order", "--seed", "2", "--init-seed", "1")
    both = first("both", "--seed", "7", "--order-seed", "1", "--init-seed", "1")
    assert weights[0] == other[0] != plain[0] == order[0]
    assert len({plain[1], other[1], weights[1], order[1]}) == 4
    assert both == plain
    assert load_checkpoint(CheckpointDir(tmp_path / "order").files[-1]).config["init_seed"] == 1


def test_gd_takes_the_exact_gradient_of_all_examples_in_cache_sized_pieces(tmp_path):
    problem = get_problem("mlp-digits", {"hidden": [6]})  # 1257 examples: pieces of 512, 512 and 233
    settings = {"optimizer": "gd", "lr": 0.5, "epochs": 1}
    first, last = train(problem, tmp_path, **settings), CheckpointDir(tmp_path)
    start = last[0]
    gradient = start.objective(dtype=torch.float64).gradient()
    assert torch.allclose(first.theta().double(), start.theta().double() - 0.5 * gradient, atol=1e-7)
    with pytest.raises(UsageError, match="gd takes all 1257 examples"):
        training_settings(problem, {"optimizer": "gd", "batch_size": 10})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config", "settings"),
    [
        ("lenet-digits", {}, {"epochs": 4}),
        ("mlp-digits", {}, {"epochs": 3}),
        ("logistic-digits", {"l2": 1e-3}, {"epochs": 3}),
        ("quadratic", {}, {"epochs": 50}),
        ("two-well", {}, {"epochs": 30}),
        ("poly-regression", {}, {"epochs": 30}),
        ("noisy-linear", {}, {"epochs": 20}),
        ("noisy-linear", {"sigma": 0.0, "dim": 4}, {"epochs": 20}),
        ("constrained", {"c": -2.0, "noise": 0.5}, {"optimizer": "sgd"}),
        ("matrix-factorization", {}, {"epochs": 100}),
        ("deep-linear", {}, {"epochs": 30}),
        ("resnet-digits", {}, {"epochs": 4}),
        ("resnet-digits", {"skip": False, "norm": "group", "loss": "mse"}, {"epochs": 6}),
        ("char-transformer-small", {"characters": 30_000}, {"epochs": 12}),
        (
            "char-transformer",
            {"characters": 4_000, "context": 16, "width": 24, "layers": 1, "heads": 2},
            {"epochs": 20, "lr": 5e-3},
        ),
    ],
)
def test_the_recipe_of_every_problem_learns(tmp_path, name, config, settings):
    train(get_problem(name, config), tmp_path, save_every=10**6, **settings)
    first, last = CheckpointDir(tmp_path)[0].metrics, CheckpointDir(tmp_path)[-1].metrics
    assert last["train_loss"] < 0.4 * first["train_loss"]
    assert last["test_loss"] < 0.6 * first["test_loss"]


#: Steps that see the loss alone, or one parameter at a time, take more of them, or longer ones.
ASKED = {
    "spsa": {"epochs": 200, "lr": 3e-3},
    "random-search": {"epochs": 400},
    "coordinate-descent": {"epochs": 100, "lr": 2.0, "options": {"block": 20, "rule": "greedy"}},
    "lion": {"lr": 3e-3},
    "adahessian": {"lr": 0.1},
    "frank-wolfe": {"epochs": 300, "options": {"radius": 30.0}},
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns(tmp_path, optimizer):
    batch_size = None if optimizer in FULL_BATCH else 10
    settings = {"epochs": 100 if optimizer in FULL_BATCH else 20, "batch_size": batch_size, "save_every": 10**6}
    train(small(), tmp_path, optimizer=optimizer, **settings | ASKED.get(optimizer, {}))
    checkpoints = CheckpointDir(tmp_path)
    assert checkpoints[-1].metrics["train_loss"] < 0.8 * checkpoints[0].metrics["train_loss"]


def test_the_history_tells_the_loss_and_the_step_size_of_every_step(tmp_path):
    train(small(), tmp_path, optimizer="polyak-sgd-max", epochs=3, batch_size=16, save_every=5, lr=0.3)
    history = CheckpointDir(tmp_path).history()
    assert history["step"].tolist() == list(range(1, 13))
    assert (history["step_size"] <= 0.3).all()
    assert (history["step_size"] > 0).all()
    assert history["loss"][0] > history["loss"][-1] > 0
    train(small(), tmp_path / "cosine", optimizer="sgd", schedule="cosine", epochs=3, batch_size=16, lr=0.2)
    rates = CheckpointDir(tmp_path / "cosine").history()["step_size"]
    assert rates == pytest.approx(0.1 * (1 + np.cos(np.pi * np.arange(12) / 12)))


@pytest.mark.parametrize("optimizer", ["gd", "sam", "lbfgs"])
def test_the_history_tells_the_gradient_norm_where_each_step_begins(tmp_path, optimizer):
    """By float64 autograd at each checkpoint, on the batch of all examples; not where SAM or a search goes besides."""
    batch = {} if optimizer in FULL_BATCH else {"batch_size": 50}
    train(small(), tmp_path, optimizer=optimizer, epochs=4, save_every=1, **batch)
    checkpoints = CheckpointDir(tmp_path)
    found = [float(c.objective(dtype=torch.float64).gradient().norm()) for c in checkpoints]
    assert checkpoints.history()["gradient_norm"] == pytest.approx(found[:-1], rel=1e-5)


def test_a_step_without_a_gradient_has_no_gradient_norm(tmp_path):
    train(small(), tmp_path, optimizer="spsa", epochs=1, batch_size=16)
    assert np.isnan(CheckpointDir(tmp_path).history()["gradient_norm"]).all()
