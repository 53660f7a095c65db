"""What the monitor says against the whole spectrum of the same examples."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from landscape.problems import get_problem
from tests.support.loops import OPTIMIZERS, ByHand, small_data, small_model, take_step


def values_along(model, optimizer, monitor, clock, steps, step, truth):
    """(measured, truth) at each measurement of a training; ``truth(objective)`` is λ_max and trace."""
    found = []
    for _ in range(steps):
        step(model, optimizer)
        clock.now += 1.0
        numbers = monitor.step()
        if numbers is not None:
            found.append((numbers, *truth(monitor.objective)))
    return found


def dense(objective):
    matrix = ls.HessianOperator(objective, route="fresh").dense().double()
    return float(torch.linalg.eigvalsh((matrix + matrix.T) / 2)[-1]), float(matrix.trace())


def assert_within_their_errors(found, count):
    """λ_max lies within its residual of the largest eigenvalue wherever that is called converged; the trace within 3
    standard errors, of which Student's t with five degrees of freedom leaves 3 % outside."""
    assert len(found) >= count
    converged = [numbers for numbers, *_ in found if numbers["landscape/lambda_max_converged"]]
    assert len(converged) >= 0.9 * count
    outside = 0
    for numbers, largest, trace in found:
        error = numbers["landscape/lambda_max_error"]
        if numbers["landscape/lambda_max_converged"]:
            assert abs(numbers["landscape/lambda_max"] - largest) <= error + 1e-5 * abs(largest)
            assert error <= 0.05 * largest * 1.001
        sem = math.hypot(numbers["landscape/trace_sem"], getattr(trace, "sem", 0.0))
        outside += abs(numbers["landscape/trace"] - float(trace)) > 3 * sem
    # 3 % of few: at the limit a right program fails once in a thousand.
    assert outside <= (1 if len(found) < 6 else 3 if len(found) < 25 else 0.15 * len(found))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_along_a_training_they_hold(name):
    clock = ByHand()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = small_model()
        optimizer = OPTIMIZERS[name](model.parameters())
        monitor = ls.Monitor(model, F.cross_entropy, small_data(), subset=24, optimizer=optimizer, clock=clock, every=5)
        found = values_along(model, optimizer, monitor, clock, 40, take_step, dense)
    assert_within_their_errors(found, 6)


def test_loss_and_gradient_are_those_of_the_subset():
    model = small_model()
    monitor = ls.Monitor(model, F.cross_entropy, small_data(), subset=24)
    found, objective = monitor.measure(), monitor.objective
    x, y = objective.batches.joined
    model.eval()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in model.parameters()))
    assert found["landscape/loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert found["landscape/gradient_norm"] == pytest.approx(norm, rel=1e-5)


def test_the_same_steps_give_the_same_numbers():
    """Whatever the clock says: with a monitor that measures at the same steps."""

    def run(seconds):
        clock = ByHand()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = small_model()
            optimizer = OPTIMIZERS["momentum"](model.parameters())
            monitor = ls.Monitor(model, F.cross_entropy, small_data(), optimizer=optimizer, clock=clock, every=5)
            found = values_along(model, optimizer, monitor, clock, 30, take_step_at(clock, seconds), lambda o: ())
        return [{k: v for k, (v) in n.items() if k not in ("landscape/seconds", "landscape/share")} for (n,) in found]

    assert run(1.0) == run(17.0)


def take_step_at(clock, seconds):
    def step(model, optimizer):
        clock.now += seconds
        take_step(model, optimizer)

    return step


@pytest.mark.parametrize(
    ("name", "every"),
    [
        pytest.param("lenet-digits", 40, marks=pytest.mark.slow),
        pytest.param("char-transformer-small", 15, marks=pytest.mark.campaign),
    ],
)
def test_on_networks_they_hold(name, every):
    """LeNet-5 and the small transformer, 32 examples: against converged Lanczos from scratch, and 64 sign vectors."""

    def truth(objective):
        H = ls.HessianOperator(objective, route="retained")
        eigs = ls.top_eigenpairs(H, 1, tol=1e-3, seed=99)
        return float(eigs.values[0]), ls.trace(H, method="deflated", eigs=eigs, num_probes=64, seed=10**6)

    problem, clock = get_problem(name), ByHand()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = problem.make_model(0)
        optimizer = (
            torch.optim.SGD(model.parameters(), lr=0.05)
            if name.startswith("lenet")
            else torch.optim.AdamW(model.parameters(), lr=1e-3)
        )
        monitor = ls.Monitor(model, problem.loss_fn, problem.train, optimizer=optimizer, clock=clock, every=every)
        found = values_along(model, optimizer, monitor, clock, 4 * every, trainer(problem), truth)
    assert_within_their_errors(found, 3)


def trainer(problem):
    inputs, targets = problem.train

    def step(model, optimizer):
        index = torch.randint(len(targets), (problem.recipe.batch_size,))
        optimizer.zero_grad()
        problem.mean_loss(model, (inputs[index], targets[index])).backward()
        optimizer.step()

    return step
