"""Training, and scripts/train.py: it learns, saves what it promises, stops at NaN, and goes on bit for bit."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from landscape.checkpoints import CheckpointDir, checkpoint_files, load_checkpoint, save_checkpoint
from landscape.errors import UsageError
from landscape.optimizers import FULL_BATCH, OPTIMIZERS
from landscape.problems import Problem, get_problem
from landscape.training import train, training_settings
from landscape.training.order import BatchOrder, dealt, ranks

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"
SPEC = importlib.util.spec_from_file_location("train_script", SCRIPT)
script = importlib.util.module_from_spec(SPEC)
sys.modules["train_script"] = script
SPEC.loader.exec_module(script)

SMALL = ["--problem", "mlp-digits", "--problem-config", '{"hidden": [6], "num_train": 50}', "--batch-size", "16"]


def run(out: Path, *arguments: str) -> int:
    return script.main([*SMALL, "--out", str(out), "--threads", "1", *arguments])


def small() -> Problem:
    return get_problem("mlp-digits", {"hidden": [6], "num_train": 50})


def everything(folder: Path) -> list[str]:
    """All that a run says, but for the time at which it was written."""
    checkpoints = list(CheckpointDir(folder))
    facts = ("step", "metrics", "config", "params_sha256", "optimizer", "lr", "seed")
    return [
        repr(([getattr(c, fact) for fact in facts], c.optimizer_state(), c.scheduler_state(), c.resume_state()))
        for c in checkpoints
    ]


# --- resume -----------------------------------------------------------------------------------------------------------


SCHEDULES = {
    "adam + cosine": ["--optimizer", "adam", "--lr", "0.01", "--schedule", "cosine"],
    "momentum + step": [
        *("--optimizer", "momentum", "--opt", "momentum=0.8"),
        *("--schedule", "step", "--schedule-opt", "drops=3"),
    ],
    "rmsprop + polynomial": ["--optimizer", "rmsprop", "--schedule", "polynomial"],
}


@pytest.fixture(scope="module", params=SCHEDULES)
def whole(request, tmp_path_factory):
    """A run that nothing stopped, and all it says."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    options = [*SCHEDULES[request.param], "--epochs", "5", "--save-every", "3", "--save-last", "4", "--seed", "3"]
    assert run(folder, *options) == 0
    return folder, everything(folder)


@pytest.mark.parametrize("kept", [0, 3, 7, 18])
def test_a_run_stopped_anywhere_goes_on_bit_for_bit(tmp_path, whole, kept):
    folder, expected = whole
    assert CheckpointDir(folder).steps == (0, 3, 6, 9, 12, 15, 17, 18, 19, 20)
    shutil.copytree(folder, tmp_path / "stopped")
    for step, file in checkpoint_files(tmp_path / "stopped").items():
        if step > kept:
            file.unlink()
    (tmp_path / "stopped" / ".step_00000019.h5.7-ff.tmp").write_bytes(b"half")
    assert script.main(["--out", str(tmp_path / "stopped"), "--resume"]) == 0
    assert everything(tmp_path / "stopped") == expected
    assert not list((tmp_path / "stopped").glob(".step*"))


def test_a_damaged_last_checkpoint_is_passed_over_and_made_again(tmp_path):
    run(tmp_path / "whole", "--epochs", "3")
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    last = CheckpointDir(tmp_path / "damaged").files[-1]
    last.write_bytes(last.read_bytes()[:-100])
    assert script.main(["--out", str(tmp_path / "damaged"), "--resume"]) == 0
    assert everything(tmp_path / "damaged") == everything(tmp_path / "whole")


def test_a_longer_run_at_a_constant_rate_is_the_same_as_one_planned_so(tmp_path):
    run(tmp_path / "planned", "--epochs", "4")
    run(tmp_path / "longer", "--epochs", "2")
    assert script.main(["--out", str(tmp_path / "longer"), "--resume", "--epochs", "4"]) == 0
    planned, longer = (CheckpointDir(tmp_path / name) for name in ("planned", "longer"))
    assert [c.params_sha256 for c in planned] == [c.params_sha256 for c in longer]


