"""Problems on what a network learns: scaled outputs, features known before, tasks one behind another."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from landscape.errors import UsageError
from landscape.operators import HessianOperator
from landscape.problems import get_problem
from landscape.problems.builtin.digits import digits_split
from landscape.problems.builtin.lazy import KERNEL, MOVED
from landscape.problems.builtin.rotated import turned
from landscape.problems.builtin.transfer import MOVED as CHANGED
from landscape.problems.builtin.transfer import NOISY, RIDGE
from landscape.training import train

LAZY = {"num_train": 40, "hidden": [8]}


# --- scaled outputs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.1, 1.0, 100.0])
def test_scaled_outputs_begin_at_zero_with_nothing_moved(scale):
    problem = get_problem("lazy-digits", {"scale": scale, **LAZY})
    model = problem.make_model(0)
    assert float(model(problem.train[0]).detach().abs().max()) == 0
    assert problem.measures(model, "train") == {KERNEL: pytest.approx(0, abs=1e-12), MOVED: 0}


def gradients_by_example(model, inputs):
    """(n·C, P) float64, one output of one example after another, by autograd alone."""
    rows = []
    for x in inputs:
        for c in range(10):
            found = torch.autograd.grad(model.net(x[None])[0, c], list(model.net.parameters()))
            rows.append(torch.cat([g.flatten() for g in found]).double())
    return torch.stack(rows)


def test_the_kernel_distance_is_that_of_gradients_one_by_one_and_the_start_survives_a_checkpoint(tmp_path):
    problem = get_problem("lazy-digits", LAZY)
    last = train(problem, tmp_path, optimizer="sgd", lr=1.0, epochs=20, batch_size=20)
    model, start = last.model(problem), problem.make_model(0)
    inputs = problem.train[0][:32]
    now, then = (J @ J.T for J in (gradients_by_example(one, inputs) for one in (model, start)))
    expected = 1 - float((now * then).sum() / (now.norm() * then.norm()))
    theta, theta0 = (torch.cat([p.detach().flatten() for p in one.net.parameters()]).double() for one in (model, start))
    measured = problem.measures(model, "train")
    assert 0.01 < expected < 1
    assert measured[KERNEL] == pytest.approx(expected, abs=1e-5)
    assert measured[MOVED] == pytest.approx(float((theta - theta0).norm() / theta0.norm()), rel=1e-5)


def test_where_outputs_are_large_training_is_that_of_the_linear_model(tmp_path):
    """Parameters move as 1/α, and the outputs become those of the network's linearisation (Chizat et al. 2019)."""
    ends, ways = {}, {}
    for scale in (1.0, 30.0, 300.0):
        problem = get_problem("lazy-digits", {"scale": scale, **LAZY})
        last = train(problem, tmp_path / f"{scale}", optimizer="gd", lr=0.3 / scale**2, epochs=50, save_every=50)
        model = last.model(problem)
        ends[scale] = model(problem.train[0]).detach().double().flatten()
        ways[scale] = problem.measures(model, "train")[MOVED] * scale
    assert ways[30.0] == pytest.approx(ways[300.0], rel=0.02)
    J = gradients_by_example(problem.make_model(0), problem.train[0])
    K, f = J @ J.T, torch.zeros(400, dtype=torch.float64)
    for _ in range(50):  # gradient descent in the space of outputs, by the kernel of the start
        slope = f.view(40, 10).softmax(1) - functional.one_hot(problem.train[1], 10)
        f = f - 0.3 * K @ (slope / 40).flatten()
    away = {scale: float((end - f).norm() / f.norm()) for scale, end in ends.items()}
    assert away[300.0] < 0.02 < 0.1 < away[1.0]


# --- features that were known before ----------------------------------------------------------------------------------


def test_held_features_stay_where_they_were_in_training_and_count_in_the_hessian(tmp_path):
    config = {"mode": "head", "num_train": 30, "hidden": 12}
    problem = get_problem("transfer-digits", config)
    last = train(problem, tmp_path, optimizer="momentum", epochs=5, batch_size=10)
    model, start = last.model(problem), problem.make_model(0)
    for (name, now), before in zip(model.named_parameters(), start.parameters(), strict=True):
        assert torch.equal(now, before) == name.startswith("features"), name
    assert problem.measures(model, "train") == {CHANGED: 0}
    H = HessianOperator(problem.objective(model))
    assert H.shape[0] == sum(p.numel() for p in model.parameters())
    ones = torch.zeros(H.shape[0])
    ones[: 12 * 64] = 1
    assert float((H @ ones).norm()) > 1e-3


