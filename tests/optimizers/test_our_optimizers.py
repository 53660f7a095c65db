"""The optimizers written here, and those of pytorch_optimizer as we call them, against what can be said by hand."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch

from landscape.errors import UsageError
from landscape.optimizers import OPTIMIZERS, make_optimizer
from landscape.optimizers.imperfect import quantized

A = torch.diag(torch.tensor([1.0, 4.0, 10.0], dtype=torch.float64))
START = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)


@pytest.fixture(autouse=True)
def generator_of_its_own(global_random_state_is_untouched):
    """Optimizers that draw do so from torch's generator, as dropout does; training lends them one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class LossOf:
    """A closure over a function of one parameter."""

    def __init__(self, parameter, function, clients=()):
        self.parameter, self.function, self.clients, self.calls = parameter, function, clients, 0

    def __call__(self, *, create_graph=False):
        self.calls += 1
        self.parameter.grad = None
        loss = self.function(self.parameter)
        loss.backward(create_graph=create_graph)
        return loss.detach()

    def with_graph(self):
        return self(create_graph=True)

    @torch.no_grad()
    def value(self):
        self.calls += 1
        return float(self.function(self.parameter))

    def of_client(self, index):
        return LossOf(self.parameter, self.clients[index])


def quadratic(theta):
    return 0.5 * theta @ A @ theta


def steps(name, count, function=quadratic, *, lr, start=START, **options):
    """Where the parameter stands after each step, the losses returned, and the optimizer."""
    parameter = torch.nn.Parameter(start.clone())
    optimizer = make_optimizer(name, [parameter], lr=lr, **options)
    closure = LossOf(parameter, function)
    places, losses = [], []
    for _ in range(count):
        losses.append(float(optimizer.step(closure)))
        places.append(parameter.detach().clone())
    return places, losses, optimizer


# --- Polyak -----------------------------------------------------------------------------------------------------------


def test_the_polyak_step_halves_the_distance_to_the_minimum_of_a_ball_and_with_c_one_half_removes_it():
    def ball(theta):
        return 3.0 * theta @ theta

    halved, losses, optimizer = steps("polyak-sgd", 2, ball, lr=1.0)
    assert torch.allclose(halved[0], START / 2, rtol=1e-12)
    assert torch.allclose(halved[1], START / 4, rtol=1e-12)
    assert losses == pytest.approx([3 * float(START @ START), 3 * float(START @ START) / 4])
    assert optimizer.step_size == pytest.approx(1 / 12)
    assert steps("polyak-sgd", 1, ball, lr=1.0, c=0.5)[0][0].norm() < 1e-12


def test_the_polyak_step_counts_from_the_lowest_loss_there_is():
    def lifted(theta):
        return 3.0 * theta @ theta + 7.0

    assert torch.allclose(steps("polyak-sgd", 1, lifted, lr=1.0, lowest=7.0)[0][0], START / 2, rtol=1e-12)


def test_polyak_steps_never_lead_away_from_the_minimum_of_a_convex_function():
    distances = [float(place.norm()) for place in steps("polyak-sgd", 30, lr=1.0)[0]]
    assert all(later <= sooner for sooner, later in itertools.pairwise([float(START.norm()), *distances]))


def test_the_bounded_polyak_step_is_no_longer_than_lr_and_otherwise_the_same():
    _, _, long = steps("polyak-sgd-max", 1, lr=100.0)
    _, _, short = steps("polyak-sgd-max", 1, lr=0.01)
    gradient = A @ START
    assert long.step_size == pytest.approx(float(0.5 * START @ gradient) / (0.5 * float(gradient @ gradient)))
    assert short.step_size == 0.01