def test_random_layers_draw_the_same_numbers_after_a_resume(tmp_path):
    base = small()
    problem = Problem(
        build=lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(64, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 10)
        ),
        loss_fn=base.loss_fn,
        loss_name="cross_entropy",
        train=base.train,
        test=base.test,
        num_classes=10,
        name="own",
    )
    settings = {"optimizer": "adam", "lr": 0.01, "epochs": 4, "batch_size": 16, "save_every": 3}
    whole = train(problem, tmp_path / "whole", **settings)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    for file in CheckpointDir(tmp_path / "stopped").files[2:]:
        file.unlink()
    resumed = train(problem, tmp_path / "stopped", resume=True)
    assert resumed.params_sha256 == whole.params_sha256
    for name, buffer in whole.buffers().items():
        assert torch.equal(resumed.buffers()[name], buffer)
    again = train(problem, tmp_path / "other", **settings | {"seed": 1})
    assert again.params_sha256 != whole.params_sha256


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["--lr", "0.3"], "lr was 0.1, asked for is 0.3"),
        (["--optimizer", "adam"], "optimizer was 'sgd', asked for is 'adam'"),
        (["--seed", "1"], "seed was 0, asked for is 1"),
        (["--batch-size", "10"], "batch_size was 16, asked for is 10"),
        (["--epochs", "1"], "epochs was 2, asked for is 1"),
        (["--schedule", "cosine"], "schedule was 'constant', asked for is 'cosine'"),
        (["--problem", "mlp-digits", "--problem-config", '{"hidden": [7], "num_train": 50}'], r"\[6\].*\[7\]"),
    ],
)
def test_a_resume_with_other_settings_is_refused_by_name(tmp_path, capsys, changed, said):
    run(tmp_path, "--epochs", "2")
    before = everything(tmp_path)
    assert script.main(["--out", str(tmp_path), "--resume", *changed]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(said, error)
    assert everything(tmp_path) == before


def test_a_folder_with_a_run_is_not_written_into(tmp_path, capsys):
    run(tmp_path, "--epochs", "1")
    before = everything(tmp_path)
    assert run(tmp_path, "--epochs", "1") == 2
    assert "already holds a run of 2 checkpoints" in capsys.readouterr().err
    assert everything(tmp_path) == before
    assert script.main(["--out", str(tmp_path), "--resume"]) == 0  # nothing left to do
    for file in CheckpointDir(tmp_path).files:
        file.write_bytes(b"")
    assert script.main(["--out", str(tmp_path), "--resume"]) == 2
    assert "can be resumed" in capsys.readouterr().err


def test_resume_in_an_empty_folder_begins_from_the_start(tmp_path):
    assert run(tmp_path / "fresh", "--epochs", "1", "--resume") == 0
    assert run(tmp_path / "plain", "--epochs", "1") == 0
    assert everything(tmp_path / "fresh") == everything(tmp_path / "plain")


# --- what a run leaves ------------------------------------------------------------------------------------------------


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


def test_every_example_is_seen_once_per_epoch_in_an_order_of_its_own():
    order = BatchOrder(10, 4, epochs=3, seed=0)
    epochs = [torch.cat([order.next()[0] for _ in range(3)]).tolist() for _ in range(3)]
    assert order.total_steps == 9
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


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


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_with_any_optimizer_goes_on_bit_for_bit(tmp_path, optimizer):
    settings = {"optimizer": optimizer, "epochs": 12 if optimizer in FULL_BATCH else 3, "save_every": 3}
    settings |= {} if optimizer in FULL_BATCH else {"batch_size": 16}
    train(small(), tmp_path / "whole", **settings)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    for file in CheckpointDir(tmp_path / "stopped").files[2:]:
        file.unlink()
    train(small(), tmp_path / "stopped", resume=True)
    assert everything(tmp_path / "stopped") == everything(tmp_path / "whole")
    history, again = (CheckpointDir(tmp_path / name).history() for name in ("whole", "stopped"))
    assert all(np.array_equal(history[name], again[name]) for name in ("step", "loss", "step_size"))


# --- the order of the examples ----------------------------------------------------------------------------------------


def epochs_of(order, count):
    """Rows of each epoch, as lists."""
    found = []
    for _ in range(count):
        rows = []
        while len(rows) < order.num_examples:
            rows += order.next()[0].tolist()
        found.append(rows)
    return found


def test_a_fixed_order_is_one_permutation_and_a_sorted_one_goes_by_rank():
    fixed = epochs_of(BatchOrder(20, 6, epochs=3, seed=1, kind="fixed"), 3)
    assert fixed[0] == fixed[1] == fixed[2] != sorted(fixed[0])
    labels = torch.tensor([2, 0, 1, 0, 2])
    assert epochs_of(BatchOrder(5, 2, epochs=2, seed=0, kind="sorted", ranks=labels), 2) == [[1, 3, 2, 0, 4]] * 2


def test_a_curriculum_begins_with_the_easy_and_ends_with_all():
    ranks = torch.arange(40).flip(0).double()  # row 39 is the easiest
    epochs = epochs_of(BatchOrder(40, 10, epochs=8, seed=0, kind="curriculum", ranks=ranks), 8)
    shares = [len(set(rows)) / 40 for rows in epochs]
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0])
    assert set(epochs[0]) == set(range(32, 40))
    assert all(sorted(rows) == list(range(40)) for rows in epochs[4:])


def test_unusual_examples_are_those_far_from_their_class():
    inputs = torch.tensor([[0.0], [0.1], [5.0], [10.0], [10.2], [14.0]])
    difficulty = ranks((inputs, torch.tensor([0, 0, 0, 1, 1, 1])), "curriculum")
    assert difficulty.topk(2).indices.sort().values.tolist() == [2, 5]
    numbers = ranks((inputs, inputs), "curriculum")
    assert int(numbers.argmax()) == 5