def test_features_are_the_same_for_every_seed_and_a_fitted_head_is_where_its_ridge_has_no_slope():
    config = {"num_train": 30, "hidden": 12}
    models = {mode: [get_problem("transfer-digits", {"mode": mode, **config}).make_model(s) for s in (0, 1)]
              for mode in ("all", "head-first", "scratch")}  # fmt: skip
    weights = {mode: [m.features.fc1.weight for m in own] for mode, own in models.items()}
    assert torch.equal(weights["all"][0], weights["all"][1])
    assert torch.equal(weights["all"][0], weights["head-first"][1])
    assert not torch.equal(weights["scratch"][0], weights["scratch"][1])
    assert not torch.equal(models["all"][0].head.weight, models["all"][1].head.weight)
    problem, model = get_problem("transfer-digits", {"mode": "head-first", **config}), models["head-first"][0]
    loss = problem.mean_loss(model, problem.train) + 0.5 * RIDGE * model.head.weight.square().sum()
    slopes = torch.autograd.grad(loss, [model.head.weight, model.head.bias])
    assert max(float(g.abs().max()) for g in slopes) < 1e-4


def test_known_features_serve_clean_digits_better_than_none_and_noise_is_harder(tmp_path):
    ends = {}
    for mode in ("head", "scratch"):
        problem = get_problem("transfer-digits", {"mode": mode, "num_train": 60})
        last = train(problem, tmp_path / mode, optimizer="sgd", epochs=60, batch_size=20)
        noisy = problem.measures(last.model(problem).eval(), "test")[NOISY]
        ends[mode] = last.metrics["test_accuracy"], noisy
    assert ends["head"][0] > ends["scratch"][0] + 0.05
    assert ends["head"][1] > ends["scratch"][1] + 0.05
    assert all(clean > noisy for clean, noisy in ends.values())


# --- tasks one behind another -----------------------------------------------------------------------------------------


def test_a_quarter_turn_is_a_permutation_of_pixels_and_a_small_one_keeps_the_middle():
    images = torch.arange(128.0).view(2, 1, 8, 8)
    assert torch.allclose(turned(images, 90), torch.rot90(images, 1, (2, 3)), atol=1e-4)
    assert torch.allclose(turned(images, 270), torch.rot90(images, -1, (2, 3)), atol=1e-4)
    assert torch.equal(turned(images, 360), images)
    blob = -torch.ones(1, 1, 9, 9)
    blob[0, 0, 4, 4] = 1
    assert float(turned(blob, 33)[0, 0, 4, 4]) == pytest.approx(1)
    assert float(turned(blob, 33)[0, 0, 0, 0]) == pytest.approx(-1)  # the background, not zero


def test_tasks_stand_one_behind_another_and_each_has_its_accuracy():
    problem = get_problem("rotated-digits", {"tasks": 3, "angle": 90, "num_train": 20})
    (x, y), (upright, labels) = problem.train, digits_split(8, 0.3, 0)[0]
    assert torch.equal(y, labels[:20].repeat(3))
    assert torch.allclose(x[20:40], torch.rot90(upright[:20], 1, (2, 3)), atol=1e-5)
    model = problem.make_model(0)
    found = problem.measures(model, "test")
    right = (model(problem.test[0]).argmax(1) == problem.test[1]).double().view(3, -1).mean(1)
    assert list(found.values()) == pytest.approx(right.tolist())
    assert problem.measures(model, "train") == {}


@pytest.mark.parametrize(
    ("name", "config", "says"),
    [
        ("lazy-digits", {"scale": 0}, "scale"),
        ("transfer-digits", {"mode": "half"}, "mode"),
        ("transfer-digits", {"noise": -1}, "noise"),
        ("rotated-digits", {"tasks": 0}, "tasks"),
        ("rotated-digits", {"angle": float("nan")}, "angle"),
        ("mlp-digits", {"attack": -0.1}, "attack"),
        ("matrix-factorization", {"imbalance": 0}, "imbalance"),
    ],
)
def test_settings_outside_what_they_may_be_are_refused_by_name(name, config, says):
    with pytest.raises(UsageError, match=says):
        get_problem(name, config)