def test_polyak_adam_follows_its_formula_summed_from_the_definitions():
    """Averages as explicit sums over the whole past, with a data-dependent loss so that every term counts."""
    scales = [1.0, 0.5, 2.0, 1.5]
    parameter = torch.nn.Parameter(START.clone())
    optimizer = make_optimizer("polyak-adam", [parameter], lr=0.3, betas=(0.6, 0.8), eps=1e-3, lowest=0.1)
    seen = []
    for t, scale in enumerate(scales, start=1):
        place = parameter.detach().clone().numpy()
        closure = LossOf(parameter, lambda theta, scale=scale: scale * quadratic(theta) + 0.2)
        optimizer.step(closure)
        f, g = scale * float(0.5 * place @ A.numpy() @ place) + 0.2, scale * A.numpy() @ place
        seen.append((f, g, place))
        w = [0.4 * 0.6 ** (t - 1 - j) for j in range(t)]
        u = [0.2 * 0.8 ** (t - 1 - j) for j in range(t)]
        d = sum(wj * gj for wj, (_, gj, _) in zip(w, seen, strict=True))
        D = 1e-3 + np.sqrt(sum(uj * gj**2 for uj, (_, gj, _) in zip(u, seen, strict=True)) / (1 - 0.8**t))
        # The model of the loss that the past suggests, at the present place.
        model = sum(wj * (fj + gj @ (place - xj)) for wj, (fj, gj, xj) in zip(w, seen, strict=True))
        tau = min(0.3 / (1 - 0.6**t), max(model - (1 - 0.6**t) * 0.1, 0) / (d @ (d / D)))
        np.testing.assert_allclose(parameter.detach().numpy(), place - tau * d / D, rtol=1e-10)


# --- without gradients ------------------------------------------------------------------------------------------------


def test_spsa_moves_by_the_gradient_on_average_and_always_along_signs():
    g = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    moves = torch.stack([steps("spsa", 1, lambda x: g @ x, lr=1.0)[0][0] - START for _ in range(4000)])
    assert torch.allclose(moves.abs(), moves.abs()[:, :1].expand_as(moves), rtol=1e-9)
    spread = moves.std(0) / len(moves) ** 0.5
    assert ((moves.mean(0) + g).abs() <= 4.5 * spread).all()
    assert (spread < 0.1).all()


def test_the_gains_of_spsa_decay_as_they_are_asked_to():
    _, _, optimizer = steps("spsa", 5, lr=2.0, alpha=0.602, stability=3.0, gamma=0.101)
    assert optimizer.step_size == pytest.approx(2.0 / (5 + 3) ** 0.602)


def test_random_search_never_climbs_and_settles_where_one_in_five_succeeds():
    places, losses, _ = steps("random-search", 400, lr=1.0)
    values = [float(quadratic(place)) for place in places]
    assert all(later <= sooner for sooner, later in itertools.pairwise(values))
    assert losses == pytest.approx(values)
    assert values[-1] < 1e-3 * float(quadratic(START))
    successes = np.mean(np.diff(values) < 0)
    assert 0.1 < successes < 0.35


def test_a_random_search_that_failed_stands_where_it_stood():
    places, _, optimizer = steps("random-search", 3, start=torch.zeros(3, dtype=torch.float64), lr=1.0)
    assert all(torch.equal(place, torch.zeros(3, dtype=torch.float64)) for place in places)
    assert optimizer.group["factor"] == pytest.approx(math.exp(-3 / 12))


# --- full batch -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curvature", [0.3, 1.0, 7.0, 100.0])
def test_backtracking_takes_the_first_halving_that_decreases_enough(curvature):
    """On ½Lx² the condition holds exactly for η ≤ 2(1 − c)/L."""
    c, start = 0.1, torch.tensor([2.0], dtype=torch.float64)
    places, _, optimizer = steps("line-search", 1, lambda x: 0.5 * curvature * x @ x, lr=4.0, c=c, start=start)
    expected = next(eta for k in range(99) if (eta := 4.0 / 2**k) <= 2 * (1 - c) / curvature)
    assert optimizer.step_size == expected
    assert float(places[0]) == pytest.approx(2.0 * (1 - expected * curvature))


def test_backtracking_that_finds_nothing_stays():
    places, _, optimizer = steps("line-search", 1, lr=1.0, most=1)
    assert torch.equal(places[0], START)
    assert optimizer.step_size == 0


@pytest.mark.parametrize("kind", ["long", "short"])
def test_barzilai_borwein_steps_are_the_secant_quotients(kind):
    places, _, optimizer = steps("barzilai-borwein", 4, lr=0.05, kind=kind)
    points = [START, *places]
    for k in (1, 2, 3):
        s = points[k] - points[k - 1]
        y = A @ s
        size = float(s @ s / (s @ y)) if kind == "long" else float(s @ y / (y @ y))
        assert torch.allclose(points[k + 1], points[k] - size * A @ points[k], rtol=1e-10)
    assert optimizer.step_size == pytest.approx(size)