def test_a_batch_that_grows_and_shrinks_has_the_sizes_asked_for_and_sees_every_example():
    order = BatchOrder(64, 4, epochs=5, seed=0, schedule="grow-shrink", options={"factor": 4.0})
    assert [order.batch_size_in(epoch) for epoch in range(5)] == [4, 8, 16, 8, 4]
    assert order.total_steps == 16 + 8 + 4 + 8 + 16
    sizes = [len(order.next()[0]) for _ in range(order.total_steps)]
    assert sizes == [4] * 16 + [8] * 8 + [16] * 4 + [8] * 8 + [4] * 16
    assert order.epochs_after(20) == 1.5
    growing = BatchOrder(64, 4, epochs=3, seed=0, schedule="growing", options={"factor": 100.0})
    assert [growing.batch_size_in(epoch) for epoch in range(3)] == [4, 40, 64]


@pytest.mark.parametrize(
    "settings",
    [
        {"order": "curriculum"},
        {"order": "fixed"},
        {"order": "sorted"},
        {"batch_schedule": "grow-shrink"},
        {"optimizer": "local-sgd", "options": {"clients": 3, "skew": 0.5}},
    ],
)
def test_any_order_goes_on_bit_for_bit(tmp_path, settings):
    train(small(), tmp_path / "whole", epochs=5, batch_size=8, save_every=4, **settings)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    for file in CheckpointDir(tmp_path / "stopped").files[3:]:
        file.unlink()
    train(small(), tmp_path / "stopped", resume=True)
    assert everything(tmp_path / "stopped") == everything(tmp_path / "whole")


def test_clients_share_all_examples_evenly_and_skew_sets_their_classes_apart():
    labels = torch.arange(10).repeat(20)
    for skew, expected in ((0.0, 10), (1.0, 2)):
        parts = dealt(labels, 5, skew, seed=0)
        assert sorted(torch.cat(parts).tolist()) == list(range(200))
        assert [len(part) for part in parts] == [40] * 5
        classes = [len(labels[part].unique()) for part in parts]
        assert max(classes) == expected if skew else min(classes) >= 7


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


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_diverging_run_says_so_exits_1_and_leaves_good_checkpoints(tmp_path, capsys):
    config = '{"hidden": [6], "num_train": 50, "loss": "mse", "activation": "relu"}'
    status = run(tmp_path, "--problem-config", config, "--lr", "1e6", "--epochs", "20", "--save-every", "1")
    error = capsys.readouterr().err
    assert status == 1
    assert error.count("\n") == 1
    assert "diverged: the loss is" in error
    assert "lr=1e+06" in error
    good, bad = CheckpointDir(tmp_path).usable()
    assert not bad
    assert good[0].step == 0
    assert all(torch.isfinite(c.theta()).all() and c.metrics["train_loss"] < float("inf") for c in good)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name what to train on"),
        (["--problem", "lenet"], "unknown problem 'lenet'"),
        (["--problem", "quadratic", "--optimizer", "lyon"], "optimizer='lyon'"),
        (["--problem", "quadratic", "--optimizer", "adam", "--opt", "betas=high"], "betas='high' does not fit"),
        (["--problem", "quadratic", "--optimizer", "adam", "--opt", "betas"], "betas: expected KEY=VALUE"),
        (["--problem", "quadratic", "--optimizer", "adam", "--opt", "beta=0.9"], "no option 'beta'"),
        (["--problem", "quadratic", "--schedule", "warm"], "schedule='warm'"),
        (["--problem", "quadratic", "--lr", "-1"], "lr=-1.0"),
        (["--problem", "quadratic", "--epochs", "0"], "epochs=0"),
        (["--problem", "quadratic", "--save-every", "0"], "save_every=0"),
        (["--problem", "quadratic", "--save-last", "-1"], "save_last=-1"),
        (["--problem", "quadratic", "--optimizer", "sgd", "--batch-size", "0"], "batch_size=0"),
    ],
)
def test_bad_usage_is_one_line_and_exit_status_2_and_leaves_no_folder(tmp_path, capsys, arguments, said):
    assert script.main(["--out", str(tmp_path / "run"), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "run").exists()


def test_a_diverging_run_stops_at_once_and_not_at_the_next_save(tmp_path, capsys):
    config = '{"hidden": [6], "num_train": 50, "loss": "mse", "activation": "relu"}'
    assert run(tmp_path, "--problem-config", config, "--lr", "1e6", "--epochs", "50", "--save-every", "1000") == 1
    steps = int(re.search(r"after (\d+) steps", capsys.readouterr().err)[1])
    assert steps < 20
    assert CheckpointDir(tmp_path).steps == (0,)


def test_a_checkpoint_of_another_script_is_not_resumed(tmp_path, capsys):
    problem = small()
    save_checkpoint(tmp_path, problem.make_model(0), step=3, problem=problem)
    assert script.main(["--out", str(tmp_path), "--resume"]) == 2
    assert "not saved by scripts/train.py" in capsys.readouterr().err


def test_an_unknown_setting_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="unknown setting 'learning_rate'; there are problem, .*save_last"):
        training_settings(small(), {"learning_rate": 1})


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "run", "--epochs", "1") == 2
    assert "cannot write into" in capsys.readouterr().err
