"""Steps that look ahead: on linear fields powers of matrices, and where plain steps spiral out they come in."""

from __future__ import annotations

import pytest
import torch

from landscape.optimizers import make_optimizer

#: The field (y, −x) of the game x·y, and one of a bowl that turns.
FIELDS = {
    "turning": torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64),
    "bowl": torch.tensor([[1.0, 0.5], [-0.5, 2.0]], dtype=torch.float64),
}
START = torch.tensor([1.0, -0.5], dtype=torch.float64)


class Field:
    """A closure whose gradient is A times where the parameters stand."""

    def __init__(self, A, x):
        self.A, self.x, self.asked = A, x, 0

    def __call__(self):
        self.asked += 1
        self.x.grad = self.A @ self.x.detach()
        return self.x.detach().square().sum()


def walk(name, A, steps, lr):
    x = torch.nn.Parameter(START.clone())
    optimizer, closure, places = make_optimizer(name, [x], lr=lr), Field(A, x), []
    for _ in range(steps):
        optimizer.step(closure)
        places.append(x.detach().clone())
    return places, closure.asked


@pytest.mark.parametrize("field", FIELDS)
def test_extragradient_multiplies_by_one_less_a_step_of_a_step(field):
    A, I = FIELDS[field], torch.eye(2, dtype=torch.float64)
    places, asked = walk("extragradient", A, 7, 0.2)
    M = I - 0.2 * A @ (I - 0.2 * A)
    assert torch.allclose(places[-1], torch.linalg.matrix_power(M, 7) @ START)
    assert asked == 14


@pytest.mark.parametrize("field", FIELDS)
def test_optimistic_steps_are_the_recursion_of_two_places(field):
    A = FIELDS[field]
    places, asked = walk("optimistic", A, 6, 0.2)
    expected = [START, START - 0.2 * A @ START]
    for _ in range(5):
        expected.append(expected[-1] - 0.4 * A @ expected[-1] + 0.2 * A @ expected[-2])
    assert torch.allclose(torch.stack(places), torch.stack(expected[1:]))
    assert asked == 6


def test_around_a_centre_plain_steps_go_outwards_and_these_come_in():
    ends = {
        name: walk(name, FIELDS["turning"], 200, 0.3)[0][-1].norm() for name in ("gd", "extragradient", "optimistic")
    }
    assert ends["gd"] > 1e3 * START.norm()
    assert ends["extragradient"] < 1e-2 * START.norm()
    assert ends["optimistic"] < 1e-2 * START.norm()


@pytest.mark.parametrize("name", ["extragradient", "optimistic"])
def test_what_it_remembers_comes_back_with_its_state(name):
    A, x = FIELDS["bowl"], torch.nn.Parameter(START.clone())
    optimizer = make_optimizer(name, [x], lr=0.1)
    for _ in range(3):
        optimizer.step(Field(A, x))
    y = torch.nn.Parameter(x.detach().clone())
    again = make_optimizer(name, [y], lr=0.1)
    again.load_state_dict(optimizer.state_dict())
    optimizer.step(Field(A, x))
    again.step(Field(A, y))
    assert torch.equal(x, y)