def test_one_number_is_at_the_minimum_of_a_parabola_after_one_secant():
    for kind in ("long", "short", "diagonal"):
        start = torch.tensor([2.0], dtype=torch.float64)
        places, _, _ = steps("barzilai-borwein", 2, lambda x: 3.5 * (x @ x), lr=0.01, kind=kind, start=start)
        assert abs(float(places[1])) < 1e-12


def test_the_diagonal_secant_is_the_curvature_of_each_parameter_cut_to_the_range_of_the_two_steps():
    """Without a memory (μ = 0) sᵢyᵢ/sᵢ² is exactly the diagonal of a separable quadratic."""
    places, _, _ = steps("barzilai-borwein", 2, lr=0.05, kind="diagonal", mu=0.0)
    s = places[0] - START
    y = A @ s
    curvature = A.diagonal().clamp(float(s @ y / (s @ s)), float(y @ y / (s @ y)))
    assert torch.allclose(places[1], places[0] - A @ places[0] / curvature, rtol=1e-10)


def test_where_the_loss_is_concave_along_the_step_barzilai_borwein_takes_lr():
    places, _, optimizer = steps("barzilai-borwein", 2, lambda x: -0.5 * x @ x, lr=0.05)
    assert torch.allclose(places[1], START * 1.05**2, rtol=1e-12)
    assert optimizer.step_size == 0.05


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_frank_wolfe_stays_in_its_ball_and_gets_as_near_as_its_theorem_says(norm):
    """f − f* ≤ 2C/(t + 2) with C ≤ L·diameter² (Jaggi 2013, theorem 1); f* by projected descent on a fine grid."""
    target, radius, count = torch.tensor([3.0, -2.0, 0.5], dtype=torch.float64), 1.0, 60

    def f(x):
        return 0.5 * ((x - target) ** 2).sum()

    places, _, _ = steps("frank-wolfe", count, f, lr=1.0, radius=radius, norm=norm)
    size = {"l2": lambda p: p.norm(), "l1": lambda p: p.abs().sum(), "linf": lambda p: p.abs().max()}[norm]
    assert all(float(size(place)) <= radius * (1 + 1e-12) for place in places)
    nearest = {
        "l2": target / target.norm(),
        "l1": torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64),
        "linf": torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64),
    }[norm]
    diameter = {"l2": 2.0, "l1": 2.0, "linf": 2.0 * 3**0.5}[norm]
    for t, place in enumerate(places, start=1):
        assert float(f(place) - f(nearest)) <= 2 * diameter**2 / (t + 2) + 1e-12


def test_frank_wolfe_without_a_gradient_stays():
    places, _, _ = steps("frank-wolfe", 3, lambda x: 0 * x.sum(), lr=1.0, radius=100.0)
    assert torch.allclose(places[-1], START)


# --- some coordinates -------------------------------------------------------------------------------------------------


def test_cyclic_coordinate_descent_visits_every_coordinate_once_per_round():
    places, _, _ = steps("coordinate-descent", 3, lr=0.1, rule="cyclic")
    moved = [torch.nonzero(b - a).flatten().tolist() for a, b in itertools.pairwise([START, *places])]
    assert moved == [[0], [1], [2]]
    assert torch.allclose(places[-1], START * (1 - 0.1 * A.diagonal()), rtol=1e-12)


def test_greedy_coordinate_descent_takes_the_largest_derivatives():
    places, _, _ = steps("coordinate-descent", 1, lr=0.1, rule="greedy", block=2)
    gradient = A @ START  # 3, -8, 10
    assert torch.allclose(START - places[0], 0.1 * torch.tensor([0.0, *gradient[1:]], dtype=torch.float64), rtol=1e-12)


def test_random_coordinate_descent_moves_a_block_and_reaches_all():
    places, _, _ = steps("coordinate-descent", 60, lr=0.05, block=2)
    moved = [set(torch.nonzero(b - a).flatten().tolist()) for a, b in itertools.pairwise([START, *places])]
    assert all(len(chosen) == 2 for chosen in moved)
    assert {frozenset(chosen) for chosen in moved} == {frozenset(p) for p in itertools.combinations(range(3), 2)}


# --- coarse and old gradients -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["max", "l2"])
@pytest.mark.parametrize("bits", [2, 4])
def test_stochastic_rounding_is_unbiased_and_rounds_to_its_levels(bits, scale):
    g = torch.tensor([0.9, -0.35, 0.02, 0.0], dtype=torch.float64)
    levels = 2 ** (bits - 1) - 1
    draws = torch.stack([quantized(g, levels, stochastic=True, scale=scale) for _ in range(4000)])
    unit = float(g.abs().max() if scale == "max" else g.norm()) / levels
    assert torch.allclose(draws / unit, (draws / unit).round(), atol=1e-9)
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - g).abs() <= 4.5 * error + 1e-12).all()


def test_rounding_to_the_nearest_errs_by_half_a_level_at_most():
    g = torch.linspace(-1, 1, 101, dtype=torch.float64)
    assert (quantized(g, 7, stochastic=False, scale="max") - g).abs().max() <= 0.5 / 7 + 1e-12
    assert torch.equal(quantized(torch.zeros(3), 7, stochastic=True, scale="max"), torch.zeros(3))


def test_delayed_steps_use_the_gradient_from_where_the_parameters_stood_then():
    places, _, _ = steps("delayed-sgd", 6, lr=0.05, delay=2)
    points = [START, *places]
    for t in range(6):
        old = A @ points[t - 2] if t >= 2 else torch.zeros(3, dtype=torch.float64)
        assert torch.allclose(points[t + 1], points[t] - 0.05 * old, rtol=1e-12)
    plain, _, _ = steps("delayed-sgd", 3, lr=0.05, delay=0)
    assert torch.allclose(plain[-1], START * (1 - 0.05 * A.diagonal()) ** 3, rtol=1e-12)


@pytest.mark.parametrize("delay", [0, 1, 3, 6])
def test_a_delay_lowers_the_largest_stable_step_as_the_characteristic_polynomial_says(delay):
    limit = 2 * math.sin(math.pi / (4 * delay + 2)) / 10  # the largest curvature is 10
    below, _, _ = steps("delayed-sgd", 4000, lr=0.97 * limit, delay=delay)
    above, _, _ = steps("delayed-sgd", 4000, lr=1.03 * limit, delay=delay)
    assert abs(float(below[-1][2])) < 1e-3
    assert abs(float(above[-1][2])) > 1e3


# --- several clients --------------------------------------------------------------------------------------------------

CENTRES = list(torch.diag(torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)))
CLIENTS = [lambda x, c=c, k=k: 0.5 * (k + 1) * ((x - c) ** 2).sum() for k, c in enumerate(CENTRES)]


def test_clients_that_meet_every_step_do_sgd_on_the_mean_of_their_losses():
    local, losses, _ = _local(5, period=1)

    def mean(theta):
        return sum(f(theta) for f in CLIENTS) / 3

    plain, plain_losses, _ = steps("sgd", 5, mean, lr=0.1)
    assert torch.allclose(torch.stack(local), torch.stack(plain), rtol=1e-12)
    assert losses == pytest.approx(plain_losses)


def test_clients_that_never_meet_go_their_own_ways_and_the_model_is_their_mean():
    local, _, _ = _local(400, period=1000)
    assert torch.allclose(local[-1], sum(CENTRES) / 3, atol=1e-6)


def test_between_two_meetings_every_client_takes_its_own_steps():
    local, _, _ = _local(4, period=2)
    theta = START.clone()
    for _ in range(2):
        ends = []
        for k, c in enumerate(CENTRES):
            own = theta.clone()
            for _ in range(2):
                own = own - 0.1 * (k + 1) * (own - c)
            ends.append(own)
        theta = sum(ends) / 3
    assert torch.allclose(local[-1], theta, rtol=1e-12)


def _local(count, *, period):
    parameter = torch.nn.Parameter(START.clone())
    optimizer = make_optimizer("local-sgd", [parameter], lr=0.1, clients=3, period=period)
    closure = LossOf(parameter, None, CLIENTS)
    places, losses = [], []
    for _ in range(count):
        losses.append(float(optimizer.step(closure)))
        places.append(parameter.detach().clone())
    return places, losses, optimizer


# --- of pytorch_optimizer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sam", "asam"])
def test_sam_steps_by_the_gradient_from_up_the_hill(name):
    rho, gradient = 0.3, A @ START
    if name == "sam":
        up = START + rho * gradient / gradient.norm()
    else:  # T²g over the length of Tg, T = diag|θ|
        up = START + rho * START**2 * gradient / (START.abs() * gradient).norm()
    places, losses, _ = steps(name, 1, lr=0.01, rho=rho, momentum=0.0)
    assert torch.allclose(places[0], START - 0.01 * A @ up, rtol=1e-9)
    assert losses[0] == pytest.approx(float(quadratic(START)))


def test_signsgd_and_lion_begin_with_the_sign_of_the_gradient():
    for name in ("signsgd", "lion"):
        assert torch.allclose(steps(name, 1, lr=0.01)[0][0], START - 0.01 * (A @ START).sign(), rtol=1e-12)


def test_adahessian_begins_with_a_newton_step_where_the_hessian_is_diagonal():
    """Rademacher probes give the diagonal of a diagonal matrix exactly."""
    places, _, _ = steps("adahessian", 1, lr=0.1, eps=1e-12)
    assert torch.allclose(places[0], 0.9 * START, rtol=1e-6)


def test_sophia_never_moves_a_parameter_by_more_than_its_clip():
    places, _, _ = steps("sophia", 20, lr=0.1, p=0.5)
    moves = torch.stack([b - a for a, b in itertools.pairwise([START, *places])])
    assert moves.abs().max() <= 0.1 * 0.5 * (1 + 1e-9)
    assert quadratic(places[-1]) < quadratic(START)


def test_muon_moves_a_matrix_by_a_nearly_orthogonal_one():
    matrix, bias = torch.nn.Parameter(torch.zeros(6, 4)), torch.nn.Parameter(torch.zeros(4))
    optimizer = make_optimizer("muon", [matrix, bias], lr=0.1, adam_lr=0.5)
    weights = torch.randn(6, 4)

    def closure():
        matrix.grad, bias.grad = weights.clone(), torch.ones(4)
        return torch.zeros(())

    optimizer.step(closure)
    singular = torch.linalg.svdvals(matrix.detach())
    assert float(singular.max() / singular.min()) < 2.0 < float(torch.linalg.cond(weights))
    assert torch.allclose(bias.detach(), torch.full((4,), -0.5), rtol=1e-4)


# --- all --------------------------------------------------------------------------------------------------------------

WRONG = [
    ("polyak-sgd", {"c": 0.0}, "c=0.0 must be a positive number"),
    ("polyak-adam", {"betas": [1.0, 0.9]}, r"betas\[0\]=1.0 must be at least 0 and below 1"),
    ("spsa", {"c": -1.0}, "c=-1.0 must be a positive number"),
    ("spsa", {"alpha": -1.0}, "alpha=-1.0 must not be negative"),
    ("line-search", {"shrink": 1.0}, "shrink=1.0 must lie between 0 and 1"),
    ("line-search", {"grow": 0.5}, "grow=0.5"),
    ("barzilai-borwein", {"kind": "middle"}, "'middle' is not one of 'long', 'short', 'diagonal'"),
    ("frank-wolfe", {"radius": 0.0}, "radius=0.0 must be a positive number"),
    ("coordinate-descent", {"block": 0}, "block=0 must be a whole number of at least 1"),
    ("coordinate-descent", {"block": 1.5}, "block=1.5 does not fit"),
    ("quantized-sgd", {"bits": 1}, "bits=1 must be a whole number from 2 to 24"),
    ("delayed-sgd", {"delay": -1}, "delay=-1"),
    ("local-sgd", {"clients": 0}, "clients=0"),
    ("local-sgd", {"skew": 2.0}, "skew=2.0 must lie between 0 and 1"),
]


@pytest.mark.parametrize(("name", "options", "said"), WRONG)
def test_impossible_options_are_refused_by_name(name, options, said):
    with pytest.raises(UsageError, match=said):
        make_optimizer(name, [torch.nn.Parameter(torch.ones(2))], lr=0.1, **options)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_saved_and_loaded_goes_on_bit_for_bit(name):
    """With every draw from torch's generator the same."""

    def run(optimizer, parameter, count):
        centres = [lambda x, i=i: 0.5 * ((x - i) ** 2).sum() for i in range(4)]
        closure = LossOf(parameter, lambda x: quadratic(x) + 0.1 * (x**4).sum(), centres)
        with torch.random.fork_rng():
            torch.manual_seed(count)
            for _ in range(count):
                optimizer.step(closure)

    lr = OPTIMIZERS[name].lr
    first = torch.nn.Parameter(START.clone())
    optimizer = make_optimizer(name, [first], lr=lr)
    run(optimizer, first, 5)
    second = torch.nn.Parameter(first.detach().clone())
    twin = make_optimizer(name, [second], lr=lr)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(optimizer, first, 7)
    run(twin, second, 7)
    assert torch.equal(first, second)
    assert not torch.equal(first, START)
